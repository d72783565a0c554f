//! `version`: what the plugin and its runtime are.

use serde::{Deserialize, Serialize};

/// Asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {}

/// What they are. All but `info` are additions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// Plugin and runtime with their versions, for people.
    pub info: String,
    /// The plugin's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The plugin's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin_version: Option<String>,
    /// The runtime's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// The runtime's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_version: Option<String>,
    /// The `_type`s that the plugin serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<String>>,
    /// The `config_type`s that its `create` understands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_types: Option<Vec<String>>,
}

impl super::Message for Request {
    const TYPE: &'static str = "version";
    type Response = Response;
}
