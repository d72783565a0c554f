//! `wait`: returns when a module has ended and will not be restarted.

use serde::{Deserialize, Serialize};

/// Asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The module's name.
    pub name: String,
    /// How many seconds to wait before error 20. Default: without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
}

/// What `status` answers, after the end.
pub use super::status::Response;

impl super::Message for Request {
    const TYPE: &'static str = "wait";
    type Response = Response;
}
