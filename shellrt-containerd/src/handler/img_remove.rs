//! `img_remove`: removes an image from this machine.

use shellrt_api::v0::img_remove::{Request, Response};

use crate::cri;
use crate::image;
use crate::{Context, Error};

/// Removes the image, and all of it that neither another image nor a container needs.
///
/// # Errors
/// [`Error::ImageNotFound`]; [`Error::ImageInUse`] without `force`.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { image, force } = request;
    let containerd = context.containerd()?;
    let users = cri::users(&context.store)?;
    image::remove(containerd, &image, force, &users)?;
    cri::forget_image(context, &image)?;
    Ok(Response {})
}
