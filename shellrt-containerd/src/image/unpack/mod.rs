//! Layers become files, in one of three ways. The tree is the same in all of them.
//!
//! `direct`: we write into the snapshot's directory (`direct`, `entry`, `tree`, `folder`, `place`),
//! perhaps while the layer still comes from the registry (`feed`). `uncompressed`: we take the packing
//! off, and containerd unpacks a plain tar (`plain`). `apply`: containerd does all of it (`apply`). Where
//! one of them can't be gone, the next is.

mod apply;
mod direct;
mod entry;
mod failure;
mod feed;
mod folder;
mod header;
mod inflate;
mod pipe;
mod place;
mod plain;
mod tree;

use std::path::PathBuf;

use containerd_client::types::Mount;

use self::direct::{Place, Source};
use self::failure::Failure;
pub(super) use self::feed::{feed, Fed, Feed};
use self::inflate::Packing;
use super::media;
use super::room::Stores;
use super::snapshot::Layer;
use crate::containerd::Containerd;
use crate::error::Error;

/// The variable that says which way is tried first.
const VARIABLE: &str = "SHELLRT_CONTAINERD_UNPACK";

/// A way, the fastest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// We write into the snapshot's directory.
    Direct,
    /// We inflate, and containerd unpacks.
    Uncompressed,
    /// containerd does it.
    Apply,
}

impl Way {
    /// Its name in answers and in the variable.
    pub(super) fn name(self) -> &'static str {
        match self {
            Way::Direct => "direct",
            Way::Uncompressed => "uncompressed",
            Way::Apply => "apply",
        }
    }

    /// What is tried where this one can't be gone. Taking the packing off ourselves costs more than it
    /// spares containerd, because the plain tar is written once more, so it is only done when asked for.
    fn next(self) -> Option<Way> {
        match self {
            Way::Direct | Way::Uncompressed => Some(Way::Apply),
            Way::Apply => None,
        }
    }

    fn from_env() -> Way {
        let named = std::env::var(VARIABLE).unwrap_or_default();
        let ways = [Way::Direct, Way::Uncompressed, Way::Apply];
        let found = ways.into_iter().find(|way| way.name() == named);
        if found.is_none() && !named.is_empty() {
            log::warn!("{VARIABLE} can't be {named:?}: direct, uncompressed or apply");
        }
        found.unwrap_or(Way::Direct)
    }
}

/// How layers are unpacked here.
#[derive(Debug, Clone)]
pub(super) struct Ways {
    first: Way,
    /// Where the blobs are.
    content: Option<PathBuf>,
}

/// What came of one way.
pub(super) enum Unpacked {
    /// It is done; this is the digest of the plain tar.
    Done(String),
    /// What was made is of no use, and this is to be tried next.
    Next(Way),
}

impl Ways {
    pub(super) fn new(stores: &Stores) -> Ways {
        Ways {
            first: Way::from_env(),
            content: stores.content.clone(),
        }
    }

    /// The way to begin with.
    pub(super) fn first(&self) -> Way {
        self.first
    }

    /// Unpacks a layer to `mounts`. `fed`: it is on its way and not here yet, and may be unpacked
    /// directly.
    ///
    /// # Errors
    /// [`Error::ImageInvalid`] where the layer is no archive, [`Error::System`] where the disk is full.
    pub(super) async fn unpack(
        &self,
        containerd: &Containerd,
        layer: &Layer<'_>,
        way: Way,
        mounts: Vec<Mount>,
        fed: Option<Fed>,
    ) -> Result<Unpacked, Error> {
        let done = match way {
            Way::Direct => self.direct(containerd, layer, &mounts, fed).await,
            Way::Uncompressed => plain::unpack(containerd, layer, self.blob(layer), mounts).await?,
            Way::Apply => {
                let done = apply::unpack(containerd, layer, layer.descriptor, mounts).await;
                return done.map(Unpacked::Done);
            }
        };
        match (done, way.next()) {
            (Ok(digest), _) => Ok(Unpacked::Done(digest)),
            (Err(failure), Some(next)) if !failure.is_final() => {
                let (digest, way) = (&layer.descriptor.digest, way.name());
                log::info!("layer \"{digest}\" can't be unpacked {way}: {failure}");
                Ok(Unpacked::Next(next))
            }
            (Err(failure), _) => Err(failure.into()),
        }
    }

    async fn direct(
        &self,
        containerd: &Containerd,
        layer: &Layer<'_>,
        mounts: &[Mount],
        fed: Option<Fed>,
    ) -> Result<String, Failure> {
        let place = Place::of(containerd.pid(), mounts)?;
        let source = match fed {
            Some(fed) => Source::Fed(fed),
            None => Source::Blob(self.blob(layer)?),
        };
        let digest = direct::unpack(place, source, packing(layer), layer.diff_id).await?;
        Ok(digest.to_string())
    }

    /// The file of a layer in the content store.
    fn blob(&self, layer: &Layer<'_>) -> Result<std::fs::File, Failure> {
        let digest = &layer.descriptor.digest;
        let content = self.content.as_ref();
        let content = content.ok_or_else(|| Failure::unfit("blobs are kept somewhere else"))?;
        let path = content.join("blobs").join(digest.algorithm());
        std::fs::File::open(path.join(digest.hex())).map_err(Failure::system("open a blob"))
    }
}

/// Whether containerd would look at the bytes to see how they are packed.
fn packing(layer: &Layer<'_>) -> Packing {
    match media::is_plain(&layer.descriptor.media_type) {
        true => Packing::Plain,
        false => Packing::Packed,
    }
}
