//! The layers of an image: which are here, getting the others, and unpacking them in their order.

use std::cell::RefCell;
use std::collections::BTreeMap;

use futures_util::future::try_join;
use futures_util::stream::{self, TryStreamExt};
use shellrt_api::v0::img_pull::Phase;
use shellrt_plugin::registry::{Descriptor, Digest, ImageManifest};
use tokio::sync::watch;

use super::fetch::{Fetched, Source};
use super::labels::{self, Labels};
use super::lease::Lease;
use super::room::Stores;
use super::unpack::{feed, Way, Ways};
use super::{chain, content, ingest, media, snapshot, Image};
use crate::containerd::Containerd;
use crate::error::Error;

/// How many layers are fetched at once.
const AT_ONCE: usize = 4;

/// The layers of an image, lowest first.
pub(super) struct Layers<'a> {
    pub(super) descriptors: &'a [Descriptor],
    diff_ids: &'a [Digest],
    pub(super) chain: Vec<String>,
}

/// What getting layers took.
#[derive(Default)]
pub(super) struct Got {
    pub(super) fetched: u64,
    pub(super) resumed: u64,
    /// The slowest way in which any of them was unpacked.
    pub(super) unpacked: Option<Way>,
    /// The layers whose blobs were here before.
    existed: Vec<Digest>,
}

/// Why layers were not got.
pub(super) enum Stop {
    Failed(Error),
    /// A layer's blob was here, but not what it should be. It is removed.
    Damaged(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// Whether a power loss may be the cause of it.
fn is_damage(error: &Error) -> bool {
    error.is_not_found() || matches!(error, Error::ImageInvalid { .. })
}

impl<'a> Layers<'a> {
    pub(super) fn of(descriptors: &'a [Descriptor], diff_ids: &'a [Digest]) -> Layers<'a> {
        Layers {
            descriptors,
            diff_ids,
            chain: chain::ids(diff_ids),
        }
    }

    fn at<'b>(&'b self, image: &'b str, snapshotter: &'b str, at: usize) -> snapshot::Layer<'b> {
        let below = at.checked_sub(1);
        snapshot::Layer {
            image,
            snapshotter,
            parent: below.map_or("", |below| &self.chain[below]),
            chain: &self.chain[at],
            descriptor: &self.descriptors[at],
            diff_id: &self.diff_ids[at],
        }
    }

    /// How many of the layers, from the lowest, are snapshots already; the lease holds those now.
    pub(super) async fn unpacked(
        &self,
        containerd: &Containerd,
        snapshotter: &str,
    ) -> Result<usize, Error> {
        // A snapshot has all those below it, so the highest comes first.
        for at in (0..self.chain.len()).rev() {
            if snapshot::is_held(containerd, snapshotter, &self.chain[at]).await? {
                return Ok(at + 1);
            }
        }
        Ok(0)
    }

    /// Fetches the layers above `below`, several at once, and unpacks them in their order.
    pub(super) async fn get(
        &self,
        source: &Source<'_>,
        below: usize,
        survey: &Survey,
        stores: &Stores,
    ) -> Result<Got, Stop> {
        let ways = Ways::new(stores);
        let image = source.reference.to_string();
        let got = RefCell::new(Got::default());
        // The same layer may be there twice.
        let arrivals: BTreeMap<&Digest, watch::Sender<bool>> = self.descriptors[below..]
            .iter()
            .map(|layer| (&layer.digest, watch::Sender::new(false)))
            .collect();
        let mut first: Vec<&Descriptor> = Vec::new();
        for layer in &self.descriptors[below..] {
            if !first.iter().any(|known| known.digest == layer.digest) {
                first.push(layer);
            }
        }
        // The lowest layer is unpacked while it comes; the others wait for those below them anyway.
        let (feed, fed) = feed();
        let feed = RefCell::new(Some(feed));
        let fetching = stream::iter(first.into_iter().map(Ok)).try_for_each_concurrent(
            AT_ONCE,
            |layer: &Descriptor| {
                let (got, arrivals, feed) = (&got, &arrivals, &feed);
                async move {
                    let begun = survey.begun.contains(&layer.digest);
                    // The lowest is the first that comes here.
                    let feed = feed.borrow_mut().take();
                    let fetched: Fetched = source.layer(layer, begun, feed).await?;
                    let mut got = got.borrow_mut();
                    got.fetched += fetched.bytes;
                    got.resumed += fetched.resumed;
                    if fetched.existed {
                        got.existed.push(layer.digest.clone());
                    }
                    if let Some(arrival) = arrivals.get(&layer.digest) {
                        arrival.send_replace(true);
                    }
                    Ok::<_, Stop>(())
                }
            },
        );
        let mut fed = Some(fed);
        let unpacking = async {
            for at in below..self.descriptors.len() {
                let layer = self.at(&image, &stores.snapshotter, at);
                let (digest, size) = (&layer.descriptor.digest, layer.descriptor.size);
                let mut early = fed.take();
                if let Some(fed) = &mut early {
                    if !fed.begins().await {
                        early = None;
                    }
                }
                let arrived = async {
                    if let Some(arrival) = arrivals.get(digest) {
                        // Its sender lives as long as this.
                        let _ = arrival.subscribe().wait_for(|here| *here).await;
                    }
                    (source.listener)(digest, 0, size, Phase::Unpack);
                };
                let containerd = source.containerd;
                let unpacked = snapshot::unpack(containerd, &layer, &ways, early, arrived).await;
                let unpacked = match unpacked {
                    // What came just now is what the registry has.
                    Err(error) if is_damage(&error) && got.borrow().existed.contains(digest) => {
                        log::warn!("{error}; fetching the layer once more");
                        content::delete(source.containerd, digest).await?;
                        return Err(Stop::Damaged(error));
                    }
                    unpacked => unpacked?,
                };
                let mut got = got.borrow_mut();
                got.unpacked = got.unpacked.max(unpacked);
                (source.listener)(digest, size, size, Phase::Unpack);
            }
            Ok(())
        };
        try_join(fetching, unpacking).await?;
        Ok(got.into_inner())
    }
}

/// What of an image's layers is still to be done.
#[derive(Default)]
pub(super) struct Survey {
    /// Bytes to be fetched.
    pub(super) to_fetch: u64,
    /// Bytes that unpacking may take.
    pub(super) to_unpack: u64,
    /// Bytes that an earlier, broken pull of this image fetched whole.
    pub(super) resumed: u64,
    /// Layers of which a part is here.
    begun: Vec<Digest>,
    /// Whether nothing is to be fetched.
    pub(super) is_complete: bool,
}

impl Survey {
    pub(super) async fn of(
        containerd: &Containerd,
        lease: &Lease,
        layers: &Layers<'_>,
        below: usize,
    ) -> Result<Survey, Error> {
        let mut survey = Survey {
            is_complete: true,
            ..Default::default()
        };
        let mut seen: Vec<&Digest> = Vec::new();
        for (at, layer) in layers.descriptors.iter().enumerate() {
            if at >= below {
                let unpacked = layer.size.saturating_mul(media::growth(&layer.media_type));
                survey.to_unpack = survey.to_unpack.saturating_add(unpacked);
            }
            if seen.contains(&&layer.digest) {
                continue;
            }
            seen.push(&layer.digest);
            if let Some(blob) = content::info(containerd, &layer.digest).await? {
                if lease.had(&layer.digest, blob.created_at) {
                    survey.resumed += blob.size;
                }
            } else if at >= below {
                let offset = ingest::offset(containerd, layer).await?;
                if let Some(offset) = offset {
                    survey.begun.push(layer.digest.clone());
                    survey.is_complete &= offset == layer.size;
                } else {
                    survey.is_complete = false;
                }
                let missing = layer.size.saturating_sub(offset.unwrap_or_default());
                survey.to_fetch = survey.to_fetch.saturating_add(missing);
            }
        }
        Ok(survey)
    }
}

/// See [`super::unpack`].
pub(super) async fn unpack(
    containerd: &Containerd,
    image: &Image,
    snapshotter: &str,
) -> Result<(), Error> {
    let absent = || Error::ImageNotFound(image.reference.clone());
    let bytes = content::read(containerd, &image.manifest)
        .await?
        .ok_or_else(absent)?;
    let manifest: ImageManifest =
        serde_json::from_slice(&bytes).map_err(|error| Error::ImageInvalid {
            image: image.reference.clone(),
            reason: format!("its manifest can't be read: {error}"),
        })?;
    media::check(&image.reference, &manifest)?;
    image.config.check(&image.reference, &manifest)?;
    let layers = Layers::of(&manifest.layers, &image.config.rootfs.diff_ids);
    let below = layers.unpacked(containerd, snapshotter).await?;
    let ways = Ways::new(&Stores::find(containerd).await?);
    for at in below..layers.descriptors.len() {
        let digest = &layers.descriptors[at].digest;
        if content::info(containerd, digest).await?.is_none() {
            return Err(absent());
        }
        let layer = layers.at(&image.reference, snapshotter, at);
        let is_here = std::future::ready(());
        snapshot::unpack(containerd, &layer, &ways, None, is_here).await?;
    }
    if let Some(top) = layers.chain.last() {
        let labels = Labels::from([(labels::snapshot(snapshotter), top.clone())]);
        content::label(containerd, &image.image_id, labels).await?;
    }
    Ok(())
}
