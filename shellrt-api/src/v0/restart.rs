//! `restart`: stops a module that runs, with its own grace time, and starts it.

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
    const TYPE: &'static str = "restart";
    type Response = Response;
}
