//! `remove`: removes a module with its log and its state; its image stays.

use serde::{Deserialize, Serialize};

/// Asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The module's name.
    pub name: String,
    /// Addition: stop the module first, at once. Without it a running module is error 7. Default
    /// false.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub force: bool,
}

/// It is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {}

impl super::Message for Request {
    const TYPE: &'static str = "remove";
    type Response = Response;
}
