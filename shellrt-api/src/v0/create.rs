//! `create`: makes a module from an image and a config; it does not start it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Asks for it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The module's name: `[A-Za-z0-9]+([._-][A-Za-z0-9]+)*`, at most 76 characters.
    pub name: String,
    /// Environment variables; they win over those of the config and the image.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Which kind of config follows: a name from `version`'s `config_types`.
    pub config_type: String,
    /// The config; see [`config`](super::config) for the types that this project has.
    pub config: Value,
}

/// Environment variables and configs often carry passwords, so only their names are printed.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("name", &self.name)
            .field("env", &self.env.keys())
            .field("config_type", &self.config_type)
            .finish_non_exhaustive()
    }
}

/// The module exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// Addition, for `config_type` `docker` only: JSON pointers to the keys of the config that were
    /// ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
}

impl super::Message for Request {
    const TYPE: &'static str = "create";
    type Response = Response;
}
