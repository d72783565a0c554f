//! `health`: WebAssembly modules have no check of their own.

use shellrt_api::v0::health::{Health, Request, Response};
use shellrt_plugin::event;

use crate::error::Error;
use crate::module::Module;
use crate::Context;

/// Says so.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name } = request;
    Module::find(&context.store, &name)?;
    Ok(Response {
        health: Health::None,
        output: String::new(),
        checked_at: event::now(),
        interval_ms: None,
    })
}
