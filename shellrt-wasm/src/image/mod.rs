//! Images: where they come from, what is kept of them, and their programs, ready to run.
//!
//! A pull goes through these in order: `source` reads the reference, `origin` is the registry
//! (`remote`) or directory (`local`) that it names, `layout` and `config` find the program in the
//! image's documents, `archive` gets it out of a tar where it lies in one, `program` keeps and
//! compiles it, and `record` is written last: where there is a record, everything that it names
//! is on the disk.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test stops where it fails")
)]

mod archive;
mod config;
mod downloads;
mod job;
mod layout;
mod local;
mod origin;
mod program;
mod pull;
mod record;
mod remote;
mod source;

use std::ffi::OsStr;
use std::fs;
use std::time::Duration;

use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;

use crate::error::Error;
use crate::store::Store;

pub use self::downloads::DOWNLOADS_KEPT;
pub use self::program::{collect, compiled};
pub use self::pull::Pull;
pub use self::record::{all, find, remove, users, Record};
pub use self::source::canonical;

/// Removes what broken requests left of images and what is of no use any more, where it has not
/// changed for `age`: downloads, temporary files, programs that nothing refers to, and programs
/// compiled for another engine or processor. Returns the bytes that took.
///
/// # Errors
/// [`file::Error::Damaged`], and what the operating system refuses.
pub fn remove_leftovers(store: &Store, age: Duration) -> Result<u64, Error> {
    let mut bytes = downloads::remove_leftovers(store, age)?;
    let _images = Lock::exclusive(&store.images_lock(), None)?;
    bytes += program::collect_older(store, age)?;
    bytes += program::remove_all_leftovers(store, age)?;
    let dir = store.images();
    let entries = fs::read_dir(&dir).map_err(|source| Error::file("list", &dir, source))?;
    for entry in entries {
        let path = entry
            .map_err(|source| Error::file("list", &dir, source))?
            .path();
        // Records are written with the lock held, so nobody is writing one.
        if path.extension() != Some(OsStr::new("json")) && file::age(&path) >= age {
            bytes += file::size(&path);
            file::remove(&path)?;
        }
    }
    Ok(bytes)
}
