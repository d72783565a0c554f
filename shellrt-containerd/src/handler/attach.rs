//! `attach`: a module's live output, and its input.

use std::thread;

use shellrt_api::v0::attach::{Request, Response};
use shellrt_api::v0::plugin::Reply;
use shellrt_plugin::attach::{after_nul, Attached, Wanted};

use crate::cri;
use crate::error::Error;
use crate::module::attach::feed;
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
    if let Some(module) = cri::Module::find(context, &name)? {
        return module.attach(streams.as_deref(), stdin, context.deadline);
    }
    let module = Module::find(context, &name)?;
    let state = module.now()?.state();
    if state == State::Exited {
        let what = "has ended; start it first, or read its logs";
        return Err(Error::WrongState { name, what });
    }
    if stdin && !module.definition.config.stdin {
        let what = "was created without \"stdin\": true, so it has none to attach to";
        return Err(Error::WrongState { name, what });
    }
    if stdin && state == State::Active && module.files.stdin_closed_mark().exists() {
        let what = "had its stdin closed by an earlier attach; restart it to open it again";
        return Err(Error::WrongState { name, what });
    }
    let input = match context.input.take() {
        Some(input) if stdin => Some(after_nul(input)?),
        _ => None,
    };
    let wanted = Wanted::from_request(streams.as_deref());
    let outside = module.outside();
    let feeder = input.map(|input| (outside.clone(), input));
    let (attach, dir) = (module.files.attach_dir(), module.files.dir().to_owned());
    let is_ended = move || outside.has_ended();
    let attached = Attached::new(&attach, &dir, wanted, context.deadline, is_ended)?;
    if let Some((feed_to, input)) = feeder {
        thread::spawn(move || {
            if let Err(error) = feed(&feed_to, input, close_stdin) {
                log::warn!("{error}");
            }
        });
    }
    let response = shellrt_api::v0::Response::Attach(Response {});
    Ok(Reply::stream(response, attached))
}
