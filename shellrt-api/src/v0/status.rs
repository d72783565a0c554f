//! `status`: how a module is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::health::Health;

/// Asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The module's name.
    pub name: String,
}

/// How the module is. The fields up to `exit_code` are v0, the others are additions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The four words that v0 knows.
    pub status: Status,
    /// Why the module is so, in words for people.
    pub status_description: String,
    /// The digest of the config of the image that the module was made from.
    pub image_id: String,
    /// When it was started last, in nanoseconds since the epoch; 0 = never.
    pub started_at: i64,
    /// When it ended last, in nanoseconds since the epoch; only once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<i64>,
    /// What it ended with; only once it has ended. A signal n is 128+n, a WASM trap 134, the memory
    /// limit 137, the time limit 124, lost 255.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// How it is now, finer than `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// How it ended last; only once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// Its process, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When it was created, in nanoseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    /// How often its restart policy restarted it since the last `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_count: Option<u32>,
    /// The `config_type` it was created with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_type: Option<String>,
    /// The reference of the image it was created from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The networks it is joined to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<Network>>,
    /// The ports it is reached at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<Port>>,
    /// The result of its last health check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

impl super::Message for Request {
    const TYPE: &'static str = "status";
    type Response = Response;
}

/// The four words that v0 knows. A paused module is `running`, a restarting one is by its last end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Created and never started, or not to be found out.
    #[default]
    Unknown,
    /// It runs.
    Running,
    /// It ended with 0.
    Stopped,
    /// It ended otherwise.
    Failed,
}

/// How a module is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Never started.
    Created,
    /// It runs.
    Running,
    /// It is frozen.
    Paused,
    /// It ended and its restart policy will start it again.
    Restarting,
    /// It ended.
    Exited,
    /// A state that a newer plugin knows.
    #[serde(other)]
    Other,
}

/// How a module ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// By itself, with an exit code.
    Exited,
    /// By a signal.
    Signal,
    /// By a WASM trap.
    Trap,
    /// At its memory limit.
    Memory,
    /// At its time limit.
    Timeout,
    /// Nobody saw it: the machine rebooted, or its monitor was killed.
    Lost,
    /// A way that a newer plugin knows.
    #[serde(other)]
    Other,
}

/// A network that a module is joined to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The network's name.
    pub name: String,
    /// The module's address in it.
    pub ip: String,
    /// The module's hardware address in it.
    pub mac: String,
}

/// A port that a module is reached at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The address on this machine; `0.0.0.0` or `::` for all.
    pub host_ip: String,
    /// The port on this machine.
    pub host_port: u16,
    /// The port inside the module.
    pub module_port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}
