//! `exec`: runs one command inside a running module.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Asks for it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The module's name.
    pub name: String,
    /// The program and its arguments; no shell.
    pub args: Vec<String>,
    /// Environment variables beside the module's own; they win. Default none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// How many seconds it may run before it is killed and the answer is error 20. Default: without
    /// end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
}

/// Arguments and variables often carry passwords, so only the program and the names are printed.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("name", &self.name)
            .field("program", &self.args.first())
            .field("env", &self.env.keys())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What it did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// What it ended with.
    pub exit_code: i64,
    /// What it wrote to its stdout, at most 1 MiB; what is not UTF-8 is replaced.
    pub stdout: String,
    /// What it wrote to its stderr, at most 1 MiB; what is not UTF-8 is replaced.
    pub stderr: String,
    /// Whether either was cut.
    pub truncated: bool,
}

impl super::Message for Request {
    const TYPE: &'static str = "exec";
    type Response = Response;
}
