//! `stop`: ends a module; one that does not run stays as it is.

use shellrt_api::v0::stop::{Request, Response};

use crate::cri;
use crate::error::Error;
use crate::module::stop::stop;
use crate::module::Module;
use crate::Context;

/// Stops a module.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name, timeout } = request;
    if let Some(module) = cri::Module::find(context, &name)? {
        module.stop(timeout, context.deadline)?;
        return Ok(Response {});
    }
    let module = Module::find(context, &name)?;
    stop(&module, module.grace(timeout), context.deadline)?;
    Ok(Response {})
}
