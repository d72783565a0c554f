//! The settings of `shellrt-edged edgeless`: one YAML file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Daemon;
use crate::link::edgeless::Binary;

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The functions by their names. Default: one, the sample that is built in.
    pub functions: BTreeMap<String, Function>,
    /// The address that all ports are opened at. Default: all.
    pub listen: Option<String>,
    /// How many casts and calls of a function are worked on at a time. Default 10.
    pub max_workers: Option<usize>,
    /// How long a cast or a call may take, in seconds; 0 for without end. Default 0.
    pub call_timeout_sec: Option<f64>,
    /// How long a function may take to end by itself, in seconds. Default 5.
    pub stop_timeout_sec: Option<f64>,
    /// What becomes of bytes that are not UTF-8. Default `base64`.
    pub binary: Option<Binary>,
    /// EDGELESS's file for TLS. Default none: plain HTTP/2.
    pub tls_config: Option<PathBuf>,
    /// What all links share.
    pub edge: Daemon,
    /// What is not known, to warn about.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// A function.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Function {
    /// Where it is served. Default: what the command line says.
    pub port: Option<u16>,
    /// The reference of the image of its module. Default: the sample that is built in.
    pub module: Option<String>,
    /// The name of the plugin that runs it. Default `wasm`.
    pub plugin: Option<String>,
    /// The plugin's kind of config. Default: the plugin's name.
    pub config_type: Option<String>,
    /// The module's arguments. Default: those of the image.
    pub command: Vec<String>,
    /// The module's environment.
    pub env: BTreeMap<String, String>,
    /// Other members of the plugin's config.
    pub config: Map<String, Value>,
    /// What is not known, to warn about.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Configs and environments often carry passwords, so only their names are printed.
impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function")
            .field("port", &self.port)
            .field("module", &self.module)
            .field("plugin", &self.plugin)
            .field("env", &self.env.keys())
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// The names of what is not known, as they stand in the file.
    pub fn unknown(&self) -> Vec<String> {
        let own = self.unknown.keys().cloned();
        let functions = self.functions.iter().flat_map(|(name, function)| {
            let keys = function.unknown.keys();
            keys.map(move |key| format!("functions.{name}.{key}"))
        });
        own.chain(functions).collect()
    }
}
