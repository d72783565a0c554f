//! The work of a pull: what is fetched, in which order it comes into containerd's stores, and what is
//! left out because it is here already.

use shellrt_api::v0::img_pull::{Phase, Response};
use shellrt_plugin::registry::{self, Client, ImageManifest, Platform, Reference};

use super::fetch::{Listener, Source};
use super::found::{self, transferred};
use super::labels::{self, Labels};
use super::layers::{Layers, Stop, Survey};
use super::lease::Lease;
use super::room::Stores;
use super::unpack::Way;
use super::{content, ingest, lease, media, Config, Found};
use crate::containerd::Containerd;
use crate::error::Error;

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
    /// A layer that was here was damaged, and is not any more; it has to be fetched.
    Damaged(Error),
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
                found::write(&lease.containerd, &name, &root.descriptor, Labels::new()).await?;
                if let Err(error) = lease.end().await {
                    log::warn!("{error}: it goes after a week");
                }
            }
            Ok(Outcome::Missing | Outcome::Damaged(_)) | Err(_) => {
                lease::tidy(self.containerd, &name).await
            }
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
        // One that the disk has changed is as good as none.
        let known = content::read(containerd, &manifest.config.digest).await;
        let bytes = match (known.ok().flatten(), self.client) {
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
        let got = layers.get(&source, below, &survey, self.stores).await;
        let got = match got {
            Ok(got) => got,
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Damaged(error)) => return Ok(Outcome::Damaged(error)),
        };
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
            unpack: Some(got.unpacked.map_or("cached", Way::name).to_owned()),
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
        let found = found::documents(self.containerd, &record.target, self.wanted, strict).await;
        let documents = match found {
            Ok(Found::Documents(documents)) => documents,
            Ok(_) => return Ok(None),
            // The pull replaces it.
            Err(error @ (Error::ImageInvalid { .. } | Error::Registry(_))) => {
                log::warn!("{error}");
                return Ok(None);
            }
            Err(error) => return Err(error),
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
