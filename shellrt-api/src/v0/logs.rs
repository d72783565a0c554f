//! `logs`: what a module wrote to its stdout and stderr, byte for byte.

use serde::{Deserialize, Serialize};

/// Asks for it. The answer is a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The module's name.
    pub name: String,
    /// Go on with what the module writes from now on, until it has ended and will not be restarted.
    /// Default false.
    #[serde(default)]
    pub follow: bool,
    /// Only the last so many lines. Default (`null`): all.
    #[serde(default)]
    pub tail: Option<u32>,
    /// Only what was written at this time or later, in seconds since the epoch. Default (`null`):
    /// all.
    #[serde(default)]
    pub since: Option<i64>,
    /// Addition: only what was written before this time, in seconds since the epoch. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// Addition: as `since`, in nanoseconds since the epoch; it wins over `since`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ns: Option<i64>,
    /// Addition: write the time (RFC 3339 with nanoseconds) and a space before each line. Default
    /// false.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub timestamps: bool,
    /// Addition: which streams. Default: both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<Vec<Stream>>,
}

/// The stream follows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {}

impl super::Message for Request {
    const TYPE: &'static str = "logs";
    type Response = Response;
}

/// Where a module writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}
