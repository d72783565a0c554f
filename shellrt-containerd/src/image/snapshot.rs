//! Layers become snapshots, one over the other.

use std::future::Future;
use std::path::Path;

use containerd_client::services::v1::snapshots as snapshots_api;
use containerd_client::types::Mount;
use shellrt_plugin::event;
use shellrt_plugin::registry::{Descriptor, Digest};

use super::content::{self, size};
use super::labels::{Labels, SNAPSHOT_REF, UNCOMPRESSED};
use super::unpack::{Fed, Unpacked, Way, Ways};
use super::{lease, random};
use crate::containerd::{ask, known, Containerd};
use crate::error::Error;

/// One layer and what it becomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layer<'a> {
    /// The image, for messages.
    pub(super) image: &'a str,
    pub(super) snapshotter: &'a str,
    /// The snapshot below; empty for the lowest.
    pub(super) parent: &'a str,
    /// What it becomes.
    pub(super) chain: &'a str,
    pub(super) descriptor: &'a Descriptor,
    /// Its digest as a plain tar.
    pub(super) diff_id: &'a Digest,
}

impl Layer<'_> {
    /// The error where the layer is to blame.
    pub(super) fn invalid(&self, reason: String) -> Error {
        Error::ImageInvalid {
            image: self.image.to_owned(),
            reason: format!("layer \"{}\" {reason}", self.descriptor.digest),
        }
    }

    /// Whether it was unpacked to what the config says.
    fn check(&self, digest: &str) -> Result<(), Error> {
        if digest == self.diff_id.to_string() {
            return Ok(());
        }
        Err(self.invalid(format!(
            "unpacks to \"{digest}\", and the config says \"{}\"",
            self.diff_id
        )))
    }
}

/// How often somebody else may come first, or take away what we found.
const TRIES: u32 = 5;

/// Whether the snapshot is here; if so, the lease holds it, and with it those below.
pub(super) async fn is_held(
    containerd: &Containerd,
    snapshotter: &str,
    chain: &str,
) -> Result<bool, Error> {
    if !is_there(containerd, snapshotter, chain).await? {
        return Ok(false);
    }
    lease::hold_snapshot(containerd, snapshotter, chain).await?;
    // It may have been collected before the lease held it.
    is_there(containerd, snapshotter, chain).await
}

pub(super) async fn is_there(
    containerd: &Containerd,
    snapshotter: &str,
    key: &str,
) -> Result<bool, Error> {
    let request = snapshots_api::StatSnapshotRequest {
        snapshotter: snapshotter.to_owned(),
        key: key.to_owned(),
    };
    let answer = ask("look at a snapshot", containerd.snapshots().stat(request)).await;
    Ok(known(answer)?.is_some())
}

/// Unpacks a layer, unless its snapshot is here; says which way, if it did. `fed`: its bytes as they
/// come; `arrived` waits until its blob is here.
///
/// # Errors
/// [`Error::ImageInvalid`] where the layer is not what the config says, or no archive.
pub(super) async fn unpack(
    containerd: &Containerd,
    layer: &Layer<'_>,
    ways: &Ways,
    mut fed: Option<Fed>,
    arrived: impl Future<Output = ()>,
) -> Result<Option<Way>, Error> {
    let mut arrived = std::pin::pin!(arrived);
    let mut is_here = false;
    let mut way = ways.first();
    if fed.is_none() || way != Way::Direct {
        fed = None;
        arrived.as_mut().await;
        is_here = true;
    }
    let mut tries = TRIES;
    while tries > 0 {
        tries -= 1;
        if is_held(containerd, layer.snapshotter, layer.chain).await? {
            return Ok(None);
        }
        let key = format!(
            "extract-{}-{} {}",
            event::now() % 1_000_000_000,
            random::characters(),
            layer.chain
        );
        let Some(mounts) = prepare(containerd, layer, &key).await? else {
            continue;
        };
        let dirs: Vec<String> = mounts.iter().filter_map(written).collect();
        let done = ways
            .unpack(containerd, layer, way, mounts, fed.take())
            .await;
        if !is_here {
            // What is wrong with it the registry's side knows better.
            arrived.as_mut().await;
            is_here = true;
        }
        let made = match done {
            Ok(Unpacked::Done(digest)) => match layer.check(&digest) {
                Ok(()) => {
                    sync(dirs).await;
                    commit(containerd, layer, &key).await
                }
                Err(error) => Err(error),
            },
            Ok(Unpacked::Next(next)) => {
                discard(containerd, layer.snapshotter, &key).await;
                way = next;
                tries += 1;
                continue;
            }
            Err(error) => Err(error),
        };
        match made {
            Ok(true) => return Ok(Some(way)),
            Ok(false) => discard(containerd, layer.snapshotter, &key).await,
            Err(error) => {
                discard(containerd, layer.snapshotter, &key).await;
                return Err(error);
            }
        }
    }
    Err(Error::Runtime {
        doing: "unpack a layer",
        source: crate::error::Refusal {
            code: tonic::Code::Aborted,
            words: format!(
                "snapshot {} comes and goes; somebody else works with it",
                layer.chain
            ),
        },
    })
}

/// A place to unpack the layer to; `None` where somebody else was first.
async fn prepare(
    containerd: &Containerd,
    layer: &Layer<'_>,
    key: &str,
) -> Result<Option<Vec<Mount>>, Error> {
    let request = snapshots_api::PrepareSnapshotRequest {
        snapshotter: layer.snapshotter.to_owned(),
        key: key.to_owned(),
        parent: layer.parent.to_owned(),
        labels: [(SNAPSHOT_REF.to_owned(), layer.chain.to_owned())].into(),
    };
    let answer = ask(
        "prepare a snapshot",
        containerd.snapshots().prepare(request),
    )
    .await;
    match answer {
        Ok(answer) => Ok(Some(answer.mounts)),
        Err(error) if error.is_already_exists() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits until all that was unpacked is on the disk. Old daemons don't do it, and say nothing of it.
/// Where the disk is clean already it costs nothing.
async fn sync(dirs: Vec<String>) {
    let synced = tokio::task::spawn_blocking(move || {
        for dir in dirs {
            if let Ok(dir) = std::fs::File::open(&dir) {
                if let Err(errno) = rustix::fs::syncfs(dir) {
                    log::warn!("can't write the layer to the disk now: {errno}");
                }
            }
        }
    });
    // It does not panic.
    let _ = synced.await;
}

/// Gives the snapshot its name; false where somebody else was first. The label comes before: whoever
/// finds the snapshot, after a kill too, does not look at the blob again.
async fn commit(containerd: &Containerd, layer: &Layer<'_>, key: &str) -> Result<bool, Error> {
    let diff_id = layer.diff_id.to_string();
    let labels = Labels::from([(UNCOMPRESSED.to_owned(), diff_id)]);
    content::label(containerd, &layer.descriptor.digest, labels).await?;
    let request = snapshots_api::CommitSnapshotRequest {
        snapshotter: layer.snapshotter.to_owned(),
        name: layer.chain.to_owned(),
        key: key.to_owned(),
        ..Default::default()
    };
    match ask("commit a snapshot", containerd.snapshots().commit(request)).await {
        Ok(()) => Ok(true),
        Err(error) if error.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a snapshot that is of no use; where that fails it goes with its lease.
pub(super) async fn discard(containerd: &Containerd, snapshotter: &str, key: &str) {
    let request = snapshots_api::RemoveSnapshotRequest {
        snapshotter: snapshotter.to_owned(),
        key: key.to_owned(),
    };
    let answer = ask("remove a snapshot", containerd.snapshots().remove(request)).await;
    if let Err(error) = known(answer) {
        log::warn!("{error}: {key:?}; it goes with its lease");
    }
}

/// Whether this is the key of a layer that is being unpacked.
pub(super) fn is_temporary(key: &str) -> bool {
    key.starts_with("extract-")
}

/// All snapshots, with the bytes that each takes by itself.
pub(super) async fn all(
    containerd: &Containerd,
    snapshotter: &str,
) -> Result<Vec<(String, u64)>, Error> {
    let doing = "list the snapshots";
    let request = snapshots_api::ListSnapshotsRequest {
        snapshotter: snapshotter.to_owned(),
        ..Default::default()
    };
    let mut snapshots = containerd.snapshots();
    let mut answers = ask(doing, snapshots.list(request)).await?;
    let mut keys = Vec::new();
    while let Some(answer) = answers
        .message()
        .await
        .map_err(|status| Error::refused(doing, status))?
    {
        keys.extend(answer.info.into_iter().map(|info| info.name));
    }
    let mut all = Vec::new();
    for key in keys {
        let request = snapshots_api::UsageRequest {
            snapshotter: snapshotter.to_owned(),
            key: key.clone(),
        };
        let answer = ask("measure a snapshot", snapshots.usage(request)).await;
        // One that goes meanwhile is left out.
        if let Some(usage) = known(answer)? {
            all.push((key, size(usage.size)));
        }
    }
    Ok(all)
}

/// The directory that a layer is unpacked to, where this mount is one that we may see.
fn written(mount: &Mount) -> Option<String> {
    let dir = match mount.r#type.as_str() {
        "overlay" | "fuse3.fuse-overlayfs" => {
            let upper = |option: &String| option.strip_prefix("upperdir=").map(str::to_owned);
            mount.options.iter().find_map(upper)?
        }
        "bind" => mount.source.clone(),
        _ => return None,
    };
    Path::new(&dir).is_absolute().then_some(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_that_is_written_is_found() {
        let mount = |kind: &str, source: &str, options: &[&str]| Mount {
            r#type: kind.to_owned(),
            source: source.to_owned(),
            target: String::new(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        };
        let overlay = [
            "index=off",
            "workdir=/r/3/work",
            "upperdir=/r/3/fs",
            "lowerdir=/r/2/fs:/r/1/fs",
        ];
        let written = |mount| written(&mount);
        assert_eq!(
            written(mount("overlay", "overlay", &overlay)).as_deref(),
            Some("/r/3/fs")
        );
        assert_eq!(
            written(mount("bind", "/r/1/fs", &["rw", "rbind"])).as_deref(),
            Some("/r/1/fs")
        );
        assert_eq!(written(mount("ext4", "/dev/dm-1", &[])), None);
    }
}
