//! `img_remove`: removes an image from this machine.

use shellrt_api::v0::img_remove::{Request, Response};
use shellrt_plugin::lock::Lock;

use crate::image;
use crate::{Context, Error};

/// Removes the image, and its program where neither another image nor a module needs that.
///
/// # Errors
/// [`Error::ImageNotFound`]; [`Error::ImageInUse`] without `force`.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { image, force } = request;
    let store = &context.store;
    let reference = image::canonical(&image)?;
    let images = Lock::exclusive(&store.images_lock(), context.deadline)?;
    // A damaged record is one that can be removed.
    if let Ok(None) = image::find(store, &reference) {
        return Err(Error::ImageNotFound(reference));
    }
    if !force {
        let modules = image::users(store, &reference)?;
        if !modules.is_empty() {
            return Err(Error::ImageInUse {
                image: reference,
                modules,
            });
        }
    }
    image::remove(store, &reference)?;
    drop(images);
    // The image is removed, and that is what was asked for; the next one collects what is left.
    if let Err(error) = image::collect(store) {
        log::warn!("programs that nobody needs can't be removed: {error}");
    }
    Ok(Response {})
}
