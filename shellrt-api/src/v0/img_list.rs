//! `img_list`: the images on this machine.

use serde::{Deserialize, Serialize};

/// Asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {}

/// What there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The images, sorted by reference.
    pub images: Vec<Image>,
}

/// One image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its full reference.
    pub reference: String,
    /// The digest that the reference was resolved to.
    pub digest: String,
    /// The bytes that it takes as transferred.
    pub size: u64,
    /// When it was pulled first, in nanoseconds since the epoch.
    pub created_at: i64,
}

impl super::Message for Request {
    const TYPE: &'static str = "img_list";
    type Response = Response;
}
