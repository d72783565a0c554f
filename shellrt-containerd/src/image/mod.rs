//! Images: from a registry into containerd's stores, and what is there.
//!
//! An image is a record (a name and the digest of an index or a manifest), blobs in the content store
//! and one snapshot per layer. The record is written last: where there is one that we wrote, all the
//! rest is there.
//!
//! A pull (`pull`) takes the image's lease (`lease`), puts documents and layers into the content
//! store (`ingest`, `fetch`) with containerd's labels (`labels`), makes snapshots of the layers
//! (`snapshot`, `unpack`) and writes the record. What is here already is looked for by `found`.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test stops where it fails")
)]

mod chain;
mod config;
mod content;
mod fetch;
mod found;
mod ingest;
mod job;
mod known;
mod labels;
mod layers;
mod lease;
mod media;
mod prune;
mod pull;
mod random;
mod remove;
mod room;
mod snapshot;
mod unpack;

use shellrt_plugin::registry::{Digest, Platform, Reference};

pub use self::config::Config;
use self::found::Found;
pub use self::known::{share, unshare};
pub use self::lease::KEPT;
pub use self::prune::{prune, Pruned};
pub use self::pull::Pull;
pub use self::remove::{list, remove};
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
/// [`Error::ImageInvalid`] where it is none that can be run; code 10 for the reference, 2 for the
/// platform.
pub fn find(
    containerd: &Containerd,
    reference: &str,
    platform: Option<&str>,
) -> Result<Image, Error> {
    let reference = canonical(reference)?.to_string();
    let wanted = wanted(platform)?;
    containerd.run("find the image", async {
        let Some(record) = found::record(containerd, &reference).await? else {
            return Err(Error::ImageNotFound(reference));
        };
        match found::documents(containerd, &record.target, &wanted, false).await? {
            Found::Documents(documents) => {
                media::check(&reference, &documents.manifest)?;
                documents.config.check(&reference, &documents.manifest)?;
                Ok(documents.image(&record))
            }
            Found::OtherPlatforms(found) => Err(Error::Platform {
                image: reference,
                wanted: wanted.to_string(),
                found: words(&found),
            }),
            Found::Nothing => Err(Error::ImageNotFound(reference)),
        }
    })
}

/// Makes sure that the image's layers are snapshots of `snapshotter`; `containerd` has a lease, which
/// holds them.
///
/// # Errors
/// [`Error::ImageInvalid`] where a layer is not what the config says, [`Error::ImageNotFound`] where
/// one is not here, [`Error::Runtime`].
pub fn unpack(containerd: &Containerd, image: &Image, snapshotter: &str) -> Result<(), Error> {
    containerd.run(
        "unpack the image",
        layers::unpack(containerd, image, snapshotter),
    )
}

/// The snapshotter that images are unpacked with unless something else is asked for:
/// `CONTAINERD_SNAPSHOTTER`, else overlayfs or the next best that works.
///
/// # Errors
/// [`Error::Runtime`].
pub fn snapshotter(containerd: &Containerd) -> Result<String, Error> {
    let stores = containerd.run("find the snapshotter", room::Stores::find(containerd))?;
    Ok(stores.snapshotter)
}

/// The platform that is asked for, or this machine's.
fn wanted(platform: Option<&str>) -> Result<Platform, Error> {
    Ok(platform.map_or_else(|| Ok(Platform::host()), str::parse)?)
}

fn words(platforms: &[Platform]) -> String {
    let words: Vec<String> = platforms.iter().map(Platform::to_string).collect();
    words.join(", ")
}
