//! Where the documents and blobs of an image come from, and which image of an index is taken.

use std::path::PathBuf;

use shellrt_api::v0::img_pull::Phase;
use shellrt_plugin::registry::{self, Descriptor, Digest, Index, Manifest, Platform};

use super::config::rank;
use super::local::Directory;
use super::remote::Remote;
use crate::error::Error;

/// A place that has images.
pub(super) enum Origin<'a> {
    /// A registry.
    Remote(Remote<'a>),
    /// An OCI layout directory.
    Directory(Directory<'a>),
}

/// A blob in a file of its own.
pub(super) struct Blob {
    /// The file, verified.
    pub(super) path: PathBuf,
    /// How many of its bytes came now.
    pub(super) fetched: u64,
    /// How many were left by an earlier pull.
    pub(super) resumed: u64,
}

/// What the reference names.
#[derive(Debug)]
pub(super) struct Resolved {
    /// The digest of what it names itself: of an index, or of the manifest.
    pub(super) digest: Digest,
    /// The image's manifest.
    pub(super) manifest: Manifest,
    /// The platform that the index says.
    pub(super) platform: Option<Platform>,
}

/// Who hears how far a blob is: its digest, the bytes done, the bytes in all, what is being done.
pub(super) type Listener<'a> = dyn FnMut(&Digest, u64, u64, Phase) + Send + 'a;

impl Origin<'_> {
    /// The digest of what the reference names, as cheaply as it can be had.
    pub(super) fn digest(&self) -> Result<Digest, Error> {
        match self {
            Origin::Remote(remote) => Ok(remote.head()?.digest),
            Origin::Directory(directory) => Ok(directory.root()?.descriptor.digest),
        }
    }

    /// A small blob.
    pub(super) fn bytes(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        match self {
            Origin::Remote(remote) => remote.bytes(descriptor, limit),
            Origin::Directory(directory) => directory.bytes(descriptor, limit),
        }
    }

    /// A blob in a file of the downloads.
    pub(super) fn blob(
        &self,
        descriptor: &Descriptor,
        listener: &mut Listener,
    ) -> Result<Blob, Error> {
        match self {
            Origin::Remote(remote) => remote.blob(descriptor, listener),
            Origin::Directory(directory) => directory.blob(descriptor, listener),
        }
    }

    /// The image that the reference names, through any indexes: the one for the wanted platform, by
    /// default one for WebAssembly, else the only one.
    ///
    /// # Errors
    /// Code 15 where there is none for the platform.
    pub(super) fn resolve(
        &self,
        reference: &str,
        wanted: Option<&Platform>,
    ) -> Result<Resolved, Error> {
        let root = self.root()?;
        let digest = root.descriptor.digest.clone();
        if !root.is_index() {
            return Ok(Resolved {
                digest,
                manifest: root,
                platform: None,
            });
        }
        let mut open = vec![root];
        let mut images = Vec::new();
        for _ in 0..INDEXES_MAX {
            let Some(index) = open.pop() else { break };
            let children = Children::of(index.index()?, wanted);
            if let Some(best) = children.best {
                let platform = best.platform.clone();
                let manifest = self.child(&best)?;
                if !manifest.is_index() {
                    return Ok(Resolved {
                        digest,
                        manifest,
                        platform,
                    });
                }
                open.push(manifest);
                continue;
            }
            images.extend(children.images);
            for child in children.indexes.iter().rev() {
                open.push(self.child(child)?);
            }
        }
        match images.as_slice() {
            // With a wish its config has the last word.
            [only] if wanted.is_none() || only.platform.is_none() => {
                let platform = only.platform.clone();
                Ok(Resolved {
                    digest,
                    manifest: self.child(only)?,
                    platform,
                })
            }
            _ => Err(unavailable(reference, wanted, &images).into()),
        }
    }

    fn root(&self) -> Result<Manifest, Error> {
        match self {
            Origin::Remote(remote) => remote.root(),
            Origin::Directory(directory) => directory.root(),
        }
    }

    fn child(&self, descriptor: &Descriptor) -> Result<Manifest, Error> {
        match self {
            Origin::Remote(remote) => remote.child(descriptor),
            Origin::Directory(directory) => directory.child(descriptor),
        }
    }
}

/// How many indexes a strange image can make this machine fetch.
const INDEXES_MAX: usize = 32;

/// Nothing there suits.
pub(super) fn unavailable(
    reference: &str,
    wanted: Option<&Platform>,
    images: &[Descriptor],
) -> registry::Error {
    let mut available: Vec<String> = images
        .iter()
        .filter_map(|image| image.platform.as_ref())
        .map(Platform::to_string)
        .collect();
    available.dedup();
    registry::Error::PlatformUnavailable {
        reference: reference.to_owned(),
        wanted: wanted.map_or_else(|| "wasi/wasm".to_owned(), Platform::to_string),
        available: match available.is_empty() {
            true => "none that says its platform".to_owned(),
            false => available.join(", "),
        },
    }
}

/// The children of an index.
struct Children {
    /// The image that suits best.
    best: Option<Descriptor>,
    /// Indexes that say no platform.
    indexes: Vec<Descriptor>,
    /// Images that don't suit or say no platform.
    images: Vec<Descriptor>,
}

impl Children {
    fn of(index: Index, wanted: Option<&Platform>) -> Children {
        let mut best: Option<(u32, Descriptor)> = None;
        let (mut indexes, mut images) = (Vec::new(), Vec::new());
        for child in index
            .manifests
            .into_iter()
            .filter(|child| !is_attestation(child))
        {
            let platform = child.platform.as_ref();
            match platform.and_then(|platform| rank(wanted, platform)) {
                Some(rank) if best.as_ref().is_none_or(|(least, _)| rank < *least) => {
                    best = Some((rank, child));
                }
                Some(_) => {}
                None if is_index(&child.media_type) => indexes.push(child),
                None => images.push(child),
            }
        }
        Children {
            best: best.map(|(_, child)| child),
            indexes,
            images,
        }
    }
}

/// Whether it is no image but a statement about one, as build tools add to an index.
fn is_attestation(descriptor: &Descriptor) -> bool {
    descriptor
        .annotations
        .contains_key("vnd.docker.reference.type")
        || descriptor
            .platform
            .as_ref()
            .is_some_and(|platform| platform.os == "unknown")
}

/// Whether a document of this type is an index.
pub(super) fn is_index(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json"
    )
}
