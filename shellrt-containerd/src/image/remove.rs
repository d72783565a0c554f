//! The images by their names: listing and removing them.

use std::collections::BTreeSet;

use containerd_client::services::v1 as api;
use shellrt_api::v0::img_list;
use shellrt_plugin::registry::{ImageManifest, Manifest, Reference};

use super::content;
use super::found::{self, Record};
use super::{canonical, media};
use crate::containerd::{ask, known, Containerd};
use crate::error::Error;

/// Removes an image: its name and those that mean the same. The disk space that nobody else needs is
/// free when it returns. `others` are modules that have no container in this namespace, with the
/// names of their images.
///
/// # Errors
/// [`Error::ImageNotFound`]; [`Error::ImageInUse`] without `force`; code 10 for the reference.
pub fn remove(
    containerd: &Containerd,
    reference: &str,
    force: bool,
    others: &[(String, String)],
) -> Result<(), Error> {
    let reference = canonical(reference)?;
    let records = containerd.run("list the images", found::records(containerd))?;
    let names = names(&reference, &records);
    if names.is_empty() {
        return Err(Error::ImageNotFound(reference.to_string()));
    }
    if !force {
        let containers = containerd.run("list the containers", users(containerd))?;
        let mine = containers
            .into_iter()
            .chain(others.iter().cloned())
            .filter(|(_, image)| names.contains(image));
        let mut modules: Vec<String> = mine.map(|(name, _)| name).collect();
        modules.sort_unstable();
        modules.dedup();
        if !modules.is_empty() {
            return Err(Error::ImageInUse {
                image: reference.to_string(),
                modules,
            });
        }
    }
    containerd.run("remove the image", async {
        for (at, name) in names.iter().enumerate() {
            delete(containerd, name, at + 1 == names.len()).await?;
        }
        Ok(())
    })
}

/// All images, sorted by name.
///
/// # Errors
/// [`Error::Runtime`].
pub fn list(containerd: &Containerd) -> Result<Vec<img_list::Image>, Error> {
    containerd.run("list the images", async {
        let mut images = Vec::new();
        for record in found::records(containerd).await? {
            // CRI has a record for each image id, which is no reference.
            if record.name.starts_with("sha256:") {
                continue;
            }
            images.push(img_list::Image {
                size: transferred(containerd, &record).await?,
                digest: record.target.digest.to_string(),
                created_at: record.created_at,
                reference: record.name,
            });
        }
        images.sort_unstable_by(|a, b| a.reference.cmp(&b.reference));
        Ok(images)
    })
}

/// Removes a record; with `sync` also everything that nothing needs any more.
pub(super) async fn delete(containerd: &Containerd, name: &str, sync: bool) -> Result<(), Error> {
    let request = api::DeleteImageRequest {
        name: name.to_owned(),
        sync,
        ..Default::default()
    };
    let answer = ask("remove an image", containerd.images().delete(request)).await;
    known(answer).map(drop)
}

/// All containers, sorted, with the names of their images: modules, and what other programs made here.
pub(super) async fn users(containerd: &Containerd) -> Result<Vec<(String, String)>, Error> {
    let request = api::ListContainersRequest::default();
    let answer = ask("list the containers", containerd.containers().list(request)).await?;
    let containers = answer.containers.into_iter();
    let mut users: Vec<_> = containers
        .map(|container| (container.id, container.image))
        .collect();
    users.sort_unstable();
    Ok(users)
}

/// The names of the records that mean the image that `reference` names, the one that the others hang
/// on last; empty where there is no such image.
///
/// Docker Hub has several names. And containerd's CRI keeps beside a tag a record with the digest,
/// which stays as long as another tag of the repository means the same.
fn names(reference: &Reference, records: &[Record]) -> Vec<String> {
    let is_own = |record: &&Record| {
        let parsed = record.name.parse::<Reference>();
        parsed.is_ok_and(|parsed| parsed == *reference)
    };
    let own: Vec<&Record> = records.iter().filter(is_own).collect();
    let is_own_target = |record: &Record| {
        own.iter()
            .any(|own| own.target.digest == record.target.digest)
    };
    let mut by_digest = Vec::new();
    let mut has_another_tag = false;
    for record in records.iter().filter(|record| is_own_target(record)) {
        let Ok(name) = record.name.parse::<Reference>() else {
            continue;
        };
        let is_of_repository =
            name.registry() == reference.registry() && name.repository() == reference.repository();
        if !is_of_repository || name == *reference {
            continue;
        }
        match (name.tag(), name.digest()) {
            (None, Some(_)) => by_digest.push(record.name.clone()),
            (tag, Some(_)) if tag == reference.tag() => by_digest.push(record.name.clone()),
            _ => has_another_tag = true,
        }
    }
    if has_another_tag || reference.tag().is_none() {
        by_digest.clear();
    }
    let mut own: Vec<String> = own.into_iter().map(|record| record.name.clone()).collect();
    // The canonical name last: whoever repeats a request that was killed finds it.
    own.sort_by_key(|name| *name == reference.to_string());
    by_digest.into_iter().chain(own).collect()
}

/// The bytes of everything of an image that is here, as they were transferred.
async fn transferred(containerd: &Containerd, record: &Record) -> Result<u64, Error> {
    let mut open = vec![record.target.clone()];
    let mut seen = BTreeSet::new();
    let mut bytes = 0_u64;
    while let Some(descriptor) = open.pop() {
        if seen.len() > 64 || !seen.insert(descriptor.digest.clone()) {
            continue;
        }
        let kind = descriptor.media_type.as_str();
        let is_index = media::is_index(kind);
        if !is_index && !media::is_manifest(kind) {
            continue;
        }
        // One that is damaged is listed, so that it can be removed.
        let Ok(Some(document)) = content::read(containerd, &descriptor.digest).await else {
            continue;
        };
        let document = Manifest {
            descriptor,
            bytes: document.into(),
        };
        if is_index {
            let children = document.index().map(|index| index.manifests);
            open.extend(children.unwrap_or_default());
        } else if let Ok(ImageManifest { config, layers, .. }) = document.image() {
            for blob in layers.into_iter().chain([config]) {
                if seen.insert(blob.digest) {
                    bytes = bytes.saturating_add(blob.size);
                }
            }
        }
    }
    Ok(bytes)
}
