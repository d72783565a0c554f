//! `remove`: removes a module with its log and its state.

use shellrt_api::v0::events::Kind;
use shellrt_api::v0::remove::{Request, Response};
use shellrt_plugin::stop::Grace;

use crate::error::Error;
use crate::image;
use crate::module::stop::{ask, wait_or_kill};
use crate::module::{Module, State};
use crate::Context;

/// Removes a module.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name, force } = request;
    let store = &context.store;
    let (module, order) = Module::find_locked(store, &name, context.deadline)?;
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
    module.remove(store)?;
    store.events().record(&name, Kind::Removed, None);
    order.remove()?;
    if let Err(error) = image::collect(store) {
        // The module is gone all the same; the next `prune` frees its program.
        log::warn!("{error}");
    }
    Ok(Response {})
}
