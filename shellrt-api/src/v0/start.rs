//! `start`: starts a module; a running one stays as it is.

use serde::{Deserialize, Serialize};

/// Asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The module's name.
    pub name: String,
}

/// It is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {}

impl super::Message for Request {
    const TYPE: &'static str = "start";
    type Response = Response;
}
