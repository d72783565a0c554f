//! Waiting for a module to change.

use std::time::Instant;

use shellrt_plugin::file;
use shellrt_plugin::hangup::{Hangup, Wake};
use shellrt_plugin::watch::Watch;

use super::{Module, Now};
use crate::boot;
use crate::error::Error;

impl Module {
    /// Begins to watch its directory.
    ///
    /// # Errors
    /// [`Error::ModuleNotFound`] where it was removed meanwhile.
    pub fn watch(&self) -> Result<Watch, Error> {
        Watch::new(&self.dir).map_err(|error| self.gone(error))
    }

    /// The error for a directory of the module that can't be used.
    pub(super) fn gone(&self, error: file::Error) -> Error {
        match error.is_not_found() {
            true => Error::ModuleNotFound(self.name.to_string()),
            false => error.into(),
        }
    }

    /// Waits until the module has ended and will not be restarted. It answers false when `deadline`
    /// comes first, or the reader of stdout goes away.
    pub fn wait_for_end(&self, hangup: &Hangup, deadline: Option<Instant>) -> Result<bool, Error> {
        let watch = self.watch()?;
        loop {
            // A removed module has ended too, but there is nothing to say of it any more.
            if !self.dir.exists() {
                return Err(Error::ModuleNotFound(self.name.to_string()));
            }
            if let Now::Exited(run, _) = self.now()? {
                // After a boot it may be about to be started again.
                if !boot::is_due(self, &run)? {
                    return Ok(true);
                }
            }
            let wake = watch.wait(hangup, None, deadline);
            match wake.map_err(|source| Error::system("wait", source))? {
                Wake::Ready => {}
                Wake::Timeout | Wake::HungUp => return Ok(false),
            }
        }
    }
}
