//! What is written down of a module: its definition, in its container's record, and its runs, in the
//! state directory.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shellrt_api::v0::config::containerd::Config;
use shellrt_api::v0::config::Restart;
use shellrt_api::v0::status::End;
use shellrt_plugin::process::Identity;

use super::health::Check;
use crate::network::Cni;

/// What a module was made from. It never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// When it was created, in nanoseconds since the epoch.
    pub created_at: i64,
    /// The kind of config that it was made from.
    pub config_type: String,
    /// What the request said, in the words of `containerd`.
    pub config: Config,
    /// The reference of its image, in its canonical form.
    pub image: String,
    /// The digest of the config of its image.
    pub image_id: String,
    /// The number of the signal that asks it to end.
    pub stop_signal: i32,
    /// Its host name.
    pub hostname: String,
    /// How to find out whether its program is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Where its network and the plugins for it were found, where it has one of CNI's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cni: Option<Cni>,
}

/// A run, from the moment when its first process exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Counts the runs of the module, from 1.
    pub number: u64,
    /// When it began, in nanoseconds since the epoch.
    pub started_at: i64,
    /// The boot it belongs to.
    pub boot: String,
    /// Its first process.
    pub init: Identity,
    /// The directory of its memory cgroup, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<PathBuf>,
    /// containerd's socket, for the module's own process.
    pub address: PathBuf,
    /// When the module is started again after it.
    pub restart: Restart,
    /// Whether it was one of those itself.
    pub again: Again,
}

/// The restarts by the policy up to a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// How many there were since the last `start`.
    pub count: u32,
    /// How long the last one waited.
    pub delay: Option<Duration>,
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
    /// Whether its restart policy leaves the module so.
    pub is_final: bool,
    /// Whether it ended because the machine went down.
    pub by_machine: bool,
}
