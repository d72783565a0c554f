//! What is on this machine: containerd's records, and behind each the documents for a platform.

use containerd_client::services::v1 as api;
use containerd_client::types::Descriptor as ApiDescriptor;
use shellrt_plugin::registry::{self, Descriptor, ImageManifest, Manifest, Platform};

use super::content::{self, nanoseconds, size};
use super::{chain, labels, media, snapshot, Config, Image};
use crate::containerd::{ask, known, Containerd};
use crate::error::Error;

/// containerd's record of an image.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) name: String,
    /// What the name stands for: an index or a manifest.
    pub(super) target: Descriptor,
    pub(super) labels: labels::Labels,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
}

impl Record {
    /// `None` where its digest is none that can be verified.
    fn of(image: api::Image) -> Option<Record> {
        let target = image.target?;
        Some(Record {
            name: image.name,
            target: Descriptor::new(
                target.media_type,
                target.digest.parse().ok()?,
                size(target.size),
            ),
            labels: image.labels.into_iter().collect(),
            created_at: nanoseconds(image.created_at),
            updated_at: nanoseconds(image.updated_at),
        })
    }
}

/// The record of this name.
pub(super) async fn record(containerd: &Containerd, name: &str) -> Result<Option<Record>, Error> {
    let request = api::GetImageRequest {
        name: name.to_owned(),
    };
    let answer = ask("look at an image", containerd.images().get(request)).await;
    let image = known(answer)?.and_then(|answer| answer.image);
    Ok(image.and_then(Record::of))
}

/// All records.
pub(super) async fn records(containerd: &Containerd) -> Result<Vec<Record>, Error> {
    let request = api::ListImagesRequest::default();
    let answer = ask("list the images", containerd.images().list(request)).await?;
    Ok(answer.images.into_iter().filter_map(Record::of).collect())
}

/// Writes the record of an image that is complete, with `labels`. Those that others gave it stay.
pub(super) async fn write(
    containerd: &Containerd,
    name: &str,
    target: &Descriptor,
    labels: labels::Labels,
) -> Result<(), Error> {
    loop {
        let request = api::CreateImageRequest {
            image: Some(image(name, target, &labels)),
            ..Default::default()
        };
        match ask("record an image", containerd.images().create(request)).await {
            Err(error) if error.is_already_exists() => {}
            answer => return answer.map(drop),
        }
        if update(containerd, name, target, &labels).await? {
            return Ok(());
        }
    }
}

/// Writes the record of an image that was complete a moment ago once more, for its time alone. Where
/// somebody has removed it, so be it.
pub(super) async fn rewrite(
    containerd: &Containerd,
    name: &str,
    target: &Descriptor,
) -> Result<(), Error> {
    update(containerd, name, target, &labels::Labels::new()).await?;
    Ok(())
}

/// Changes a record; false where there is none.
async fn update(
    containerd: &Containerd,
    name: &str,
    target: &Descriptor,
    labels: &labels::Labels,
) -> Result<bool, Error> {
    let paths = labels.keys().map(|key| format!("labels.{key}"));
    let request = api::UpdateImageRequest {
        image: Some(image(name, target, labels)),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.chain(["target".to_owned()]).collect(),
        }),
        ..Default::default()
    };
    let answer = ask("record an image", containerd.images().update(request)).await;
    Ok(known(answer)?.is_some())
}

fn image(name: &str, target: &Descriptor, labels: &labels::Labels) -> api::Image {
    api::Image {
        name: name.to_owned(),
        target: Some(ApiDescriptor {
            media_type: target.media_type.clone(),
            digest: target.digest.to_string(),
            size: i64::try_from(target.size).unwrap_or(i64::MAX),
            ..Default::default()
        }),
        labels: labels.clone().into_iter().collect(),
        ..Default::default()
    }
}

/// The documents of an image that are here.
#[derive(Debug)]
pub(super) struct Documents {
    /// As a registry would give them.
    pub(super) image: registry::Image,
    pub(super) manifest: ImageManifest,
    pub(super) config: Config,
    pub(super) platform: Platform,
}

/// What of an image is here.
pub(super) enum Found {
    /// Its documents for a platform that suits.
    Documents(Box<Documents>),
    /// It is for these.
    OtherPlatforms(Vec<Platform>),
    /// Documents are missing.
    Nothing,
}

/// How many documents a strange index can make us read.
const DOCUMENTS_MAX: usize = 64;

/// The documents of what `target` names for `wanted`: those that suit best of what is here. With
/// `strict` only those that suit best of all, be they here or not.
///
/// # Errors
/// [`Error::ImageInvalid`] for documents that can't be read.
pub(super) async fn documents(
    containerd: &Containerd,
    target: &Descriptor,
    wanted: &Platform,
    strict: bool,
) -> Result<Found, Error> {
    let mut best: Option<(u32, Documents)> = None;
    // The best that is not here.
    let mut missed: Option<u32> = None;
    let mut unfit: Vec<(Platform, Descriptor)> = Vec::new();
    let mut open: Vec<(Vec<Manifest>, Descriptor)> = vec![(Vec::new(), target.clone())];
    for _ in 0..DOCUMENTS_MAX {
        let Some((parents, descriptor)) = open.pop() else {
            break;
        };
        let said = descriptor.platform.clone().filter(is_said);
        let rank = said.as_ref().map(|platform| wanted.rank(platform));
        if let (Some(None), Some(platform)) = (rank, said.clone()) {
            unfit.push((platform, descriptor));
            continue;
        }
        let mut miss = || {
            let rank = rank.flatten().unwrap_or_default();
            missed = Some(missed.map_or(rank, |least| least.min(rank)));
        };
        let Some(document) = read(containerd, descriptor).await? else {
            miss();
            continue;
        };
        if document.is_index() {
            let children = document.index()?.manifests;
            let parents: Vec<Manifest> = parents.into_iter().chain([document]).collect();
            let images = children
                .into_iter()
                .rev()
                .filter(|child| !is_statement(child));
            open.extend(images.map(|child| (parents.clone(), child)));
            continue;
        }
        let manifest = document.image()?;
        let Some(bytes) = content::read(containerd, &manifest.config.digest).await? else {
            miss();
            continue;
        };
        let config = Config::parse(&manifest.config.digest, &bytes)?;
        let own = Some(config.platform.clone()).filter(is_said);
        let platform = said.clone().or(own).unwrap_or_else(|| wanted.clone());
        let Some(rank) = wanted.rank(&platform) else {
            unfit.push((platform, document.descriptor));
            continue;
        };
        // They are looked at in their order, and the first of several wins.
        if best.as_ref().is_none_or(|(least, _)| rank < *least) {
            let image = registry::Image {
                parents,
                manifest: document,
                platform: said,
            };
            best = Some((
                rank,
                Documents {
                    image,
                    manifest,
                    config,
                    platform,
                },
            ));
        }
    }
    match best {
        Some((rank, _)) if strict && missed.is_some_and(|missed| missed < rank) => {
            Ok(Found::Nothing)
        }
        Some((_, documents)) => Ok(Found::Documents(Box::new(documents))),
        None => {
            let mut platforms = Vec::new();
            for (platform, descriptor) in unfit {
                let is_here = content::info(containerd, &descriptor.digest)
                    .await?
                    .is_some();
                if is_here && !platforms.contains(&platform) {
                    platforms.push(platform);
                }
            }
            Ok(match platforms.is_empty() {
                true => Found::Nothing,
                false => Found::OtherPlatforms(platforms),
            })
        }
    }
}

impl Documents {
    /// Whether everything is here that the image needs to run.
    pub(super) async fn is_complete(
        &self,
        containerd: &Containerd,
        snapshotter: &str,
    ) -> Result<bool, Error> {
        let chain = chain::ids(&self.config.rootfs.diff_ids);
        let Some(top) = chain.last() else {
            return Ok(true);
        };
        let config = content::info(containerd, &self.manifest.config.digest).await?;
        // Without the label the snapshot is another image's, and goes with that.
        let label =
            config.and_then(|mut config| config.labels.remove(&labels::snapshot(snapshotter)));
        Ok(label.as_ref() == Some(top) && snapshot::is_there(containerd, snapshotter, top).await?)
    }

    /// As the rest of the plugin sees it.
    pub(super) fn image(&self, record: &Record) -> Image {
        Image {
            reference: record.name.clone(),
            digest: record.target.digest.clone(),
            manifest: self.image.manifest.descriptor.digest.clone(),
            image_id: self.manifest.config.digest.clone(),
            platform: self.platform.clone(),
            config: self.config.clone(),
            chain_id: chain::ids(&self.config.rootfs.diff_ids)
                .pop()
                .unwrap_or_default(),
            size: transferred(&self.manifest),
            created_at: record.created_at,
            pulled_at: record.updated_at,
        }
    }
}

/// The bytes of config and layers as they are transferred.
pub(super) fn transferred(manifest: &ImageManifest) -> u64 {
    let layers = manifest.layers.iter().map(|layer| layer.size);
    layers.fold(manifest.config.size, u64::saturating_add)
}

/// A document of the content store; `None` where it is not here.
async fn read(
    containerd: &Containerd,
    mut descriptor: Descriptor,
) -> Result<Option<Manifest>, Error> {
    let Some(bytes) = content::read(containerd, &descriptor.digest).await? else {
        return Ok(None);
    };
    let kind = descriptor.media_type.as_str();
    if !media::is_index(kind) && !media::is_manifest(kind) {
        // Old indexes leave the type out.
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let is_index = value.get("manifests").is_some();
        descriptor.media_type = match (is_index, kind) {
            (true, _) => "application/vnd.oci.image.index.v1+json".to_owned(),
            (false, "") => "application/vnd.oci.image.manifest.v1+json".to_owned(),
            (false, other) => {
                return Err(Error::ImageInvalid {
                    image: descriptor.digest.to_string(),
                    reason: format!("its type {other:?} is neither an image's nor an index's"),
                })
            }
        };
    }
    Ok(Some(Manifest {
        descriptor,
        bytes: bytes.into(),
    }))
}

fn is_said(platform: &Platform) -> bool {
    !platform.architecture.is_empty()
}

/// Whether it is no image but a statement about one, as build tools add to an index.
fn is_statement(descriptor: &Descriptor) -> bool {
    let is_unknown = |platform: &Platform| platform.os == "unknown";
    descriptor
        .annotations
        .contains_key("vnd.docker.reference.type")
        || descriptor.platform.as_ref().is_some_and(is_unknown)
}
