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
    /// The verdict on the present run, this check counted in.
    pub health: Health,
    /// What the check wrote, its first 4096 bytes; empty where there is none.
    pub output: String,
    /// When it was run, in nanoseconds since the epoch.
    pub checked_at: i64,
    /// In how many milliseconds the module wants to be checked again; absent where it has no check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_ms: Option<u64>,
}

impl super::Message for Request {
    const TYPE: &'static str = "health";
    type Response = Response;
}

/// The verdict on a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// The last check passed, or too few have failed since.
    Healthy,
    /// As many checks in a row have failed as the module's check says.
    Unhealthy,
    /// The module has no check, or there is no verdict yet.
    None,
    /// A verdict that a newer plugin knows.
    #[serde(other)]
    Other,
}
