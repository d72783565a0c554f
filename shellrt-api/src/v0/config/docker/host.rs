//! What docker is told to give a container of the machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Mount, PortBinding};

/// What the machine gives a container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    /// Mounts as `source:target` or `source:target:options`, where a source that is no path names a
    /// volume, or `target` alone. A missing source is made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub binds: Vec<String>,
    /// Mounts in the long form. A missing source is an error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Memory file systems: options by path.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tmpfs: BTreeMap<String, String>,
    /// Where ports of the container, as `80/tcp`, are reached on the machine.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub port_bindings: BTreeMap<String, Vec<PortBinding>>,
    /// Capabilities beyond docker's default set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Capabilities that are taken away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// Whether it has everything the machine has.
    #[serde(skip_serializing_if = "super::super::super::is_false")]
    pub privileged: bool,
    /// What it may use of the memory, in bytes.
    #[serde(skip_serializing_if = "super::is_default")]
    pub memory: i64,
    /// Memory and swap together, in bytes; -1 for no limit of the swap.
    #[serde(skip_serializing_if = "super::is_default")]
    pub memory_swap: i64,
    /// What the kernel leaves to it when memory is short, in bytes.
    #[serde(skip_serializing_if = "super::is_default")]
    pub memory_reservation: i64,
    /// How many billionths of a processor it may use.
    #[serde(skip_serializing_if = "super::is_default")]
    pub nano_cpus: i64,
    /// How many microseconds of a processor it may use in each period.
    #[serde(skip_serializing_if = "super::is_default")]
    pub cpu_quota: i64,
    /// The period, in microseconds; 0 for 100000.
    #[serde(skip_serializing_if = "super::is_default")]
    pub cpu_period: i64,
    /// Its weight where processors are short.
    #[serde(skip_serializing_if = "super::is_default")]
    pub cpu_shares: i64,
    /// The processors on which it may run.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cpuset_cpus: String,
    /// How many processes and threads it may have; 0 and -1 for no limit.
    #[serde(skip_serializing_if = "super::is_default")]
    pub pids_limit: i64,
    /// How soon the kernel kills it when memory is short.
    #[serde(skip_serializing_if = "super::is_default")]
    pub oom_score_adj: i32,
    /// The size of `/dev/shm`, in bytes.
    #[serde(skip_serializing_if = "super::is_default")]
    pub shm_size: i64,
    /// Limits of each process.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// When it is started again.
    pub restart_policy: RestartPolicy,
    /// Its network: `default`, `bridge`, `host`, `none` or a name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub network_mode: String,
    /// More names of machines, as `name:address`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_hosts: Vec<String>,
    /// The servers that it asks for names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// The domains in which it looks for names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_search: Vec<String>,
    /// Devices of the machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceMapping>,
    /// Devices that somebody else's description adds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_requests: Vec<DeviceRequest>,
    /// How its output is kept.
    pub log_config: LogConfig,
    /// Whether its root file system may only be read.
    #[serde(skip_serializing_if = "super::super::super::is_false")]
    pub readonly_rootfs: bool,
    /// What protects the machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_opt: Vec<String>,
    /// Kernel parameters.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Annotations of the OCI runtime specification.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Whether a small program is its first process, which takes care of orphans and signals.
    #[serde(skip_serializing_if = "super::super::super::is_false")]
    pub init: bool,
    /// What runs it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub runtime: String,
    /// Whose processes it sees: `host` for the machine's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pid_mode: String,
    /// Whose shared memory it sees: `host` for the machine's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ipc_mode: String,
    /// Whose host name it has: `host` for the machine's.
    #[serde(rename = "UTSMode", skip_serializing_if = "String::is_empty")]
    pub uts_mode: String,
    /// Whose users it has: `host` for the machine's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub userns_mode: String,
    /// More groups of the program.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_add: Vec<String>,
}

/// A limit of each process, in the units of setrlimit(2); -1 for none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ulimit {
    /// Its name without `RLIMIT_`, in lower case.
    pub name: String,
    /// What holds.
    pub soft: i64,
    /// What only a privileged program may raise.
    pub hard: i64,
}

/// When a container is started again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicy {
    /// `no`, `on-failure`, `always` or `unless-stopped`; empty for `no`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// For `on-failure`; 0 for no limit.
    #[serde(skip_serializing_if = "super::is_default")]
    pub maximum_retry_count: i64,
}

/// A device of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceMapping {
    /// Its path on the machine, or its name in the Container Device Interface.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path_on_host: String,
    /// Its path in the container; empty for the same.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path_in_container: String,
    /// Letters of `rwm`; empty for all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cgroup_permissions: String,
}

/// Devices that somebody else's description adds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceRequest {
    /// `cdi`, `nvidia`, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// How many; -1 for all.
    #[serde(skip_serializing_if = "super::is_default")]
    pub count: i64,
    /// Which.
    #[serde(rename = "DeviceIDs", skip_serializing_if = "Vec::is_empty")]
    pub device_ids: Vec<String>,
    /// Lists of which one has to be there whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Vec<String>>,
    /// Options of the driver.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// How a container's output is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    /// The log driver: `json-file`, `local`, or somebody else's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub r#type: String,
    /// Its options.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
}
