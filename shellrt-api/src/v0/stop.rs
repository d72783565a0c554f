//! `stop`: ends a module; a stopped one stays as it is.

use serde::{Deserialize, Serialize};

/// The patience of a `stop` where neither the request nor the module names one, in seconds; docker's
/// default.
pub const DEFAULT_TIMEOUT: i64 = 10;

/// Asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The module's name.
    pub name: String,
    /// How many seconds the module may take to end by itself before it is killed: 0 kills at once,
    /// a negative number waits without end. Default: what the module's config says, else
    /// [`DEFAULT_TIMEOUT`]. A plugin that knows no more than v0 needs a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}

/// The module has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {}

impl super::Message for Request {
    const TYPE: &'static str = "stop";
    type Response = Response;
}
