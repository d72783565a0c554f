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
    /// What a line of a check is given to.
    pub shell: Option<Vec<String>>,
    /// How to find out whether the program is well.
    pub healthcheck: Option<ImageCheck>,
}

/// A check. What is 0 was not said; times are nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageCheck {
    /// What is run, as docker writes it.
    pub test: Option<Vec<String>>,
    /// Between two checks.
    pub interval: Option<i64>,
    /// For one check.
    pub timeout: Option<i64>,
    /// After how many failures in a row it is unhealthy.
    pub retries: Option<i64>,
    /// How long after a start failures do not count.
    pub start_period: Option<i64>,
}
