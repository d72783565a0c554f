//! Limits and rights, as the Container Runtime Interface names them.

use serde::{Deserialize, Serialize};

use super::super::super::is_false;

/// What is Linux's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Linux {
    /// Limits.
    #[serde(skip_serializing_if = "is_default")]
    pub resources: Resources,
    /// Rights.
    #[serde(skip_serializing_if = "is_default")]
    pub security_context: SecurityContext,
}

impl Linux {
    pub(super) fn is_default(&self) -> bool {
        is_default(self)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Limits of all processes of the container together. What is 0 or empty is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// The period of `cpu_quota`, in microseconds. Default 100000.
    #[serde(skip_serializing_if = "is_default")]
    pub cpu_period: i64,
    /// How much time on processors it gets in a period, in microseconds.
    #[serde(skip_serializing_if = "is_default")]
    pub cpu_quota: i64,
    /// Its weight where processors are short, relative to the 1024 of others.
    #[serde(skip_serializing_if = "is_default")]
    pub cpu_shares: i64,
    /// What it may use of the memory, in bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub memory_limit_in_bytes: i64,
    /// How soon the kernel kills it when memory is short, -1000 to 1000.
    #[serde(skip_serializing_if = "is_default")]
    pub oom_score_adj: i64,
    /// The processors on which it may run, as in `"0-3,5"`.
    #[serde(skip_serializing_if = "is_default")]
    pub cpuset_cpus: String,
    /// The memory nodes that it may use.
    #[serde(skip_serializing_if = "is_default")]
    pub cpuset_mems: String,
}

/// Rights.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecurityContext {
    /// More and fewer capabilities than containerd's default ones.
    #[serde(skip_serializing_if = "is_default")]
    pub capabilities: Capabilities,
    /// Everything the machine has. Default false.
    #[serde(skip_serializing_if = "is_false")]
    pub privileged: bool,
    /// Whose processes and shared memory it sees.
    #[serde(skip_serializing_if = "is_default")]
    pub namespace_options: NamespaceOptions,
    /// The number of the user that it runs as. Default: the image's, else root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_as_user: Option<i64>,
    /// The number of its group; it needs a user. Default: the user's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_as_group: Option<i64>,
    /// The user by a name of the image; not with `run_as_user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_as_username: Option<String>,
    /// Whether its root file system may only be read. Default false.
    #[serde(skip_serializing_if = "is_false")]
    pub readonly_rootfs: bool,
    /// Numbers of more groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supplemental_groups: Vec<i64>,
    /// Whether it can't gain rights by starting a program. Default false.
    #[serde(skip_serializing_if = "is_false")]
    pub no_new_privs: bool,
    /// The system calls that it may make. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<SecurityProfile>,
    /// The profile of AppArmor. Default: containerd's own, where AppArmor is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apparmor: Option<SecurityProfile>,
}

/// Capabilities, with or without `CAP_`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capabilities {
    /// More; `ALL` for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_capabilities: Vec<String>,
    /// Fewer; `ALL` for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop_capabilities: Vec<String>,
}

/// Whose namespaces a container has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NamespaceOptions {
    /// Whose processes it sees. Default its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<NamespaceMode>,
    /// Whose shared memory it sees. Default the pod's; `container` is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipc: Option<NamespaceMode>,
}

/// Whose a namespace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceMode {
    /// The pod's.
    Pod,
    /// The container's own.
    Container,
    /// The machine's.
    Node,
}

/// What bounds a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityProfile {
    /// Which.
    pub profile_type: ProfileType,
    /// For `localhost`: the file, or for AppArmor the name, of the profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub localhost_ref: Option<String>,
}

/// The kinds of profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProfileType {
    /// containerd's own.
    RuntimeDefault,
    /// None.
    Unconfined,
    /// One of this machine.
    Localhost,
}
