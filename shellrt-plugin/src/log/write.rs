//! Appending records and rotating files.

use super::{Error, Stream};
use std::path::Path;

/// Appends to the log of one module. There must be one writer at a time per directory: whoever runs
/// the module has it.
#[derive(Debug)]
pub struct Writer {}

impl Writer {
    /// Opens the log in the existing directory `dir`, makes it if there is none, and cuts off a torn
    /// end.
    ///
    /// # Errors
    /// [`Error::MaxSize`], [`Error::MaxFiles`], and [`Error::Open`] for what the operating system
    /// refuses.
    pub fn open(dir: &Path, options: Options) -> Result<Writer, Error> {
        let _ = (dir, options);
        unimplemented!()
    }

    /// Records `bytes`, all of them, before it returns.
    ///
    /// # Errors
    /// [`Error::Write`] says how many bytes were recorded.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Error> {
        let _ = (stream, bytes);
        unimplemented!()
    }

    /// Waits until what was written so far is on the disk.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn sync(&mut self) -> Result<(), Error> {
        unimplemented!()
    }
}

/// How much of a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How large one file may become, in bytes; default 10 MiB.
    pub max_size: u64,
    /// How many files there may be, the one being written included; default 3.
    pub max_files: u32,
}

impl Options {
    /// The most files that a log may have: a reader opens them all at once.
    pub const MOST_FILES: u32 = 500;
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_size: 10 << 20,
            max_files: 3,
        }
    }
}
