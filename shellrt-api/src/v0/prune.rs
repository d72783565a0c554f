//! `prune`: removes what no module uses, and what broken requests left behind; a partial download
//! that nobody prunes stays for a week.

use serde::{Deserialize, Serialize};

/// Asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Also remove the images that no module uses. Default false: leftovers only.
    #[serde(default)]
    pub images: bool,
    /// Only what has not been touched for so many seconds. Default: images of any age, and leftovers
    /// that are a week old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than: Option<u64>,
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The references of the removed images, sorted.
    pub images: Vec<String>,
    /// The disk space that is free again, in bytes.
    pub bytes: u64,
}

impl super::Message for Request {
    const TYPE: &'static str = "prune";
    type Response = Response;
}
