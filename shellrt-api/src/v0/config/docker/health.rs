//! How docker is told to find out whether a program is well.

use serde::{Deserialize, Serialize};

/// A check; what is 0 or empty is the image's, else docker's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", program, arguments...]` or `["CMD-SHELL", line]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Between two checks, in nanoseconds.
    #[serde(skip_serializing_if = "super::is_default")]
    pub interval: i64,
    /// For one check, in nanoseconds.
    #[serde(skip_serializing_if = "super::is_default")]
    pub timeout: i64,
    /// After how many failures in a row it is unhealthy.
    #[serde(skip_serializing_if = "super::is_default")]
    pub retries: i64,
    /// How long after its start failures do not count, in nanoseconds.
    #[serde(skip_serializing_if = "super::is_default")]
    pub start_period: i64,
}
