//! `start`: starts a module; one that runs stays as it is.

use shellrt_api::v0::start::{Request, Response};

use crate::cri;
use crate::error::Error;
use crate::module::{self, aside, Module};
use crate::Context;

/// Starts a module.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name } = request;
    if let Some((module, order)) = cri::Module::find_locked(context, &name)? {
        aside::start_pod(&module, &order)?;
        return Ok(Response {});
    }
    let (module, order) = Module::find_locked(context, &name)?;
    module::start(&module, &order)?;
    Ok(Response {})
}
