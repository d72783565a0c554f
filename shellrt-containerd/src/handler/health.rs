//! `health`: runs a module's check once, and tells what follows from it.

use shellrt_api::v0::health::{Health, Request, Response};
use shellrt_plugin::event;

use crate::cri;
use crate::error::Error;
use crate::module::{Module, Now};
use crate::Context;

/// Runs it.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name } = request;
    let none = || Response {
        health: Health::None,
        output: String::new(),
        checked_at: event::now(),
        interval_ms: None,
    };
    if cri::Module::find(context, &name)?.is_some() {
        return Ok(none());
    }
    let module = Module::find(context, &name)?;
    let Some(check) = &module.definition.check else {
        return Ok(none());
    };
    let what = match module.now()? {
        Now::Running(running) if running.paused => "is paused; resume it first",
        Now::Running(running) => return module.check(check, &running),
        _ => "does not run; start it first",
    };
    Err(Error::WrongState { name, what })
}
