//! `config_type` `containerd`: a module that is a container, with docker's defaults and the
//! Compose specification's names.

pub(super) mod check;
mod device;
mod extra_host;
mod healthcheck;
mod limit;
mod mount;
mod port;
mod security;
mod signal;
mod text;
pub(super) mod words;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Bytes, Duration, Log, Restart};

pub use device::{Device, DeviceNode};
pub use extra_host::{ExtraHost, HostAddress};
pub use healthcheck::{Healthcheck, Test};
pub use limit::{Swap, Ulimit};
pub use mount::{BindOptions, Mount, MountKind, Propagation, Tmpfs, TmpfsOptions, VolumeOptions};
pub use port::{PortRange, Protocol, PublishedPort};
pub use security::{capability, SecurityOpt, CAPABILITIES};
pub use signal::Signal;
pub use text::ParseError;

/// The name of this config type.
pub const CONFIG_TYPE: &str = "containerd";

/// The size of `/dev/shm` where `shm_size` does not say it: 64 MiB, as in docker.
pub const DEFAULT_SHM_SIZE: Bytes = Bytes(64 << 20);

/// What a container is made from. Where nothing is said it is what docker would make of the image.
///
/// [`Config::check`] finds what is wrong with it on any machine; what this machine can't do is
/// found by the plugin at `create`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The image's reference. It must have been pulled.
    pub image: String,
    /// The program and its first arguments: a list, or a string that is split as a POSIX shell
    /// does, without expansion. Default: the image's. Where it is given, an empty list included,
    /// the image's command is not used.
    #[serde(
        default,
        deserialize_with = "words::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub entrypoint: Option<Vec<String>>,
    /// What follows the entrypoint, in the same forms. Default: the image's; an empty list clears
    /// it.
    #[serde(
        default,
        deserialize_with = "words::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub command: Option<Vec<String>>,
    /// The directory in which the program starts: an absolute path in the container, made where it
    /// is missing. Default: the image's, else `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Who the program runs as: `"name"`, `"uid"`, `"name:group"` or `"uid:gid"`; names are looked
    /// up in the image. Default: the image's, else root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// More groups of the program, names of the image or numbers. Default: those that the image
    /// lists for the user.
    #[serde(
        default,
        deserialize_with = "text::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub group_add: Vec<String>,
    /// The container's host name. Default: the module's name, as far as 63 characters go; the
    /// machine's where the network or the host name are the machine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Directories, files and volumes that the container gets. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Memory file systems, as `"/path"` or `"/path:size=64m,mode=1777"`; one string or a list.
    /// They are `noexec`, `nosuid` and `nodev` unless an option says otherwise. Default none.
    #[serde(
        default,
        deserialize_with = "text::one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub tmpfs: Vec<Tmpfs>,
    /// Devices of the machine, as `"/dev/x"`, `"/dev/x:/dev/y"` or `"/dev/x:/dev/y:rwm"`, and of the
    /// Container Device Interface, as `"vendor.com/class=name"`. Default: only those that docker gives
    /// to every container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// Capabilities beyond docker's default set, with or without `CAP_`; `ALL` for all. Default
    /// none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Capabilities that are taken away, in the same form; `ALL` leaves only those of `cap_add`.
    /// Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// Everything the machine has: all capabilities and devices, nothing masked, no seccomp.
    /// Default false.
    #[serde(default, skip_serializing_if = "super::super::is_false")]
    pub privileged: bool,
    /// Whether the container's root file system may only be read. Default false.
    #[serde(default, skip_serializing_if = "super::super::is_false")]
    pub read_only: bool,
    /// What protects the machine: `"no-new-privileges"`, `"seccomp=unconfined"`,
    /// `"seccomp=/path/profile.json"`, `"apparmor=NAME"`. Default: docker's seccomp rules, and no
    /// AppArmor profile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_opt: Vec<SecurityOpt>,
    /// Kernel parameters of the container's own namespaces; a value is text or a number. Default:
    /// those that docker sets.
    #[serde(
        default,
        deserialize_with = "text::map",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub sysctls: BTreeMap<String, String>,
    /// Limits of each process, by their names without `RLIMIT_`, in lower case: `{"nofile": 1024}`.
    /// Default: those of containerd's shim.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Free text for the caller, returned by `status`. Default none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the OCI runtime specification, for runtimes that read them. Default none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What all its processes together may use, in bytes or as `"64m"`, at least 6 MiB. Default:
    /// no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mem_limit: Option<Bytes>,
    /// Memory and swap together, in bytes or as `"128m"`; -1 for no limit of the swap. It needs
    /// `mem_limit` and is not below it. Default: twice `mem_limit`, where the kernel counts swap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memswap_limit: Option<Swap>,
    /// What the kernel leaves to it when memory is short, in bytes or as `"32m"`; not above
    /// `mem_limit`. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mem_reservation: Option<Bytes>,
    /// How many processors it may use on average, as in `0.5`, not more than there are. Default: no
    /// limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Its weight where processors are short, 2 to 262144, relative to the 1024 of others. Default:
    /// the kernel's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u64>,
    /// The processors on which it may run, as in `"0-3,5"`. Default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpuset: Option<String>,
    /// How many processes and threads it may have; 0 and -1 for no limit. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids_limit: Option<i64>,
    /// How soon the kernel kills it when memory is short, -1000 (never) to 1000. Default: that of
    /// containerd's shim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// The size of `/dev/shm`, in bytes or as `"64m"`. Default [`DEFAULT_SHM_SIZE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<Bytes>,
    /// The signal that asks it to end, as `"SIGTERM"`, `"TERM"` or 15. Default: the image's, else
    /// `SIGTERM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<Signal>,
    /// How long it may take to end before it is killed, in seconds or as `"10s"`: for `restart`, and
    /// for a `stop` that names no timeout. Default 10 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_grace_period: Option<Duration>,
    /// Keep an open stdin that `attach` feeds. Default false: the program reads end of file.
    #[serde(default, skip_serializing_if = "super::super::is_false")]
    pub stdin: bool,
    /// Whether it has a terminal; stdout and stderr are one stream then. Default false.
    #[serde(default, skip_serializing_if = "super::super::is_false")]
    pub tty: bool,
    /// How its output is kept.
    #[serde(default, skip_serializing_if = "Log::is_default")]
    pub log: Log,
    /// Its network: `"bridge"`, a private one with addresses of its own; `"host"` for the machine's
    /// own; `"none"` for the loopback device alone; else the name of a CNI network. Default
    /// `"bridge"` where CNI's plugins are installed, else `"host"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Its ports that are reached at the machine, as Compose writes them; not with the networks
    /// `"host"` and `"none"`. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PublishedPort>,
    /// The name servers it asks; one or a list. Default: the machine's.
    #[serde(
        default,
        deserialize_with = "text::one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub dns: Vec<IpAddr>,
    /// The domains in which it looks for names; one or a list. Default: the machine's.
    #[serde(
        default,
        deserialize_with = "text::one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub dns_search: Vec<String>,
    /// Names that it knows beside those of its network, as `"name:address"`. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_hosts: Vec<ExtraHost>,
    /// Whose processes it sees. Default its own.
    #[serde(default, skip_serializing_if = "Namespace::is_default")]
    pub pid: Namespace,
    /// Whose System V and POSIX shared memory, semaphores and queues it sees. Default its own.
    #[serde(default, skip_serializing_if = "Namespace::is_default")]
    pub ipc: Namespace,
    /// Whose host name it has. Default its own.
    #[serde(default, skip_serializing_if = "Namespace::is_default")]
    pub uts: Namespace,
    /// How to find out whether its program is well; the message `health` does. Default: the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// When it is started again after it has ended. Default `"no"`.
    #[serde(default, skip_serializing_if = "Restart::is_default")]
    pub restart: Restart,
    /// Which of the image's platforms is run, as in `"linux/arm64/v8"`. Default: the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// containerd's runtime, or the path of a program that takes runc's place in it. Default
    /// `"io.containerd.runc.v2"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// containerd's snapshotter. Default `"overlayfs"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshotter: Option<String>,
}

/// Whether a container has a part of the machine for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespace {
    /// One of its own.
    #[default]
    Private,
    /// The machine's.
    Host,
}

impl Namespace {
    fn is_default(&self) -> bool {
        *self == Namespace::Private
    }
}
