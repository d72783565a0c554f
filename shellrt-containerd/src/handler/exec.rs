//! `exec`: runs one command inside a running module.

use std::time::{Duration, Instant};

use shellrt_api::v0::exec::{Request, Response};
use shellrt_api::v0::{Code, Error as WireError};
use shellrt_plugin::create::check_env;

use crate::error::Error;
use crate::module::exec::{run, Command};
use crate::module::{Module, Now};
use crate::Context;

/// Runs it.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request {
        name,
        args,
        env,
        timeout,
    } = request;
    if args.first().is_none_or(String::is_empty) {
        let message = "\"args\" must have a program to run";
        let error = WireError::message(Code::INVALID_REQUEST, message);
        return Err(error.with("path", "/args").into());
    }
    check_env(&env)?;
    let module = Module::find(context, &name)?;
    match module.now()? {
        Now::Running(running) if running.paused => {
            let what = "is paused; resume it first";
            return Err(Error::WrongState { name, what });
        }
        Now::Running(_) => {}
        Now::Created | Now::Exited(..) => {
            let what = "does not run; start it first";
            return Err(Error::WrongState { name, what });
        }
    }
    let timeout =
        timeout.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
    let deadline = [timeout, context.deadline].into_iter().flatten().min();
    run(
        &module,
        &Command {
            args,
            env,
            deadline,
        },
    )
}
