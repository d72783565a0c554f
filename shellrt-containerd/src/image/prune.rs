//! Removing what nobody needs: images, and what broken pulls left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shellrt_plugin::event;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::names;

use super::found::{self, Record};
use super::lease::{self, Left};
use super::remove::{delete, users};
use super::room::Stores;
use super::{content, ingest, snapshot};
use crate::containerd::Containerd;
use crate::error::Error;
use crate::store::Store;

/// What was removed.
#[derive(Debug, Default)]
pub struct Pruned {
    /// The images, sorted.
    pub images: Vec<String>,
    /// The disk space that is free again, in bytes.
    pub bytes: u64,
}

/// On images that are not to be removed by those who tidy up.
const PINNED: (&str, &str) = ("io.cri-containerd.pinned", "pinned");

/// Removes the images that were pulled `images` ago or before and that no container uses, and what
/// broken pulls left `leftovers` ago or before. `others` are modules that have no container in this
/// namespace, with the names of their images.
///
/// # Errors
/// [`Error::Runtime`].
pub fn prune(
    containerd: &Containerd,
    store: &Store,
    images: Option<Duration>,
    leftovers: Duration,
    others: &[(String, String)],
) -> Result<Pruned, Error> {
    containerd.run("prune", async {
        let snapshotter = Stores::find(containerd).await?.snapshotter;
        let before = usage(containerd, &snapshotter).await?;
        let mut pruned = Pruned::default();
        if let Some(age) = images {
            for name in unused(containerd, age, others).await? {
                delete(containerd, &name, false).await?;
                pruned.images.push(name);
            }
        }
        for left in lease::left(containerd, leftovers).await? {
            end(containerd, store, &left).await?;
        }
        lease::collect(containerd).await?;
        let after = usage(containerd, &snapshotter).await?;
        let gone = before.iter().filter(|(what, _)| !after.contains_key(*what));
        pruned.bytes = gone.map(|(_, bytes)| *bytes).fold(0, u64::saturating_add);
        pruned.images.sort_unstable();
        Ok(pruned)
    })
}

/// Ends a lease, unless the request that it belongs to still runs and so holds its lock.
async fn end(containerd: &Containerd, store: &Store, left: &Left) -> Result<(), Error> {
    if left.id.starts_with(lease::COLLECT) {
        return crate::lease::delete(containerd, &left.id, false).await;
    }
    let lock = match &left.image {
        Some(image) => Lock::try_exclusive(&store.pull_lock(&lease::id(image)))?,
        None => {
            let module = left.id.strip_prefix("shellrt-create-").map(names::check);
            let Some(Ok(module)) = module else {
                return Ok(());
            };
            Lock::try_exclusive(&store.module_lock(&module))?
        }
    };
    let Some(lock) = lock else {
        return Ok(());
    };
    crate::lease::delete(containerd, &left.id, false).await?;
    if left.image.is_some() {
        lock.remove()?;
    }
    Ok(())
}

/// The names of the images that no container was made from.
async fn unused(
    containerd: &Containerd,
    age: Duration,
    others: &[(String, String)],
) -> Result<Vec<String>, Error> {
    let used: BTreeSet<String> = users(containerd)
        .await?
        .into_iter()
        .chain(others.iter().cloned())
        .map(|(_, image)| image)
        .collect();
    let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
    let is_unused = |record: &Record| {
        let is_pinned = record
            .labels
            .get(PINNED.0)
            .is_some_and(|value| value == PINNED.1);
        !is_pinned
            && !used.contains(&record.name)
            && event::now().saturating_sub(record.updated_at) >= age
    };
    let records = found::records(containerd).await?.into_iter();
    Ok(records
        .filter(is_unused)
        .map(|record| record.name)
        .collect())
}

/// What is on the disk, with its bytes.
async fn usage(
    containerd: &Containerd,
    snapshotter: &str,
) -> Result<BTreeMap<(&'static str, String), u64>, Error> {
    let named = |kind: &'static str| move |(name, bytes): (String, u64)| ((kind, name), bytes);
    let mut usage = BTreeMap::new();
    usage.extend(
        content::all(containerd)
            .await?
            .into_iter()
            .map(named("blob")),
    );
    usage.extend(
        ingest::all(containerd)
            .await?
            .into_iter()
            .map(named("ingest")),
    );
    let snapshots = snapshot::all(containerd, snapshotter).await?.into_iter();
    usage.extend(snapshots.map(named("snapshot")));
    Ok(usage)
}
