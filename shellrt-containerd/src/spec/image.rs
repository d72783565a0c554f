//! What an image says about the containers made from it: the `config` member of its configuration,
//! as OCI and docker have it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// What an image says about the containers made from it. A member that is null is not there.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// The environment, each as `NAME=value`.
    pub env: Option<Vec<String>>,
    /// What follows the entrypoint.
    pub cmd: Option<Vec<String>>,
    /// The program and its first arguments.
    pub entrypoint: Option<Vec<String>>,
    /// The working directory.
    pub working_dir: Option<String>,
    /// Whom the program runs as: `user[:group]`.
    pub user: Option<String>,
    /// The signal that asks it to end.
    pub stop_signal: Option<String>,
    /// The directories that want a volume.
    pub volumes: Option<BTreeMap<String, Value>>,
}
