//! The client: what plugins call.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::Digest;
use super::{Blob, Descriptor, Downloaded, Error, Manifest, Platform, Reference, Resume, Settings};

/// A client for all registries. A clone is cheap and shares connections, tokens and the limit on
/// parallel transfers.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) settings: Settings,
}

impl Client {
    /// A client with these settings. It touches neither network nor disk yet.
    pub fn new(settings: Settings) -> Client {
        Client {
            inner: Arc::new(Inner { settings }),
        }
    }

    /// The manifest of the image for a platform, through any indexes above it.
    ///
    /// # Errors
    /// [`Error::PlatformUnavailable`] where the index has none, and all those of
    /// [`manifest`](Client::manifest). A reference to an image instead of an index is not held
    /// against the choice: its platform stands in its config, which is the caller's to read.
    pub async fn resolve(&self, reference: &Reference, choice: &Choice) -> Result<Image, Error> {
        let _ = (reference, choice);
        Err(self.unfinished())
    }

    /// The manifest or index that the reference names, whole and verified.
    ///
    /// # Errors
    /// 404 is [`Error::NotFound`], schema 1 and more than 4 MiB are [`Error::Manifest`], bytes that
    /// do not fit the reference's digest are [`Error::DigestMismatch`].
    pub async fn manifest(&self, reference: &Reference) -> Result<Manifest, Error> {
        let _ = reference;
        Err(self.unfinished())
    }

    /// The media type, digest and size of what the reference names now, by a `HEAD` request: the
    /// cheap way to see whether a tag has moved. Falls back to [`manifest`](Client::manifest) where
    /// a registry leaves the digest out.
    ///
    /// # Errors
    /// As [`manifest`](Client::manifest).
    pub async fn head(&self, reference: &Reference) -> Result<Descriptor, Error> {
        let _ = reference;
        Err(self.unfinished())
    }

    /// A manifest or index of `reference`'s repository that `descriptor` describes: a child of an
    /// index.
    ///
    /// # Errors
    /// As [`manifest`](Client::manifest), and [`Error::SizeMismatch`].
    pub async fn child(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
    ) -> Result<Manifest, Error> {
        let _ = (reference, descriptor);
        Err(self.unfinished())
    }

    /// A small blob whole, for example an image's config.
    ///
    /// # Errors
    /// [`Error::Manifest`] where the descriptor says more than `limit` bytes, and all those of
    /// [`Blob::next`].
    pub async fn bytes(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Bytes, Error> {
        let _ = (reference, descriptor, limit);
        Err(self.unfinished())
    }

    /// A blob of `reference`'s repository as a verified stream. Nothing happens before its first
    /// [`next`](Blob::next).
    pub fn blob(&self, reference: &Reference, descriptor: &Descriptor, resume: Resume) -> Blob {
        let _ = (reference, descriptor, resume);
        Blob {}
    }

    /// Downloads a blob to the file `path`, or goes on with what an earlier, broken download left.
    ///
    /// The bytes are gathered in `<partials>/<algorithm>-<hex>.partial` under a lock, verified,
    /// synced and renamed to `path`; both must be on one file system and both folders must exist.
    /// Several processes may do this at once for the same blob: one downloads, the others wait and
    /// find it. A file that is at `path` already, with the right size, is taken as it is: only
    /// verified files get that name. `progress` hears (digest, bytes so far, bytes in all), first
    /// once with what was there.
    ///
    /// File writes are done on the calling thread, except syncing and re-reading.
    ///
    /// # Errors
    /// All those of [`Blob::next`], and [`Error::File`].
    pub async fn download(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        partials: &Path,
        path: &Path,
        progress: impl FnMut(&Digest, u64, u64) + Send,
    ) -> Result<Downloaded, Error> {
        let _ = (reference, descriptor, partials, path, progress);
        Err(self.unfinished())
    }

    fn unfinished(&self) -> Error {
        Error::Protocol {
            registry: self.inner.settings.hosts_file(""),
            reason: "unfinished".to_owned(),
        }
    }
}

/// What [`Client::resolve`] found.
#[derive(Debug, Clone)]
pub struct Image {
    /// The indexes above the image, outermost first; empty where the reference names an image.
    pub parents: Vec<Manifest>,
    /// The image's manifest.
    pub manifest: Manifest,
    /// Its platform as the index has it; `None` where no index said one.
    pub platform: Option<Platform>,
}

impl Image {
    /// The digest of what the reference names: the outermost index, or the manifest.
    pub fn digest(&self) -> &Digest {
        let root = self.parents.first().unwrap_or(&self.manifest);
        &root.descriptor.digest
    }
}

/// Which image of an index is wanted.
#[derive(Clone)]
pub struct Choice {
    wanted: String,
    rank: Arc<dyn Fn(&Platform) -> Option<u32> + Send + Sync>,
}

impl Choice {
    /// The image that suits `platform` best; see [`Platform::rank`].
    pub fn platform(platform: Platform) -> Choice {
        Choice::by(platform.to_string(), move |image| platform.rank(image))
    }

    /// The image to whose platform `rank` gives the lowest number, the first of several; `None`
    /// means that it does not suit. `wanted` names the wish in the error, as in "wasi/wasm".
    pub fn by(
        wanted: impl Into<String>,
        rank: impl Fn(&Platform) -> Option<u32> + Send + Sync + 'static,
    ) -> Choice {
        Choice {
            wanted: wanted.into(),
            rank: Arc::new(rank),
        }
    }
}

impl std::fmt::Debug for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = &self.rank;
        f.debug_struct("Choice")
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}
