//! `exec`: runs one command inside a running module.

use shellrt_api::v0::exec::{Request, Response};
use shellrt_api::v0::{Code, Error as WireError};
use shellrt_plugin::create::check_env;

use crate::error::Error;
use crate::module::{aside, Module, Now};
use crate::Context;

/// Runs it.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    // What belongs to the command is for the process that runs it.
    let Request {
        name,
        args,
        env,
        timeout: _,
    } = &request;
    if args.first().is_none_or(String::is_empty) {
        let message = "\"args\" must have a program to run";
        let error = WireError::message(Code::INVALID_REQUEST, message);
        return Err(error.with("path", "/args").into());
    }
    check_env(env)?;
    let module = Module::find(context, name)?;
    let what = match module.now()? {
        Now::Running(running) if running.paused => "is paused; resume it first",
        Now::Running(_) => return aside::exec(&module, &request),
        Now::Created | Now::Restarting(..) | Now::Exited(..) => "does not run; start it first",
    };
    let name = name.clone();
    Err(Error::WrongState { name, what })
}
