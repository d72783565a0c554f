//! Rotating a log that somebody else writes.

use super::files::Directory;
use super::Error;
use std::path::Path;

/// How long the file is that is being written in `dir`, in bytes; `None` where there is none.
pub fn size(dir: &Path) -> Option<u64> {
    let found = std::fs::symlink_metadata(dir.join("log")).ok()?;
    Some(found.len())
}

/// Renames the files of the log in `dir`, so that whoever writes it finds none when it opens it anew,
/// and keeps `max_files` of them, with the one that it will make then. There must be one caller at a
/// time per directory.
///
/// # Errors
/// [`Error::Open`] for what the operating system refuses.
pub fn rotate(dir: &Path, max_files: u32) -> Result<(), Error> {
    let rotated = || {
        let files = Directory::open(dir)?;
        files.rotate(max_files)?;
        files.trim(max_files)
    };
    rotated().map_err(|source| Error::open(dir, source))
}
