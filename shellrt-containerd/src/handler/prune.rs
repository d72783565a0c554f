//! `prune`: removes what no module uses, and what broken requests left behind.

use std::time::Duration;

use shellrt_api::v0::prune::{Request, Response};

use crate::cri;
use crate::image::{self, Pruned};
use crate::module;
use crate::{Context, Error};

/// Removes leftovers, and with `images` the images that no container was created from.
///
/// # Errors
/// [`Error::Runtime`].
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { images, older_than } = request;
    let age = Duration::from_secs(older_than.unwrap_or_default());
    // The next pull goes on with a partial download, so these stay for a while unless asked for.
    let leftovers = older_than.map_or(image::KEPT, Duration::from_secs);
    let containerd = context.containerd()?;
    // What these hold goes with the collection of the images.
    let files = module::remove_leftovers(context, leftovers)?;
    cri::create::clear_all(context, &context.store)?;
    let users = cri::users(&context.store)?;
    let images = images.then_some(age);
    let Pruned { images, bytes } =
        image::prune(containerd, &context.store, images, leftovers, &users)?;
    for image in &images {
        cri::forget_image(context, image)?;
    }
    let bytes = bytes.saturating_add(files);
    Ok(Response { images, bytes })
}
