//! A module's log: every byte of its stdout and stderr with the time it was written, in files of
//! bounded size, read back exactly.
//!
//! ```text
//! 2026-01-02T03:04:05.000000006Z stdout F a whole line; the newline that ends it is the module's
//! 2026-01-02T03:04:05.000000007Z stderr P a piece of a line that goes on or was never ended
//! ```
//!
//! This is the format of the Kubernetes container runtimes, with nine digits always. `F` says that
//! the module wrote a newline after the text, `P` that it did not (yet); the texts of one stream,
//! with a newline after each `F`, are exactly the bytes that the module wrote. A text is any bytes
//! but newlines, 16 KiB at most.
//!
//! What a Kubernetes runtime has written itself is read too: its times have fewer digits, and may be
//! those of a time zone.
//!
//! The files of one directory: `log` is being written, `log.1` is the one before it, `log.2` the
//! one before that. Within a file the times never go back. A line that is not a whole record (the
//! power was lost in the middle of a write) is skipped by whoever reads.
//!
//! - [`Writer`] appends and rotates; there is one of them at a time.
//! - [`Reader`] gives back what is there now, by [`Query`].
//! - [`Follow`] goes on with what is appended, until the module has ended.

mod files;
mod follow;
mod foreign;
mod lines;
mod read;
mod record;
mod rotate;
mod select;
#[cfg(test)]
mod tests;
mod texts;
mod watch;
mod write;

pub use follow::Follow;
pub use read::Reader;
pub use rotate::{rotate, size};
pub use write::{Options, Writer};

pub use shellrt_api::v0::logs::Stream;
use shellrt_api::v0::Code;
use std::io;
use std::path::{Path, PathBuf};

/// Which records, and how they are shown. The default is everything, as the module wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query {
    /// Only the last so many lines of what the other conditions leave; `Some(0)` is nothing, `None`
    /// (the default) all.
    ///
    /// A line is what the module wrote up to a newline on one stream, however many records that
    /// took; an end without a newline counts as a line.
    pub tail: Option<u32>,
    /// Only what was written at this time or later, in nanoseconds since the epoch.
    pub since: Option<i64>,
    /// Only what was written at this time or earlier, in nanoseconds since the epoch (as docker has
    /// it: the bound itself is included).
    pub until: Option<i64>,
    /// Whether each line begins with the time of its first record (RFC 3339 with nanoseconds, UTC)
    /// and a space. Default false.
    ///
    /// A line is of one stream here too: where stderr writes while a line of stdout is unfinished,
    /// both have their time where they begin, and the rest of stdout's line comes without one and
    /// without a newline that the module did not write.
    pub timestamps: bool,
    /// Which streams; default both.
    pub streams: Streams,
}

/// A choice of streams; the default is both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams {
    /// Whether standard output is chosen.
    pub stdout: bool,
    /// Whether standard error is chosen.
    pub stderr: bool,
}

impl Streams {
    /// Whether `stream` is chosen.
    pub fn contains(self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }
}

impl Default for Streams {
    fn default() -> Self {
        Streams {
            stdout: true,
            stderr: true,
        }
    }
}

/// Why a log can't be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `max_size` is 0.
    #[error("a log needs a max_size of at least 1 byte; leave it out for 10 MiB")]
    MaxSize,
    /// `max_files` is 0 or more than [`Options::MOST_FILES`].
    #[error("a log needs a max_files from 1 to {most}, not {0}; leave it out for 3", most = Options::MOST_FILES)]
    MaxFiles(u32),
    /// The directory or a file in it can't be opened, listed, renamed or read.
    #[error("the log at \"{path}\" can't be used", path = path.display())]
    Open {
        /// The directory of the log.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A record can't be written; the file ends with a whole record all the same, and the next write
    /// may succeed.
    #[error("the log at \"{path}\" can't be written", path = path.display())]
    Write {
        /// The directory of the log.
        path: PathBuf,
        /// How many of the bytes handed in were recorded.
        written: usize,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Error {
    fn open(dir: &Path, source: io::Error) -> Error {
        let path = dir.to_owned();
        Error::Open { path, source }
    }

    /// The code for the wire.
    pub fn code(&self) -> Code {
        match self {
            Error::MaxSize | Error::MaxFiles(_) => Code::INVALID_CONFIG,
            Error::Open { source, .. } | Error::Write { source, .. } => crate::os::code(source),
        }
    }
}
