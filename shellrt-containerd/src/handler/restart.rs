//! `restart`: stops a module that runs, and starts it. Its container and its files stay.

use shellrt_api::v0::restart::{Request, Response};

use super::start;
use crate::cri;
use crate::error::Error;
use crate::module::stop::stop;
use crate::module::Module;
use crate::Context;

/// Restarts a module.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name } = request;
    if let Some(module) = cri::Module::find(context, &name)? {
        module.stop(None, context.deadline)?;
        start::handle(context, shellrt_api::v0::start::Request { name })?;
        return Ok(Response {});
    }
    let module = Module::find(context, &name)?;
    stop(&module, module.grace(None), context.deadline)?;
    start::handle(context, shellrt_api::v0::start::Request { name })?;
    Ok(Response {})
}
