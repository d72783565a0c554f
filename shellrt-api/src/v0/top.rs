//! `top`: the processes of a running module and what they use.

use serde::{Deserialize, Serialize};

/// Asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The module's name.
    pub name: String,
}

/// What the module uses; numbers that are not known are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// Its processes, by pid.
    pub processes: Vec<Process>,
    /// Processor time since it was started, in nanoseconds, system and user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ns: Option<u64>,
    /// Memory in use, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// What it may use, in bytes; absent = no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// Bytes received over its networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_rx_bytes: Option<u64>,
    /// Bytes sent over its networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_tx_bytes: Option<u64>,
    /// Bytes read from disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_read_bytes: Option<u64>,
    /// Bytes written to disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_write_bytes: Option<u64>,
}

/// One process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id on this machine.
    pub pid: u32,
    /// Its parent's id.
    pub ppid: u32,
    /// Its command line, or its name where it has none.
    pub command: String,
    /// Processor time since it began, in nanoseconds.
    pub cpu_ns: u64,
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
}

impl super::Message for Request {
    const TYPE: &'static str = "top";
    type Response = Response;
}
