//! `start`: starts a module; one that runs stays as it is.

use shellrt_api::v0::start::{Request, Response};

use crate::error::Error;
use crate::module::{self, Module};
use crate::Context;

/// Starts a module.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name } = request;
    let (module, _order) = Module::find_locked(&context.store, &name, context.deadline)?;
    module::start(&context.store, &module, 0, context.deadline)?;
    Ok(Response {})
}
