//! `logs`: what a module wrote.

use shellrt_api::v0::logs::Request;
use shellrt_api::v0::plugin::Reply;

use crate::cri;
use crate::error::Error;
use crate::module::Module;
use crate::Context;

/// Opens the log.
pub fn handle(context: &Context, request: Request) -> Result<Reply, Error> {
    if let Some(module) = cri::Module::find(context, &request.name)? {
        return module.logs(&request, context.deadline);
    }
    let module = Module::find(context, &request.name)?;
    let (log, dir) = (module.files.log_dir(), module.files.dir().to_owned());
    let outside = module.outside();
    Ok(shellrt_plugin::logs::answer(
        &request,
        &log,
        &dir,
        context.deadline,
        move || outside.has_ended(),
        // Who writes it rotates it.
        || {},
    )?)
}
