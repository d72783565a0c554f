//! Reading what is there and what comes.

use super::{Error, Query};
use crate::hangup::Hangup;
use std::io::{self, Read};
use std::path::Path;
use std::time::Instant;

/// The bytes of a module's log, and then what is appended, as it is appended; a blocking [`Read`].
///
/// The end of file comes when the module has ended and everything was read, when the directory is
/// deleted, when `until` has passed, at the deadline, or when whoever reads our output went away.
pub struct Follow {}

impl Follow {
    /// Follows the log in `dir`. `ended` says whether the module has ended and will not be restarted;
    /// it is asked when there is nothing left to read: whenever something happened in `dir` (a file
    /// is renamed into it, a lock file is closed), and once a second. After it said yes it is not
    /// asked again.
    ///
    /// # Errors
    /// [`Error::Open`] where the directory is missing or can't be read.
    pub fn open(
        dir: &Path,
        query: Query,
        ended: impl FnMut() -> io::Result<bool> + Send + 'static,
    ) -> Result<Follow, Error> {
        let _ = (dir, query, ended);
        unimplemented!()
    }

    /// Asks `ended` also when something happens at `path`, a file or a directory. One that does not
    /// exist is left out: then it takes a second at most.
    #[must_use]
    pub fn wake_on(self, path: &Path) -> Follow {
        let _ = path;
        self
    }

    /// Ends the stream, also an idle one, when the reader behind `hangup` goes away.
    #[must_use]
    pub fn until_hangup(self, hangup: Hangup) -> Follow {
        let _ = hangup;
        self
    }

    /// Ends the stream at `deadline`.
    #[must_use]
    pub fn until_deadline(self, deadline: Instant) -> Follow {
        let _ = deadline;
        self
    }
}

impl Read for Follow {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let _ = out;
        unimplemented!()
    }
}
