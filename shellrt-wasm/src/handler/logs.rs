//! `logs`: what a module wrote.

use shellrt_api::v0::logs::Request;
use shellrt_api::v0::plugin::Reply;
use shellrt_plugin::logs;

use crate::error::Error;
use crate::module::Module;
use crate::Context;

/// Opens the log.
pub fn handle(context: &Context, request: Request) -> Result<Reply, Error> {
    let module = Module::find(&context.store, &request.name)?;
    let (log, dir) = (module.log_dir(), module.dir().to_owned());
    let is_ended = move || module.is_ended();
    Ok(logs::answer(
        &request,
        &log,
        &dir,
        context.deadline,
        is_ended,
        // Who writes it rotates it.
        || {},
    )?)
}
