//! After a boot: the modules that are due are found by looking at all of them, because whoever sees that
//! a module is to be started has that done.

use shellrt_plugin::boot;

use crate::containerd::Place;
use crate::error::Error;
use crate::module;
use crate::store::Store;
use crate::Context;

/// The internal mode of this program that sees to the due modules.
pub const MODE: &str = "start-due";

/// Whether somebody has to look for modules that are due. Where there are none at all that is noted at
/// once.
pub fn is_first_request(store: &Store) -> bool {
    let is_first = boot::is_first_request(&store.boot());
    if is_first && !store.has_modules() {
        if let Err(error) = boot::note(&store.boot()) {
            log::warn!("{error}");
        }
        return false;
    }
    is_first
}

/// Has the modules started that are due.
///
/// # Errors
/// [`Error::Unreachable`] where containerd does not run yet; then the next request tries again.
pub fn start_due() -> Result<(), Error> {
    let place = Place::from_env()?;
    let store = Store::open(&place)?;
    let context = Context::new(store, place, None);
    let store = &context.store;
    boot::once(&store.boot(), &store.boot_lock(), || {
        module::look_at_all(&context)
    })
}
