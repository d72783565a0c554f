//! What is written down of a run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shellrt_api::v0::status::End;
use shellrt_plugin::process::Identity;

/// A run, from the moment when its engine was ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Counts the runs of the module, from 1.
    pub number: u64,
    /// When it began, in nanoseconds since the epoch.
    pub started_at: i64,
    /// The boot it belongs to.
    pub boot: String,
    /// Who watches over it.
    pub monitor: Identity,
    /// What runs it.
    pub engine: Identity,
    /// How often the restart policy restarted the module since the last `start`.
    pub restart_count: u32,
    /// The cgroup that it has, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<PathBuf>,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The run's number.
    pub number: u64,
    /// How it ended.
    pub end: End,
    /// What it ended with.
    pub exit_code: i64,
    /// When, in nanoseconds since the epoch.
    pub finished_at: i64,
    /// Why, in words for people.
    pub description: String,
    /// Whether the module stays as it is: its monitor will not start it again.
    pub is_final: bool,
    /// Whether the machine took it down with itself; then its restart policy may bring it back.
    #[serde(default)]
    pub by_machine: bool,
}
