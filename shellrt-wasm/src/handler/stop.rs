//! `stop`: ends a module; one that does not run stays as it is.

use shellrt_api::v0::stop::{Request, Response, DEFAULT_TIMEOUT};
use shellrt_plugin::stop::Grace;

use crate::error::Error;
use crate::module::stop::stop;
use crate::module::Module;
use crate::Context;

/// Stops a module.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name, timeout } = request;
    let module = Module::find(&context.store, &name)?;
    stop(
        &context.store,
        &module,
        Grace::from_seconds(timeout.unwrap_or(DEFAULT_TIMEOUT)),
        context.deadline,
    )?;
    Ok(Response {})
}
