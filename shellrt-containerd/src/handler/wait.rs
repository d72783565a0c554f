//! `wait`: returns when a module has ended and will not be restarted.

use std::time::{Duration, Instant};

use shellrt_api::v0::wait::{Request, Response};
use shellrt_plugin::hangup::Hangup;

use crate::cri;
use crate::error::Error;
use crate::module::Module;
use crate::Context;

/// Waits.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name, timeout } = request;
    let timeout =
        timeout.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
    let until = [timeout, context.deadline].into_iter().flatten().min();
    let hangup = Hangup::stdout();
    let late = || Error::Timeout(format!("module {name:?} has not ended yet"));
    if let Some(module) = cri::Module::find(context, &name)? {
        return match module.wait_for_end(&hangup, until)? {
            true => module.status(),
            false => Err(late()),
        };
    }
    let module = Module::find(context, &name)?;
    match module.wait_for_end(&hangup, until)? {
        true => module.status(),
        false => Err(late()),
    }
}
