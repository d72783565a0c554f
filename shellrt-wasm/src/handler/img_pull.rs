//! `img_pull`: fetches an image and makes it ready to run.

use shellrt_api::v0::img_pull::Request;
use shellrt_api::v0::plugin::Reply;
use shellrt_plugin::pull::{self, Patience};

use crate::image::Pull;
use crate::{Context, Error};

/// Pulls the image. With `progress` the answer is a stream, and the pull begins when that is read.
///
/// # Errors
/// See [`Error::code`]; with `progress` only what is wrong with the request itself.
pub fn handle(context: &Context, request: Request) -> Result<Reply, Error> {
    let progress = request.progress;
    let pull = Pull::new(&context.store, request)?;
    let patience = Patience::until(context.deadline);
    pull::answer(progress, patience, move |patience, report| {
        pull.run(patience, report)
    })
}
