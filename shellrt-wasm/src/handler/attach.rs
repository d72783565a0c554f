//! `attach`: a module's live output, and its input.

use std::thread;

use shellrt_api::v0::attach::{Request, Response};
use shellrt_api::v0::plugin::Reply;
use shellrt_plugin::attach::{after_nul, Wanted};

use crate::error::Error;
use crate::module::attach::{attach, feed};
use crate::module::{Module, State};
use crate::Context;

/// Attaches.
pub fn handle(context: &Context, request: Request) -> Result<Reply, Error> {
    let Request {
        name,
        stdin,
        streams,
        close_stdin,
    } = request;
    let module = Module::find(&context.store, &name)?;
    let state = module.now()?.state();
    if state == State::Exited {
        let what = "has ended; start it first, or read its logs";
        return Err(Error::WrongState { name, what });
    }
    if stdin && !module.definition.config.stdin {
        let what = "was created without \"stdin\": true, so it has none to attach to";
        return Err(Error::WrongState { name, what });
    }
    if stdin && state == State::Active && module.is_stdin_closed() {
        let what = "had its stdin closed by an earlier attach; restart it to open it again";
        return Err(Error::WrongState { name, what });
    }
    let input = match context.input.take() {
        Some(input) if stdin => Some(after_nul(input)?),
        _ => None,
    };
    let wanted = Wanted::from_request(streams.as_deref());
    let attached = attach(module.clone(), wanted, context.deadline)?;
    if let Some(input) = input {
        thread::spawn(move || {
            if let Err(error) = feed(&module, input, close_stdin) {
                log::warn!("{error}");
            }
        });
    }
    Ok(Reply::stream(
        shellrt_api::v0::Response::Attach(Response {}),
        attached,
    ))
}
