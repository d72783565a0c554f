//! `remove`: removes a module with its log and its state.

use shellrt_api::v0::events::Kind;
use shellrt_api::v0::remove::{Request, Response};
use shellrt_plugin::event::Events;
use shellrt_plugin::stop::Grace;

use crate::cri;
use crate::error::Error;
use crate::module::stop::{ask, wait_or_kill};
use crate::module::{Module, State};
use crate::Context;

/// Removes a module.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name, force } = request;
    // What was begun and not finished goes with whatever is removed.
    cri::create::clear_all(context, &context.store)?;
    if let Some((module, order)) = cri::Module::find_locked(context, &name)? {
        // Programs of v0 know no force for this kind.
        module.remove()?;
        order.remove()?;
        return Ok(Response {});
    }
    let (module, order) = Module::find_locked(context, &name)?;
    if module.now()?.state() == State::Active {
        if !force {
            return Err(Error::WrongState {
                name,
                what: "runs; stop it first, or use force",
            });
        }
        if ask(&module, Grace::None)? {
            wait_or_kill(&module, Grace::None, context.deadline)?;
        }
    }
    module.remove()?;
    Events::new(context.store.root()).record(&name, Kind::Removed, None);
    order.remove()?;
    Ok(Response {})
}
