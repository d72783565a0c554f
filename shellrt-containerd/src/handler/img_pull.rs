//! `img_pull`: fetches an image and makes it ready to run.

use shellrt_api::v0::img_pull::Request;
use shellrt_api::v0::plugin::Reply;
use shellrt_plugin::pull::{answer, Patience};

use crate::image::Pull;
use crate::{Context, Error};

/// Pulls the image.
///
/// # Errors
/// See [`Error::code`]; with `progress` only what is wrong with the request or the daemon.
pub fn handle(context: &Context, request: Request) -> Result<Reply, Error> {
    let progress = request.progress;
    let pull = Pull::new(&context.store, &context.place, request)?;
    // A daemon that is not there is no event of a pull.
    context.containerd()?;
    let patience = Patience::until(context.deadline);
    answer(progress, patience, move |patience, report| {
        pull.run(patience, report)
    })
}
