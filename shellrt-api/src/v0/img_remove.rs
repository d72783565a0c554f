//! `img_remove`: removes an image from this machine.

use serde::{Deserialize, Serialize};

/// Asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The image's reference.
    pub image: String,
    /// Addition: remove the image even while a module uses it. Without it that is error 9. Default
    /// false.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub force: bool,
}

/// It is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {}

impl super::Message for Request {
    const TYPE: &'static str = "img_remove";
    type Response = Response;
}
