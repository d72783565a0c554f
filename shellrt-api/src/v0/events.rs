//! `events`: what happened to modules and images.

use serde::{Deserialize, Serialize};

/// Asks for it. The answer is a stream of [`Event`] lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Only what happened at this time or later, in seconds since the epoch. Default: everything
    /// that is still known, or with `follow` only what happens from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Go on with what happens from now on. Default false.
    #[serde(default)]
    pub follow: bool,
}

/// The stream follows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {}

impl super::Message for Request {
    const TYPE: &'static str = "events";
    type Response = Response;
}

/// One line of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened, in nanoseconds since the epoch.
    pub time: i64,
    /// The module's name, or the image's reference.
    pub name: String,
    /// What happened.
    pub event: Kind,
    /// What the module ended with, for `exited`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A module was created.
    Created,
    /// A module was started, by a request or by its restart policy.
    Started,
    /// A module ended.
    Exited,
    /// A module was removed.
    Removed,
    /// An image was pulled.
    Pulled,
    /// An event that a newer plugin knows.
    #[serde(other)]
    Other,
}
