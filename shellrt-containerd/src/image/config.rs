//! The configuration document of an image, as OCI and docker have it.

use serde::Deserialize;
use shellrt_plugin::registry::{Digest, Platform};

use crate::spec::ImageConfig;

/// The document whose digest is the image's id.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Config {
    /// What the image was built for.
    #[serde(flatten)]
    pub platform: Platform,
    /// What it says about the containers made from it.
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

/// Go programs write `null` for what is empty.
fn null_is_default<'de, T, D>(input: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}
