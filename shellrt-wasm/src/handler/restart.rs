//! `restart`: stops a module that runs, and starts it.

use shellrt_api::v0::restart::{Request, Response};
use shellrt_api::v0::stop::DEFAULT_TIMEOUT;
use shellrt_plugin::stop::Grace;

use super::start;
use crate::error::Error;
use crate::module::stop::stop;
use crate::module::Module;
use crate::Context;

/// Restarts a module.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name } = request;
    let module = Module::find(&context.store, &name)?;
    let grace = Grace::from_seconds(DEFAULT_TIMEOUT);
    stop(&context.store, &module, grace, context.deadline)?;
    start::handle(context, shellrt_api::v0::start::Request { name })?;
    Ok(Response {})
}
