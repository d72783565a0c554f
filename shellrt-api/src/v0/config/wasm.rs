//! `config_type` `wasm`: a module that is a WebAssembly program.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Bytes, Duration, Log, Restart};

/// The name of this config type.
pub const CONFIG_TYPE: &str = "wasm";

/// What a WebAssembly module is made from. Nothing but what stands here is given to it: no
/// directory, no network, no variable of the host's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The image's reference. It must have been pulled.
    pub image: String,
    /// How the program wants to be talked to, as a check: it is recognised by what it imports and exports.
    /// Default: whatever it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abi: Option<Abi>,
    /// The program's arguments, without its own name. Default: those of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Directories of the host that the program may use. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// What the program may reach, and where it is reached. Default nothing.
    #[serde(default, skip_serializing_if = "Network::is_default")]
    pub network: Network,
    /// What all its linear memories together may grow to, in bytes or as `"64m"`; enforced by the
    /// engine, without cgroups. Default: no limit but the program's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mem_limit: Option<Bytes>,
    /// How many processors it may use on average, as in `0.5`; enforced by a cgroup, and an error
    /// where there is none to use. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// How long one run may take, in seconds or as `"10s"`. Default: without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How many units of work (about one per WebAssembly instruction) one run may take, or one request
    /// of a `wasi:http/proxy` component; the program
    /// is compiled once more for it and is slower. Default: without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Keep an open stdin that `attach` feeds. Default false: the program reads end of file.
    #[serde(default, skip_serializing_if = "super::super::is_false")]
    pub stdin: bool,
    /// When it is started again after it has ended. Default `"no"`.
    #[serde(default, skip_serializing_if = "Restart::is_default")]
    pub restart: Restart,
    /// How its output is kept.
    #[serde(default, skip_serializing_if = "Log::is_default")]
    pub log: Log,
    /// Free text for the caller, returned by `status`. Default none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// The ways of being talked to that are not WASI's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Abi {
    /// EDGELESS's: handlers for init, cast, call and stop. The program speaks lines of JSON.
    Edgeless,
}

/// A directory of the host that the program may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// The kind of mount; there is one.
    #[serde(rename = "type")]
    pub kind: MountKind,
    /// The directory on the host: an absolute path that exists when the module is created.
    pub source: PathBuf,
    /// Its name for the program: an absolute path, or `.`.
    pub target: String,
    /// Whether the program may only read it. Default true.
    #[serde(default = "yes")]
    pub read_only: bool,
}

fn yes() -> bool {
    true
}

/// The kinds of mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A directory of the host.
    Bind,
}

/// What the program may reach, and where it is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Where it may connect to: `"host:port"`, `"address:port"`, or a CIDR (`"10.0.0.0/8"`) for all
    /// ports. Names are resolved when connecting. Default nowhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect: Vec<String>,
    /// The `address:port` at which a `wasi:http/proxy` component is served; needed by these and by
    /// no other. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Whether the program may look up names, and only those that `connect` lists. Default false.
    #[serde(skip_serializing_if = "super::super::is_false")]
    pub dns: bool,
}

impl Network {
    fn is_default(&self) -> bool {
        *self == Network::default()
    }
}
