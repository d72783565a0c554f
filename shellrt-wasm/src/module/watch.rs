//! Waiting for a module to change.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
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
        let mut watch = None;
        loop {
            // A removed module has ended too, but there is nothing to say of it any more.
            if !self.dir.exists() {
                return Err(Error::ModuleNotFound(self.name.to_string()));
            }
            let failed = |source| Error::system("wait", source);
            let monitor = match self.now()? {
                // Its monitor lives as long as it is not at its end. To watch that and not the
                // directory costs nothing: the kernel takes 15 ms to close what watches a directory.
                Now::Running(run) | Now::Restarting(run, _) => {
                    run.monitor.watch().map_err(failed)?
                }
                // After a boot it may be about to be started again.
                Now::Exited(run, _) if !boot::is_due(self, &run)? => return Ok(true),
                Now::Exited(..) | Now::Created => None,
            };
            let wake = match (monitor, &watch) {
                (Some(monitor), _) => until_ended(&monitor, hangup, deadline),
                (None, Some(watch)) => Watch::wait(watch, hangup, None, deadline),
                (None, None) => {
                    // What happened before the watch began is looked at once more.
                    watch = Some(self.watch()?);
                    continue;
                }
            };
            match wake.map_err(failed)? {
                Wake::Ready => {}
                Wake::Timeout | Wake::HungUp => return Ok(false),
            }
        }
    }
}

/// Waits until the process behind `monitor` has ended, or, as [`Watch::wait`] does, for a moment.
fn until_ended(monitor: &OwnedFd, hangup: &Hangup, deadline: Option<Instant>) -> io::Result<Wake> {
    let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let limit = rest.map_or(Watch::LOOK_AGAIN, |rest| rest.min(Watch::LOOK_AGAIN));
    Ok(match hangup.wait(&[monitor.as_fd()], Some(limit))? {
        Wake::Timeout if rest.is_none_or(|rest| rest > limit) => Wake::Ready,
        wake => wake,
    })
}
