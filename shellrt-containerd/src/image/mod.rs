//! Images: from a registry into containerd's stores, and what is there.
//!
//! An image is a record (a name and the digest of an index or a manifest), blobs in the content store
//! and one snapshot per layer. The record is written last: where there is one that we wrote, all the
//! rest is there.

mod config;

use shellrt_plugin::registry::{Digest, Platform, Reference};

pub use self::config::Config;
use crate::containerd::Containerd;
use crate::error::Error;

/// An image on this machine, for one platform.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Its canonical reference, which is its name in containerd: `docker.io/library/alpine:latest`.
    pub reference: String,
    /// The digest of what the reference names: an index or a manifest.
    pub digest: Digest,
    /// The digest of the platform's manifest.
    pub manifest: Digest,
    /// The digest of the config, which is the image's id.
    pub image_id: Digest,
    /// The platform.
    pub platform: Platform,
    /// The config.
    pub config: Config,
    /// The name of the snapshot of all its layers; empty where it has none.
    pub chain_id: String,
    /// The bytes of config and layers as transferred.
    pub size: u64,
    /// When it was pulled first, in nanoseconds since the epoch.
    pub created_at: i64,
    /// When it was pulled last, in nanoseconds since the epoch.
    pub pulled_at: i64,
}

/// The reference in its canonical form, as containerd has it.
///
/// # Errors
/// Code 10.
pub fn canonical(reference: &str) -> Result<Reference, Error> {
    Ok(reference.parse()?)
}

/// The image that `reference` names here, for `platform` or else for this machine.
///
/// # Errors
/// [`Error::ImageNotFound`]; [`Error::Platform`] where it is here for other platforms only;
/// [`Error::ImageInvalid`] where it is none that can be run.
pub fn find(
    _containerd: &Containerd,
    reference: &str,
    _platform: Option<&str>,
) -> Result<Image, Error> {
    Err(Error::ImageNotFound(canonical(reference)?.to_string()))
}

/// Makes sure that the image's layers are snapshots of `snapshotter`; `containerd` has a lease, which
/// holds them.
///
/// # Errors
/// [`Error::ImageInvalid`] where a layer is not what the config says, [`Error::Runtime`].
pub fn unpack(_containerd: &Containerd, image: &Image, _snapshotter: &str) -> Result<(), Error> {
    Err(Error::ImageNotFound(image.reference.clone()))
}
