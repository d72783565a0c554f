//! An image in another namespace of the same containerd: its blobs are there already and are only
//! made known, but each namespace has snapshots of its own.

use std::time::Duration;

use containerd_client::services::v1 as api;
use shellrt_plugin::registry::{Descriptor, Manifest, Reference};

use super::ingest::{Finished, Ingest, Opened};
use super::labels::{self, Labels};
use super::{content, found, layers, lease, random, remove, Image};
use crate::containerd::{ask, Containerd};
use crate::error::Error;
use crate::lease as leases;

/// On the records that we have made in another namespace: our own.
const OWNER: &str = "shellrt.namespace";

/// How long what a killed request made is held.
const LEASE: Duration = Duration::from_secs(3600);

/// How long until it is tried again what somebody else is writing.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// Makes `image`, which is in the namespace of `ours`, known in that of `theirs`, unpacked for
/// `snapshotter`, with more labels on its record.
///
/// # Errors
/// [`Error::ImageNotFound`] where something of it is missing, [`Error::Runtime`].
pub fn share(
    ours: &Containerd,
    theirs: &Containerd,
    image: &Image,
    snapshotter: &str,
    more: &[(&str, &str)],
) -> Result<(), Error> {
    let id = format!("shellrt-share-{}", random::characters());
    leases::hold(theirs, &id, LEASE)?;
    let shared = ours.run("share the image", async {
        let leased = theirs.with_lease(&id);
        let absent = || Error::ImageNotFound(image.reference.clone());
        let record = found::record(ours, &image.reference).await?;
        let target = record.ok_or_else(absent)?.target;
        let found = found::documents(ours, &target, &image.platform, false).await?;
        let found::Found::Documents(documents) = found else {
            return Err(absent());
        };
        let manifest = &documents.manifest;
        for descriptor in manifest.layers.iter().chain([&manifest.config]) {
            blob(ours, &leased, descriptor, Labels::new()).await?;
        }
        let parents: &[Manifest] = &documents.image.parents;
        for document in [&documents.image.manifest].into_iter().chain(parents) {
            let children = labels::children(document)?;
            blob(ours, &leased, &document.descriptor, children).await?;
        }
        layers::unpack(&leased, image, snapshotter).await?;
        // What others have put there stays theirs.
        let is_new = found::record(theirs, &image.reference).await?.is_none();
        let owner = is_new.then_some((OWNER, ours.namespace()));
        let labels = more.iter().copied().chain(owner);
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        found::write(theirs, &image.reference, &target, labels.collect()).await
    });
    let released = leases::release(&theirs.to_undo(), &id);
    shared.and(released)
}

/// Makes a blob known, with `labels`; the lease holds it.
async fn blob(
    ours: &Containerd,
    theirs: &Containerd,
    descriptor: &Descriptor,
    labels: Labels,
) -> Result<(), Error> {
    let digest = &descriptor.digest;
    loop {
        match Ingest::open(theirs, descriptor).await? {
            Opened::Exists => break,
            Opened::Locked => tokio::time::sleep(TRY_AGAIN).await,
            Opened::Ready(mut ingest) => {
                // Where namespaces share nothing, the bytes are needed.
                if ingest.offset() < descriptor.size {
                    copy(ours, descriptor, &mut ingest).await?;
                }
                match ingest.commit(labels.clone()).await? {
                    Finished::Done => return Ok(()),
                    Finished::Exists => break,
                    Finished::Wrong(_) => {
                        return Err(Error::ImageInvalid {
                            image: digest.to_string(),
                            reason: "the disk has changed it; remove the image and pull it again"
                                .to_owned(),
                        });
                    }
                }
            }
        }
    }
    lease::hold_blob(theirs, &digest.to_string()).await?;
    content::label(theirs, digest, labels).await
}

async fn copy(
    ours: &Containerd,
    descriptor: &Descriptor,
    ingest: &mut Ingest,
) -> Result<(), Error> {
    let request = api::ReadContentRequest {
        digest: descriptor.digest.to_string(),
        offset: i64::try_from(ingest.offset()).unwrap_or(i64::MAX),
        ..Default::default()
    };
    let doing = "read a blob";
    let mut chunks = ask(doing, ours.content().read(request)).await?;
    loop {
        let chunk = chunks.message().await;
        match chunk.map_err(|status| Error::refused(doing, status))? {
            Some(chunk) => ingest.write(chunk.data).await?,
            None => return Ok(()),
        }
    }
}

/// Removes from the namespace of `theirs` what `share` has put there of the image that `reference`
/// names, and what others made of that alone.
///
/// # Errors
/// [`Error::Runtime`]; code 10 for the reference.
pub fn unshare(ours: &Containerd, theirs: &Containerd, reference: &str) -> Result<(), Error> {
    let reference: Reference = super::canonical(reference)?;
    let (records, names) = theirs.run("list the images", async {
        let records = found::records(theirs).await?;
        let names: Vec<String> = records
            .iter()
            .filter(|record| {
                let is_ours = record.labels.get(OWNER).map(String::as_str);
                let parsed = record.name.parse::<Reference>();
                is_ours == Some(ours.namespace()) && parsed.is_ok_and(|name| name == reference)
            })
            .map(|record| record.name.clone())
            .collect();
        Ok((records, names))
    })?;
    if names.is_empty() {
        return Ok(());
    }
    // Beside each image there is a record with its id, made for whoever asks by that.
    let is_id = |name: &str| name.starts_with("sha256:");
    let targets = records.iter().filter(|record| names.contains(&record.name));
    let mut all = names.clone();
    for target in targets.map(|record| &record.target.digest) {
        let same = || {
            records
                .iter()
                .filter(|other| other.target.digest == *target)
        };
        if same().all(|other| is_id(&other.name) || names.contains(&other.name)) {
            let ids = same().map(|other| other.name.clone());
            all.extend(ids.filter(|name| is_id(name)));
        }
    }
    theirs.run("remove the image", async {
        for (at, name) in all.iter().enumerate() {
            remove::delete(theirs, name, at + 1 == all.len()).await?;
        }
        Ok(())
    })
}
