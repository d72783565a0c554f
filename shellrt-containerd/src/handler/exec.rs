//! `exec`: runs one command inside a running module.

use shellrt_api::v0::exec::{Request, Response};
use shellrt_api::v0::{Code, Error as WireError};
use shellrt_plugin::create::check_env;

use crate::cri;
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
    let what = match cri::Module::find(context, name)? {
        Some(module) => match module.now()? {
            cri::Now::Running(_) => return aside::exec(context.containerd()?, &request),
            cri::Now::Created | cri::Now::Exited(_) => "does not run; start it first",
        },
        None => match Module::find(context, name)?.now()? {
            Now::Running(running) if running.paused => "is paused; resume it first",
            Now::Running(_) => return aside::exec(context.containerd()?, &request),
            Now::Created | Now::Restarting(..) | Now::Exited(..) => "does not run; start it first",
        },
    };
    let name = name.clone();
    Err(Error::WrongState { name, what })
}
