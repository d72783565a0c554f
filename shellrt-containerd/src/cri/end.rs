//! Ending a module, and removing it with its pod.

use std::time::Instant;

use shellrt_api::v0::events::Kind;
use shellrt_api::v0::stop::DEFAULT_TIMEOUT;
use shellrt_plugin::event::Events;
use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;

use super::client::Cri;
use super::{Module, Now};
use crate::error::Error;

/// A time that never comes, in seconds; containerd counts in nanoseconds.
const ENDLESS: i64 = 9_000_000_000;

impl Module {
    /// Ends the module and waits for that; one that does not run stays as it is. The module's lock is
    /// held only while it is looked at, so that a more urgent request can overtake.
    ///
    /// # Errors
    /// [`Error::Timeout`] at the deadline; the module is asked to end all the same.
    pub fn stop(&self, timeout: Option<i64>, deadline: Option<Instant>) -> Result<(), Error> {
        let running = {
            let _order = Lock::exclusive(&self.store.module_lock(&self.name), deadline)?;
            self.now()?
        };
        let Now::Running(running) = running else {
            return Ok(());
        };
        self.cri.stop(&running.container, seconds(timeout))?;
        // Its end is written down.
        self.now().map(drop)
    }

    /// Removes the module, whatever it does. The caller holds the module's lock.
    ///
    /// # Errors
    /// [`Error::Runtime`].
    pub fn remove(&self) -> Result<(), Error> {
        if let Now::Running(running) = self.now()? {
            self.cri.stop(&running.container, 0)?;
            self.now()?;
        }
        remove_pods(&self.cri, &self.definition.uid)?;
        file::remove(self.files.dir())?;
        Events::new(self.store.root()).record(self.name.as_str(), Kind::Removed, None);
        Ok(())
    }
}

/// Removes everything that belongs to the module with the uid `uid`.
///
/// # Errors
/// [`Error::Runtime`].
pub fn remove_pods(cri: &Cri, uid: &str) -> Result<(), Error> {
    for container in cri.containers(uid)? {
        cri.remove(&container.id)?;
    }
    for pod in cri.pods(uid)? {
        cri.remove_pod(&pod.id)?;
    }
    Ok(())
}

/// A request's timeout, as containerd takes it: 0 kills at once, and there are no negative ones.
fn seconds(timeout: Option<i64>) -> i64 {
    match timeout.unwrap_or(DEFAULT_TIMEOUT) {
        seconds @ 0..=ENDLESS => seconds,
        _ => ENDLESS,
    }
}

#[cfg(test)]
mod tests {
    use super::{seconds, ENDLESS};

    #[test]
    fn timeouts_are_what_containerd_can_count() {
        assert_eq!(seconds(None), 10);
        assert_eq!(seconds(Some(0)), 0);
        assert_eq!(seconds(Some(7)), 7);
        for endless in [-1, i64::MIN, i64::MAX, ENDLESS + 1] {
            assert_eq!(seconds(Some(endless)), ENDLESS);
        }
        assert!(ENDLESS.checked_mul(1_000_000_000).is_some());
    }
}
