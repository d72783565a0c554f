//! `attach`: a module's live output, and its input.

use serde::{Deserialize, Serialize};

pub use super::logs::Stream;

/// Asks for it. The answer is a stream. With `stdin` the request object is followed by one NUL and
/// then by raw bytes for the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The module's name.
    pub name: String,
    /// Feed the module's stdin; it must have been created with `"stdin": true`. Default false.
    #[serde(default)]
    pub stdin: bool,
    /// Which streams to hear. Default: both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<Vec<Stream>>,
    /// At the end of the input close the module's stdin; otherwise it stays open for the next
    /// attach. Default false.
    #[serde(default)]
    pub close_stdin: bool,
}

/// The stream follows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {}

impl super::Message for Request {
    const TYPE: &'static str = "attach";
    type Response = Response;
}
