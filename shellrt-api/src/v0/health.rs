//! `health`: runs a module's configured check once; the caller owns the schedule.

use serde::{Deserialize, Serialize};

/// Asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The module's name.
    pub name: String,
}

/// What the check said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The verdict.
    pub health: Health,
    /// What the check wrote; empty where there is none.
    pub output: String,
    /// When it was run, in nanoseconds since the epoch.
    pub checked_at: i64,
}

impl super::Message for Request {
    const TYPE: &'static str = "health";
    type Response = Response;
}

/// The verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It passed.
    Healthy,
    /// It failed.
    Unhealthy,
    /// The module has no check.
    None,
    /// A verdict that a newer plugin knows.
    #[serde(other)]
    Other,
}
