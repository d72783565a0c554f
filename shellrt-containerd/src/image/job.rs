//! The work of a pull: what is fetched, in which order it comes into containerd's stores, and what is
//! left out because it is here already.

use std::cell::RefCell;
use std::collections::BTreeMap;

use futures_util::future::try_join;
use futures_util::stream::{self, TryStreamExt};
use shellrt_api::v0::img_pull::{Phase, Response};
use shellrt_plugin::registry::{
    self, Client, Descriptor, Digest, ImageManifest, Platform, Reference,
};
use tokio::sync::watch;

use super::fetch::{Fetched, Listener, Source};
use super::found::{self, transferred};
use super::labels::{self, Labels};
use super::lease::Lease;
use super::room::Stores;
use super::{chain, content, ingest, lease, media, snapshot, Config, Found, Image};
use crate::containerd::Containerd;
use crate::error::Error;

/// How many layers are fetched at once.
const AT_ONCE: usize = 4;

/// An image on its way into containerd's stores.
pub(super) struct Job<'a> {
    pub(super) containerd: &'a Containerd,
    pub(super) stores: &'a Stores,
    pub(super) reference: &'a Reference,
    pub(super) wanted: &'a Platform,
    /// `None`: what is here must do.
    pub(super) client: Option<&'a Client>,
    pub(super) listener: &'a Listener<'a>,
}

/// What came of it.
pub(super) enum Outcome {
    /// The image is here.
    Done(Box<Response>),
    /// Something is not here, and nobody could be asked for it.
    Missing,
}

impl Job<'_> {
    /// Brings everything that `image` names into containerd's stores and writes its record. The
    /// caller sees to it that nobody else of us does so with this reference.
    pub(super) async fn run(&self, image: &registry::Image) -> Result<Outcome, Error> {
        let name = self.reference.to_string();
        let manifest = image.manifest.image()?;
        media::check(&name, &manifest)?;
        let lease = Lease::take(self.containerd, &name).await?;
        lease::tidy(self.containerd, &name).await;
        let outcome = self.fill(&lease, image, &manifest).await;
        match &outcome {
            Ok(Outcome::Done(_)) => {
                let root = image.parents.first().unwrap_or(&image.manifest);
                found::write(&lease.containerd, &name, &root.descriptor).await?;
                if let Err(error) = lease.end().await {
                    log::warn!("{error}: it goes after a week");
                }
            }
            Ok(Outcome::Missing) | Err(_) => lease::tidy(self.containerd, &name).await,
        }
        outcome
    }

    async fn fill(
        &self,
        lease: &Lease,
        image: &registry::Image,
        manifest: &ImageManifest,
    ) -> Result<Outcome, Error> {
        let containerd = &lease.containerd;
        for document in image.parents.iter().chain([&image.manifest]) {
            let children = labels::children(document)?;
            let labels = |known: &Labels| self.with_source(children.clone(), known);
            ingest::put(containerd, &document.descriptor, &document.bytes, labels).await?;
        }
        let mut fetched = 0;
        let bytes = match (
            content::read(containerd, &manifest.config.digest).await?,
            self.client,
        ) {
            (Some(bytes), _) => bytes,
            (None, None) => return Ok(Outcome::Missing),
            (None, Some(client)) => {
                let config = &manifest.config;
                let bytes = client
                    .bytes(self.reference, config, content::DOCUMENT_MAX)
                    .await?;
                fetched = config.size;
                bytes.into()
            }
        };
        let labels = |known: &Labels| self.with_source(Labels::new(), known);
        ingest::put(containerd, &manifest.config, &bytes, labels).await?;
        let config = Config::parse(&manifest.config.digest, &bytes)?;
        config.check(&self.reference.to_string(), manifest)?;
        let platform = self.platform(image, &config)?;

        let layers = Layers::of(&manifest.layers, &config.rootfs.diff_ids);
        let below = layers
            .unpacked(containerd, &self.stores.snapshotter)
            .await?;
        let survey = Survey::of(containerd, lease, &layers, below).await?;
        if self.client.is_none() && !survey.is_complete {
            return Ok(Outcome::Missing);
        }
        self.stores.check(survey.to_fetch, survey.to_unpack)?;
        for layer in &layers.descriptors[..below] {
            (self.listener)(&layer.digest, layer.size, layer.size, Phase::Exists);
        }
        let source = Source {
            containerd,
            client: self.client,
            reference: self.reference,
            listener: self.listener,
        };
        let got = layers
            .get(&source, below, &survey, &self.stores.snapshotter)
            .await?;
        if let Some(top) = layers.chain.last() {
            let key = labels::snapshot(&self.stores.snapshotter);
            let labels = Labels::from([(key, top.clone())]);
            content::label(containerd, &manifest.config.digest, labels).await?;
        }
        Ok(Outcome::Done(Box::new(Response {
            digest: Some(image.digest().to_string()),
            image_id: Some(manifest.config.digest.to_string()),
            platform: platform.map(|platform| platform.to_string()),
            bytes_total: Some(transferred(manifest)),
            bytes_fetched: Some(fetched + got.fetched),
            bytes_resumed: Some(survey.resumed + got.resumed),
            unpack: Some(if got.unpacked { "apply" } else { "cached" }.to_owned()),
            warning: None,
        })))
    }

    /// What of the image is here, for the platform that is wanted; with `strict` for the one that
    /// the registry would give.
    pub(super) async fn here(&self, strict: bool) -> Result<Option<Here>, Error> {
        let name = self.reference.to_string();
        let Some(record) = found::record(self.containerd, &name).await? else {
            return Ok(None);
        };
        let found = found::documents(self.containerd, &record.target, self.wanted, strict).await?;
        let Found::Documents(documents) = found else {
            return Ok(None);
        };
        let snapshotter = &self.stores.snapshotter;
        let is_complete = documents.is_complete(self.containerd, snapshotter).await?;
        Ok(Some(Here {
            record,
            documents: *documents,
            is_complete,
        }))
    }

    /// The platform of the image.
    ///
    /// # Errors
    /// Code 15 where the image is for another one: an index has been looked through, but an image
    /// without one says it in its config only.
    fn platform(
        &self,
        image: &registry::Image,
        config: &Config,
    ) -> Result<Option<Platform>, Error> {
        if image.platform.is_some() {
            return Ok(image.platform.clone());
        }
        let own = Some(&config.platform).filter(|own| !own.architecture.is_empty());
        match own {
            Some(own) if self.wanted.rank(own).is_none() => {
                let error = registry::Error::PlatformUnavailable {
                    reference: self.reference.to_string(),
                    wanted: self.wanted.to_string(),
                    available: own.to_string(),
                };
                Err(error.into())
            }
            own => Ok(own.cloned()),
        }
    }

    fn with_source(&self, mut labels: Labels, known: &Labels) -> Labels {
        labels.extend(labels::source(self.reference, known));
        labels
    }
}

/// An image that is here, at least its documents.
pub(super) struct Here {
    pub(super) record: found::Record,
    pub(super) documents: found::Documents,
    /// Whether it can run.
    pub(super) is_complete: bool,
}

impl Here {
    /// The answer to a pull that found nothing to do.
    pub(super) fn response(&self, listener: &Listener) -> Response {
        let manifest = &self.documents.manifest;
        for layer in &manifest.layers {
            listener(&layer.digest, layer.size, layer.size, Phase::Exists);
        }
        let image = self.documents.image(&self.record);
        Response {
            digest: Some(image.digest.to_string()),
            image_id: Some(image.image_id.to_string()),
            platform: Some(image.platform.to_string()),
            bytes_total: Some(image.size),
            bytes_fetched: Some(0),
            bytes_resumed: Some(0),
            unpack: Some("cached".to_owned()),
            warning: None,
        }
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
    for at in below..layers.descriptors.len() {
        let digest = &layers.descriptors[at].digest;
        if content::info(containerd, digest).await?.is_none() {
            return Err(absent());
        }
        let layer = layers.at(&image.reference, snapshotter, at);
        snapshot::unpack(containerd, &layer).await?;
    }
    if let Some(top) = layers.chain.last() {
        let labels = Labels::from([(labels::snapshot(snapshotter), top.clone())]);
        content::label(containerd, &image.image_id, labels).await?;
    }
    Ok(())
}

/// The layers of an image, lowest first.
struct Layers<'a> {
    descriptors: &'a [Descriptor],
    diff_ids: &'a [Digest],
    chain: Vec<String>,
}

/// What getting layers took.
#[derive(Default)]
struct Got {
    fetched: u64,
    resumed: u64,
    unpacked: bool,
}

impl<'a> Layers<'a> {
    fn of(descriptors: &'a [Descriptor], diff_ids: &'a [Digest]) -> Layers<'a> {
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
    async fn unpacked(&self, containerd: &Containerd, snapshotter: &str) -> Result<usize, Error> {
        // A snapshot has all those below it, so the highest comes first.
        for at in (0..self.chain.len()).rev() {
            if snapshot::is_held(containerd, snapshotter, &self.chain[at]).await? {
                return Ok(at + 1);
            }
        }
        Ok(0)
    }

    /// Fetches the layers above `below`, several at once, and unpacks them in their order.
    async fn get(
        &self,
        source: &Source<'_>,
        below: usize,
        survey: &Survey,
        snapshotter: &str,
    ) -> Result<Got, Error> {
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
        let fetching = stream::iter(first.into_iter().map(Ok)).try_for_each_concurrent(
            AT_ONCE,
            |layer: &Descriptor| {
                let (got, arrivals) = (&got, &arrivals);
                async move {
                    let begun = survey.begun.contains(&layer.digest);
                    let fetched: Fetched = source.layer(layer, begun).await?;
                    let mut got = got.borrow_mut();
                    got.fetched += fetched.bytes;
                    got.resumed += fetched.resumed;
                    if let Some(arrival) = arrivals.get(&layer.digest) {
                        arrival.send_replace(true);
                    }
                    Ok::<_, Error>(())
                }
            },
        );
        let unpacking = async {
            for at in below..self.descriptors.len() {
                let layer = self.at(&image, snapshotter, at);
                let (digest, size) = (&layer.descriptor.digest, layer.descriptor.size);
                if let Some(arrival) = arrivals.get(digest) {
                    // Its sender lives as long as this.
                    let _ = arrival.subscribe().wait_for(|here| *here).await;
                }
                (source.listener)(digest, 0, size, Phase::Unpack);
                if snapshot::unpack(source.containerd, &layer).await? {
                    got.borrow_mut().unpacked = true;
                }
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
struct Survey {
    /// Bytes to be fetched.
    to_fetch: u64,
    /// Bytes that unpacking may take.
    to_unpack: u64,
    /// Bytes that an earlier, broken pull of this image fetched whole.
    resumed: u64,
    /// Layers of which a part is here.
    begun: Vec<Digest>,
    /// Whether nothing is to be fetched.
    is_complete: bool,
}

impl Survey {
    async fn of(
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
