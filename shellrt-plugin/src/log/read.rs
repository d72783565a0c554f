//! Reading what is there.

use super::{Error, Query};
use std::io::{self, Read};
use std::path::Path;

/// The bytes of a module's log as it is when it is opened; a blocking [`Read`].
#[derive(Debug)]
pub struct Reader {}

impl Reader {
    /// Finds what `query` asks for in the log in `dir`; a directory without a log is an empty one.
    ///
    /// # Errors
    /// [`Error::Open`] where the directory is missing or can't be read.
    pub fn open(dir: &Path, query: Query) -> Result<Reader, Error> {
        let _ = (dir, query);
        unimplemented!()
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let _ = out;
        unimplemented!()
    }
}
