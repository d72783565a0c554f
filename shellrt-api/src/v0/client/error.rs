//! Why a client has no response.

use std::ffi::OsString;
use std::time::Duration;
use std::{error, fmt, io};

/// Why there is no response.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The plugin says no. This is the only valid answer among the errors.
    Plugin(crate::v0::Error),
    /// The plugin could not be started.
    Start {
        /// Its path or name.
        program: OsString,
        /// Why.
        source: io::Error,
    },
    /// The request can't be written as JSON.
    Request(serde_json::Error),
    /// Talking to the plugin failed.
    Io(io::Error),
    /// The plugin ended without an answer.
    NoAnswer {
        /// How it ended, in words.
        end: String,
        /// What it wrote to stderr last.
        stderr: String,
    },
    /// What the plugin answered is none of this protocol's.
    Malformed {
        /// What is wrong with it.
        reason: String,
        /// Its beginning.
        answer: String,
        /// What it wrote to stderr last.
        stderr: String,
    },
    /// The plugin was killed because it took longer than [`Plugin::timeout`](super::Plugin::timeout).
    TimedOut {
        /// The timeout.
        after: Duration,
    },
    /// A stream with a result as its last line ended without.
    CutOff,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Plugin(error) => error.fmt(f),
            Error::Start { program, .. } => {
                write!(
                    f,
                    "the plugin {:?} can't be started",
                    program.to_string_lossy()
                )
            }
            Error::Request(_) => f.write_str("the request can't be written as JSON"),
            Error::Io(_) => f.write_str("talking to the plugin failed"),
            Error::NoAnswer { end, .. } => write!(f, "the plugin {end} without an answer"),
            Error::Malformed { reason, .. } => {
                write!(f, "the plugin's answer is malformed: {reason}")
            }
            Error::TimedOut { after } => {
                write!(
                    f,
                    "the plugin did not finish within {} s and was killed",
                    after.as_secs_f64()
                )
            }
            Error::CutOff => f.write_str("the plugin ended in the middle of its work"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Error::Start { source, .. } | Error::Io(source) => Some(source),
            Error::Request(source) => Some(source),
            Error::Plugin(_)
            | Error::NoAnswer { .. }
            | Error::Malformed { .. }
            | Error::TimedOut { .. }
            | Error::CutOff => None,
        }
    }
}
