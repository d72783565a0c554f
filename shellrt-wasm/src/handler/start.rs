//! `start`: starts a module; one that runs stays as it is.

use shellrt_api::v0::start::{Request, Response};
use shellrt_plugin::lock::Lock;
use shellrt_plugin::names;

use crate::error::Error;
use crate::module::{self, Module};
use crate::Context;

/// Starts a module.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name } = request;
    let lock = context.store.module_lock(&names::check(&name)?);
    let _order = Lock::exclusive(&lock, context.deadline)?;
    let module = Module::find(&context.store, &name)?;
    module::start(&context.store, &module, context.deadline)?;
    Ok(Response {})
}
