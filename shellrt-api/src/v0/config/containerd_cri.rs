//! `config_type` `containerd-cri`: a module that is a container in a pod of its own, run through
//! containerd's Kubernetes interface; what a container and a pod have in common with `containerd` has
//! the names of that, the rest those of the Container Runtime Interface.

mod check;
mod linux;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::containerd::Mount;
use super::{Log, Restart};

pub use linux::{
    Capabilities, Linux, NamespaceMode, NamespaceOptions, ProfileType, Resources, SecurityContext,
    SecurityProfile,
};

/// The name of this config type.
pub const CONFIG_TYPE: &str = "containerd-cri";

/// What a pod and its container are made from.
///
/// [`Config::check`] finds what is wrong with it on any machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The image's reference. It must have been pulled.
    pub image: String,
    /// What takes the place of the image's entrypoint, as in Kubernetes: a list, or a string that is
    /// split as a POSIX shell does. Default: the image's. Where it is given, the image's command is
    /// not used.
    #[serde(
        default,
        deserialize_with = "super::containerd::words::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub command: Option<Vec<String>>,
    /// What takes the place of the image's command, in the same forms. Default: the image's.
    #[serde(
        default,
        deserialize_with = "super::containerd::words::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub args: Option<Vec<String>>,
    /// The directory in which the program starts: an absolute path in the container. Default: the
    /// image's, else `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Directories and files of the machine; only the type `bind`. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Free text for the caller, returned by `status`, and labels of pod and container. Default
    /// none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Limits and rights, by the names of the interface.
    #[serde(default, skip_serializing_if = "Linux::is_default")]
    pub linux: Linux,
    /// How its output is kept; both streams, because containerd itself writes it.
    #[serde(default, skip_serializing_if = "Log::is_default")]
    pub log: Log,
    /// The pod's network.
    #[serde(default, skip_serializing_if = "Network::is_default")]
    pub network: Network,
    /// When it is started again after it has ended; there is only `"no"`.
    #[serde(default, skip_serializing_if = "Restart::is_default")]
    pub restart: Restart,
}

/// A pod's network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The machine's own.
    #[default]
    Host,
    /// The one that containerd's own network configuration makes.
    Pod,
}

impl Network {
    fn is_default(&self) -> bool {
        *self == Network::Host
    }
}
