//! `img_list`: the images on this machine.

use shellrt_api::v0::img_list::{Request, Response};

use crate::image;
use crate::{Context, Error};

/// Lists the images of the namespace, whoever pulled them, sorted by reference.
///
/// # Errors
/// [`Error::Runtime`].
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request {} = request;
    let images = image::list(context.containerd()?)?;
    Ok(Response { images })
}
