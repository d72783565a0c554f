//! `health`: the result of a module's check; there are none yet.

use shellrt_api::v0::health::{Health, Request, Response};
use shellrt_plugin::event;

use crate::error::Error;
use crate::module::Module;
use crate::Context;

/// Says so.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name } = request;
    Module::find(context, &name)?;
    Ok(Response {
        health: Health::None,
        output: String::new(),
        checked_at: event::now(),
    })
}
