//! Why the driver could not do what was asked.

use std::io;

use serde_json::{Map, Value};
use shellrt_api::v0::{self, client};

use crate::exit::Exit;

/// Why there is nothing to print.
#[derive(Debug)]
pub enum Failure {
    /// What the user typed, or a file that it names, is wrong.
    Usage(String),
    /// The plugin said no.
    Refused {
        /// What it said.
        error: v0::Error,
        /// Whether stdout has it already, as the last line of a stream.
        printed: bool,
    },
    /// There is no valid answer.
    Client(client::Error),
    /// The answer can't be written to stdout.
    Output(io::Error),
}

impl Failure {
    /// A usage failure.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::Usage(message.into())
    }

    /// For an answer that follows the protocol's frame but not its contents.
    pub fn malformed(reason: impl ToString, answer: &Map<String, Value>) -> Self {
        let answer = serde_json::to_string(answer).unwrap_or_default();
        Failure::Client(client::Error::Malformed {
            reason: reason.to_string(),
            answer,
            stderr: String::new(),
        })
    }

    /// Whether the reader of stdout went away, which is no failure.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The exit status that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            _ if self.is_broken_pipe() => Exit::Ok,
            Failure::Usage(_) => Exit::Usage,
            Failure::Refused { .. } => Exit::Refused,
            Failure::Client(_) | Failure::Output(_) => Exit::NoAnswer,
        }
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        match error {
            client::Error::Plugin(error) => Failure::Refused {
                error,
                printed: false,
            },
            error => Failure::Client(error),
        }
    }
}
