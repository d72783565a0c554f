//! `img_list`: the images on this machine.

use shellrt_api::v0::img_list::{Image, Request, Response};

use crate::image::{self, Record};
use crate::{Context, Error};

/// Lists the images, sorted by reference.
///
/// # Errors
/// A damaged record, and what the operating system refuses.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request {} = request;
    let images = image::all(&context.store)?.into_iter().map(|record| {
        let Record {
            reference,
            digest,
            size,
            created_at,
            ..
        } = record;
        Image {
            reference,
            digest,
            size,
            created_at,
        }
    });
    Ok(Response {
        images: images.collect(),
    })
}
