//! The lease of a pull: it has the same id whenever the same image is pulled, and stays after a
//! failure, so that the garbage collection keeps what has come until the next pull goes on with it.

use std::time::Duration;

use containerd_client::services::v1 as api;
use shellrt_plugin::event;
use shellrt_plugin::registry::Digest;

use super::content::nanoseconds;
use super::labels::Labels;
use super::snapshot;
use crate::containerd::{ask, known, Containerd};
use crate::error::Error;
use crate::lease::{self, date, make, nanos, LABEL};

/// How long what a broken pull left is kept.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A lease that ends within this time is replaced by a new one.
const SPARE: Duration = Duration::from_secs(24 * 60 * 60);

/// On the leases of pulls: the image that is pulled.
const PULL: &str = "shellrt.pull";

/// On the leases of pulls: when the first pull of the image began that did not succeed.
const BEGUN: &str = "shellrt.begun";

/// How the ids of leases begin that hold nothing: their end is what they are for.
pub(super) const COLLECT: &str = "shellrt-collect-";

/// The type of the blobs among what a lease holds.
const BLOB: &str = "content";

/// The lease of one image's pull.
pub(super) struct Lease {
    /// The connection with the lease.
    pub(super) containerd: Containerd,
    id: String,
    /// What an earlier pull of the image left under it.
    earlier: Option<Earlier>,
}

struct Earlier {
    /// When it began, as [`date`] writes it.
    begun: String,
    resources: Vec<api::Resource>,
}

impl Lease {
    /// Takes the image's lease: that of an earlier pull, or a new one.
    pub(super) async fn take(containerd: &Containerd, reference: &str) -> Result<Lease, Error> {
        let id = id(reference);
        let lease = |earlier| Lease {
            containerd: containerd.with_lease(&id),
            id: id.clone(),
            earlier,
        };
        loop {
            if create(containerd, &id, reference, None).await? {
                return Ok(lease(None));
            }
            let Some(mut found) = find(containerd, &id).await? else {
                continue;
            };
            let earlier = Earlier {
                begun: found.labels.remove(BEGUN).unwrap_or_default(),
                resources: resources(containerd, &id).await?,
            };
            if ends_before(&found, event::now() + nanos(SPARE)) {
                renew(containerd, &id, reference, &earlier).await?;
            }
            return Ok(lease(Some(earlier)));
        }
    }

    /// Whether an earlier pull of this image fetched this blob, which came at `created_at`.
    pub(super) fn had(&self, digest: &Digest, created_at: i64) -> bool {
        self.earlier.as_ref().is_some_and(|earlier| {
            let is_blob = |resource: &api::Resource| {
                resource.r#type == BLOB && digest.to_string() == resource.id
            };
            date(created_at) >= earlier.begun && earlier.resources.iter().any(is_blob)
        })
    }

    /// Ends it, and has what nobody else holds collected.
    pub(super) async fn end(&self) -> Result<(), Error> {
        lease::delete(&self.containerd, &self.id, true).await
    }
}

/// Removes snapshots that were being made when an earlier pull of the image ended. Nobody else may
/// work under its lease.
pub(super) async fn tidy(containerd: &Containerd, reference: &str) {
    let resources = match resources(containerd, &id(reference)).await {
        Ok(resources) => resources,
        Err(error) => return log::warn!("{error}"),
    };
    for resource in resources {
        let snapshotter = resource.r#type.strip_prefix("snapshots/");
        if let Some(snapshotter) = snapshotter.filter(|_| snapshot::is_temporary(&resource.id)) {
            snapshot::discard(containerd, snapshotter, &resource.id).await;
        }
    }
}

/// Ends what an earlier pull of the image left, which is complete now.
pub(super) async fn forget(containerd: &Containerd, reference: &str) -> Result<(), Error> {
    lease::delete(containerd, &id(reference), true).await
}

/// Has the lease hold a snapshot, whether there is one or not.
pub(super) async fn hold_snapshot(
    containerd: &Containerd,
    snapshotter: &str,
    key: &str,
) -> Result<(), Error> {
    let Some(id) = containerd.lease() else {
        return Ok(());
    };
    let resource = api::Resource {
        id: key.to_owned(),
        r#type: format!("snapshots/{snapshotter}"),
    };
    hold(containerd, id, resource).await
}

/// Has the lease hold a blob, whether there is one or not.
pub(super) async fn hold_blob(containerd: &Containerd, digest: &str) -> Result<(), Error> {
    let Some(id) = containerd.lease() else {
        return Ok(());
    };
    let resource = api::Resource {
        id: digest.to_owned(),
        r#type: BLOB.to_owned(),
    };
    hold(containerd, id, resource).await
}

/// Has the lease no longer hold a blob.
pub(super) async fn release_blob(containerd: &Containerd, digest: &str) -> Result<(), Error> {
    let Some(id) = containerd.lease() else {
        return Ok(());
    };
    let request = api::DeleteResourceRequest {
        id: id.to_owned(),
        resource: Some(api::Resource {
            id: digest.to_owned(),
            r#type: BLOB.to_owned(),
        }),
    };
    let mut leases = containerd.leases();
    let answer = ask("shorten a lease", leases.delete_resource(request)).await;
    known(answer).map(drop)
}

/// A lease that a broken request left.
#[derive(Debug)]
pub(super) struct Left {
    /// Its id.
    pub(super) id: String,
    /// The image, where it was a pull.
    pub(super) image: Option<String>,
}

/// The leases of requests that broke `age` ago or before, or whose time is over.
pub(super) async fn left(containerd: &Containerd, age: Duration) -> Result<Vec<Left>, Error> {
    let request = api::ListRequest {
        filters: vec![format!("labels.{LABEL:?}")],
    };
    let leases = ask("list the leases", containerd.leases().list(request)).await?;
    let is_left = |lease: &api::Lease| {
        let since = event::now().saturating_sub(nanoseconds(lease.created_at));
        since >= nanos(age) || ends_before(lease, event::now())
    };
    let leases = leases.leases.into_iter().filter(is_left);
    Ok(leases
        .map(|mut lease| Left {
            image: lease.labels.remove(PULL),
            id: lease.id,
        })
        .collect())
}

/// Has containerd collect its garbage, and waits for that: the end of any lease is an occasion.
pub(super) async fn collect(containerd: &Containerd) -> Result<(), Error> {
    let id = format!("{COLLECT}{}", super::random::characters());
    make(containerd, &id, SPARE, Labels::new()).await?;
    lease::delete(containerd, &id, true).await
}

/// The name of the lease, and of the lock, of an image's pull.
pub(super) fn id(reference: &str) -> String {
    format!(
        "shellrt-pull-{}",
        &Digest::of(reference.as_bytes()).hex()[..16]
    )
}

/// Makes the lease; false where there is one.
async fn create(
    containerd: &Containerd,
    id: &str,
    reference: &str,
    begun: Option<&str>,
) -> Result<bool, Error> {
    let begun = begun.map_or_else(|| date(event::now()), str::to_owned);
    let labels = Labels::from([
        (PULL.to_owned(), reference.to_owned()),
        (BEGUN.to_owned(), begun),
    ]);
    make(containerd, id, KEPT, labels).await
}

/// Gives a lease another week. There is no call for that, so there is a new one with the same id, and
/// another one that holds everything while there is none.
async fn renew(
    containerd: &Containerd,
    id: &str,
    reference: &str,
    earlier: &Earlier,
) -> Result<(), Error> {
    let Earlier { begun, resources } = earlier;
    let meanwhile = format!("{id}-{}", super::random::characters());
    create(containerd, &meanwhile, reference, Some(begun)).await?;
    for resource in resources {
        hold(containerd, &meanwhile, resource.clone()).await?;
    }
    lease::delete(containerd, id, false).await?;
    create(containerd, id, reference, Some(begun)).await?;
    for resource in resources {
        hold(containerd, id, resource.clone()).await?;
    }
    lease::delete(containerd, &meanwhile, false).await
}

async fn find(containerd: &Containerd, id: &str) -> Result<Option<api::Lease>, Error> {
    let request = api::ListRequest {
        filters: vec![format!("id=={id:?}")],
    };
    let leases = ask("list the leases", containerd.leases().list(request)).await?;
    Ok(leases.leases.into_iter().find(|lease| lease.id == id))
}

async fn resources(containerd: &Containerd, id: &str) -> Result<Vec<api::Resource>, Error> {
    let request = api::ListResourcesRequest { id: id.to_owned() };
    let answer = ask(
        "list what a lease holds",
        containerd.leases().list_resources(request),
    )
    .await;
    Ok(known(answer)?.map_or_else(Vec::new, |answer| answer.resources))
}

async fn hold(containerd: &Containerd, id: &str, resource: api::Resource) -> Result<(), Error> {
    let request = api::AddResourceRequest {
        id: id.to_owned(),
        resource: Some(resource),
    };
    ask("extend a lease", containerd.leases().add_resource(request)).await?;
    Ok(())
}

/// Whether a lease of ours ends before `time`. All its times have the same length, so they sort as
/// text.
fn ends_before(lease: &api::Lease, time: i64) -> bool {
    let end = lease.labels.get(lease::EXPIRE);
    end.is_some_and(|end| *end < date(time))
}
