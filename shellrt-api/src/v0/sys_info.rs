//! `sys_info`: what machine this is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {}

/// What it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The kernel's kind, in lower case: `linux`.
    pub os_type: String,
    /// The distribution's name and version.
    pub operating_system: String,
    /// The kernel's release.
    pub kernel_version: String,
    /// The processor architecture, as `uname -m` says it.
    pub architecture: String,
    /// Processors that can be used.
    pub cpus: u32,
    /// Physical memory, in bytes.
    pub memory_bytes: u64,
    /// The machine's name.
    pub hostname: String,
    /// The runtime's name.
    pub runtime: String,
    /// The runtime's version.
    pub runtime_version: String,
    /// What the runtime knows beside (`cgroup_version`, `snapshotter`).
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

impl super::Message for Request {
    const TYPE: &'static str = "sys_info";
    type Response = Response;
}
