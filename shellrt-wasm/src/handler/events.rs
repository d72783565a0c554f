//! `events`: what happened, from the state directory.

use shellrt_api::v0::events::{Request, Response};
use shellrt_api::v0::plugin::Reply;

use crate::error::Error;
use crate::Context;

/// Opens the stream.
pub fn handle(context: &Context, request: Request) -> Result<Reply, Error> {
    let Request { since, follow } = request;
    let events = context.store.events();
    let stream = events.stream(since, follow, context.deadline)?;
    Ok(Reply::stream(
        shellrt_api::v0::Response::Events(Response {}),
        stream,
    ))
}
