//! The configuration document of an image, as OCI and docker have it.

use serde::Deserialize;
use shellrt_plugin::registry::{Digest, ImageManifest, Platform};

use crate::error::Error;
use crate::spec::ImageConfig;

/// The document whose digest is the image's id.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Config {
    /// What the image was built for.
    #[serde(flatten)]
    pub platform: Platform,
    /// What it says about the containers made from it. Its labels are left out: those of containerd
    /// have a meaning to containerd and to its clients, and no image may give itself one.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: ImageConfig,
    /// What it consists of.
    #[serde(default, deserialize_with = "null_is_default")]
    pub rootfs: Rootfs,
}

/// What an image consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Rootfs {
    /// The digests of the layers as plain tars, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<Digest>,
}

impl Config {
    /// # Errors
    /// [`Error::ImageInvalid`] for what can't be parsed.
    pub(super) fn parse(digest: &Digest, bytes: &[u8]) -> Result<Config, Error> {
        serde_json::from_slice(bytes).map_err(|error| Error::ImageInvalid {
            image: digest.to_string(),
            reason: format!("its config can't be read: {error}"),
        })
    }

    /// # Errors
    /// [`Error::ImageInvalid`] where config and manifest are not of one image.
    pub(super) fn check(&self, reference: &str, manifest: &ImageManifest) -> Result<(), Error> {
        let (layers, diff_ids) = (manifest.layers.len(), self.rootfs.diff_ids.len());
        match layers == diff_ids {
            true => Ok(()),
            false => Err(Error::ImageInvalid {
                image: reference.to_owned(),
                reason: format!("it has {layers} layers, and its config says {diff_ids}"),
            }),
        }
    }
}

/// Go programs write `null` for what is empty.
fn null_is_default<'de, T, D>(input: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}
