//! `list`: names the modules that exist.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::status;

/// Asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Addition: also answer the status of every module, in the same request. Default false.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub details: bool,
}

/// What exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The names, sorted.
    pub modules: Vec<String>,
    /// Addition, only where it was asked for: what `status` answers, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<BTreeMap<String, status::Response>>,
}

impl super::Message for Request {
    const TYPE: &'static str = "list";
    type Response = Response;
}
