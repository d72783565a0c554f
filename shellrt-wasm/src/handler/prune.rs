//! `prune`: removes what no module uses, and what broken requests left behind.

use std::collections::BTreeSet;
use std::time::Duration;

use shellrt_api::v0::prune::{Request, Response};
use shellrt_plugin::event;
use shellrt_plugin::lock::Lock;

use crate::image;
use crate::module::{self, Module};
use crate::{Context, Error};

/// Removes leftovers, and with `images` the images that no module was created from.
///
/// # Errors
/// A damaged file: while it is not known who needs what, nothing is removed.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { images, older_than } = request;
    let store = &context.store;
    let age = Duration::from_secs(older_than.unwrap_or_default());
    // The next pull goes on with a partial download, so these stay for a while unless asked for.
    let leftover_age = older_than.map_or(image::DOWNLOADS_KEPT, Duration::from_secs);
    let mut response = Response::default();
    if images {
        let _images = Lock::exclusive(&store.images_lock(), context.deadline)?;
        let modules = Module::all(store)?.into_iter();
        let used: BTreeSet<_> = modules
            .map(|module| module.definition.image.reference)
            .collect();
        for record in image::all(store)? {
            let pulled = Duration::from_nanos(event::now().abs_diff(record.pulled_at));
            if pulled >= age && !used.contains(&record.reference) {
                image::remove(store, &record.reference)?;
                response.images.push(record.reference);
            }
        }
    }
    if !response.images.is_empty() {
        response.bytes = image::collect(store)?;
    }
    response.bytes += image::remove_leftovers(store, leftover_age)?;
    response.bytes += module::remove_leftovers(store, leftover_age.as_secs())?;
    store.tidy()?;
    Ok(response)
}
