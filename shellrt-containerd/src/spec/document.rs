//! The document of the OCI runtime specification, as far as this plugin writes it.
//!
//! These are types of our own and not a library's because they have no defaults that somebody else
//! chose (a limit of 1024 files is a famous one), and because the same facts make the same bytes:
//! nothing in them is in the order of a hash.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The whole of `config.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The version of the specification that the document keeps to.
    pub oci_version: &'static str,
    /// The container's first process.
    pub process: Process,
    /// The root directory.
    pub root: Root,
    /// The name in the container's UTS namespace; empty where it has none of its own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// What is mounted, in this order.
    pub mounts: Vec<Mount>,
    /// Programs of the machine that are run beside the container.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: Hooks,
    /// Text for the runtime.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What only Linux has.
    pub linux: Linux,
}

/// Programs by when they are run, as in `createContainer`.
pub type Hooks = BTreeMap<String, Vec<Hook>>;

/// A program of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hook {
    /// Its path.
    pub path: String,
    /// Its arguments, with its name as the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// How many seconds it may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}

/// A process in a container: the first one, or one of `exec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whom it runs as.
    pub user: ProcessUser,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// The environment, each as `NAME=value`.
    pub env: Vec<String>,
    /// The working directory.
    pub cwd: String,
    /// What it may do as root would.
    pub capabilities: Capabilities,
    /// Limits of the process; what is not listed is inherited from the daemon.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rlimits: Vec<Rlimit>,
    /// Whether programs can't gain rights, as with a set-user-id bit.
    pub no_new_privileges: bool,
    /// The AppArmor profile, empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub apparmor_profile: String,
    /// How soon the kernel kills it when memory runs out; `None` inherits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
}

/// Whom a process runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessUser {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The other groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
}

/// The sets of capabilities; each capability as `CAP_NAME`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// What any program in the container can have at most.
    pub bounding: Vec<String>,
    /// What the process has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub effective: Vec<String>,
    /// What the process may give itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permitted: Vec<String>,
}

/// A limit of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rlimit {
    /// Its name, as `RLIMIT_NOFILE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The limit in force.
    pub soft: u64,
    /// What the process may raise it to.
    pub hard: u64,
}

/// The root directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Root {
    /// Its place, relative to the bundle.
    pub path: &'static str,
    /// Whether nothing can be written there.
    pub readonly: bool,
}

/// Something that is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Where in the container.
    pub destination: String,
    /// The file system, or `bind`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is mounted.
    pub source: String,
    /// As for mount(8).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// What only Linux has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Linux {
    /// Kernel settings of the container's own namespaces.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, String>,
    /// Limits of the whole container.
    pub resources: Resources,
    /// The cgroup: a path, or `slice:prefix:name` with the systemd driver.
    pub cgroups_path: String,
    /// The namespaces of its own.
    pub namespaces: Vec<Namespace>,
    /// Device nodes beside those that every container has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// The filter of system calls; `None` allows all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Seccomp>,
    /// How mounts of the host reach the container; empty for not at all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rootfs_propagation: String,
    /// Paths that show nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masked_paths: Vec<String>,
    /// Paths that can't be written to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readonly_paths: Vec<String>,
}

/// A namespace of the container's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Namespace {
    /// `mount`, `pid`, `ipc`, `uts`, `network` or `cgroup`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// One that exists; a new one where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Where in the container.
    pub path: String,
    /// `c` or `b`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The driver's number.
    pub major: i64,
    /// The device's number with this driver.
    pub minor: i64,
    /// Who may use it.
    pub file_mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// Limits of the whole container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Which devices may be used; a later rule wins.
    pub devices: Vec<DeviceRule>,
    /// Memory.
    #[serde(skip_serializing_if = "Memory::is_empty")]
    pub memory: Memory,
    /// Processors.
    #[serde(skip_serializing_if = "Cpu::is_empty")]
    pub cpu: Cpu,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<Pids>,
}

/// Which devices may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DeviceRule {
    /// Whether they may.
    pub allow: bool,
    /// `c` or `b`; all where it is `None`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// The driver's number; all where it is `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub major: Option<i64>,
    /// The device's number; all where it is `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minor: Option<i64>,
    /// Of `r` (read), `w` (write) and `m` (make the node).
    pub access: String,
}

/// Limits of memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// What it may use at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// What it is shrunk to when the machine runs short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation: Option<i64>,
    /// Memory and swap together at most; -1 is without limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<i64>,
}

impl Memory {
    fn is_empty(&self) -> bool {
        *self == Memory::default()
    }
}

/// Limits of processors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// Its weight where all want more than there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares: Option<u64>,
    /// Microseconds that it may use in each period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<i64>,
    /// The period, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<u64>,
    /// The processors it may run on, as `0-2,7`; all where it is empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cpus: String,
}

impl Cpu {
    fn is_empty(&self) -> bool {
        *self == Cpu::default()
    }
}

/// Limits of processes and threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pids {
    /// How many there can be.
    pub limit: i64,
}

/// A filter of system calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seccomp {
    /// What happens to a call that no rule names.
    pub default_action: String,
    /// The error number of the default action, where that is to fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u32>,
    /// The machine languages whose calls are filtered; the native one always is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<String>,
    /// As for seccomp(2).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// The rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub syscalls: Vec<Syscall>,
}

/// A rule for some system calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Syscall {
    /// Their names; the runtime skips what it does not know.
    pub names: Vec<String>,
    /// What happens.
    pub action: String,
    /// The error number, where the action is to fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// Conditions on the arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<SyscallArg>,
}

/// A condition on an argument of a system call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyscallArg {
    /// Which argument, from 0.
    pub index: u32,
    /// What it is compared with, or the mask.
    pub value: u64,
    /// What remains of it under the mask.
    #[serde(default)]
    pub value_two: u64,
    /// The comparison, as `SCMP_CMP_EQ`.
    pub op: String,
}
