//! The log of a module in a pod. containerd writes it and rotates it never, so every request that
//! meets the module does where it has become too large.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use shellrt_plugin::lock::Lock;
use shellrt_plugin::log as store_log;

use super::record::Files;
use super::{Module, Now};
use crate::containerd::Place;
use crate::error::Error;
use crate::store::Store;
use crate::Context;

/// How often it is looked whether the output is written.
const LOOK: Duration = Duration::from_millis(5);

/// How long containerd may take to leave a file that was renamed, and a follower waits for that.
const PATIENCE: Duration = Duration::from_secs(2);

/// Rotates the log of the running container `id` where it is too large; whoever does that already is
/// left alone, and what fails is only logged.
pub fn rotate(module: &Module, id: &str) {
    let rotated = || -> Result<(), Error> {
        if !is_due(&module.files, module.definition.config.log.max_size.0) {
            return Ok(());
        }
        let Some(_lock) = Lock::try_exclusive(&module.files.log_lock())? else {
            return Ok(());
        };
        make_room(module)?;
        module.cri.reopen_log(id)?;
        // It opens the new file first, and what it has read by then goes into the old one. Followers leave
        // that when the lock is free.
        wait_until_closed(module, "log.1", PATIENCE);
        Ok(())
    };
    if let Err(error) = rotated() {
        ::log::warn!("can't rotate the log of {}: {error}", module.name);
    }
}

/// Renames the files where the current one is too large. Nobody writes.
pub fn make_room(module: &Module) -> Result<(), Error> {
    let log = &module.definition.config.log;
    let dir = module.files.log_dir();
    if store_log::size(&dir).is_some_and(|size| size >= log.max_size.0) {
        store_log::rotate(&dir, log.max_files)?;
    }
    Ok(())
}

/// Whether the log is too large, or was renamed by somebody who could not go on.
fn is_due(files: &Files, max_size: u64) -> bool {
    let dir = files.log_dir();
    match store_log::size(&dir) {
        Some(size) => size >= max_size,
        None => dir.join("log.1").exists(),
    }
}

/// Waits until containerd has written all output of a container that has ended: it says so a moment
/// before. Who may not look at its files waits that moment.
pub fn wait_until_written(module: &Module, patience: Duration) {
    wait_until_closed(module, "log", patience);
}

/// Waits until containerd has closed a file of the log.
fn wait_until_closed(module: &Module, name: &str, patience: Duration) {
    let end = Instant::now() + patience;
    let path = module.files.log_dir().join(name);
    let pid = module.containerd().pid();
    while Instant::now() < end {
        match pid.map(|pid| has_open(pid, &path)) {
            Some(Ok(false)) => return,
            Some(Ok(true)) => std::thread::sleep(LOOK),
            Some(Err(_)) | None => return std::thread::sleep(10 * LOOK),
        }
    }
}

/// Whether the process `pid` has `path` open.
fn has_open(pid: i32, path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        if fs::read_link(entry.path()).is_ok_and(|target| target == path) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A module seen from outside, without a connection: it can be taken to another thread.
#[derive(Debug, Clone)]
pub struct Outside {
    store: Store,
    place: Place,
    name: String,
    files: Files,
    max_size: u64,
}

impl Module {
    /// The module, for another thread.
    pub fn outside(&self) -> Outside {
        let mut place = self.containerd().place().clone();
        place.namespace.clone_from(&self.namespace);
        Outside {
            store: self.store.clone(),
            place,
            name: self.name.to_string(),
            files: self.files.clone(),
            max_size: self.definition.config.log.max_size.0,
        }
    }
}

impl Outside {
    /// Returns when nobody rotates the log: then nothing is written any more to what was rotated away.
    pub fn settle(&self) {
        let end = Instant::now() + PATIENCE;
        if let Err(error) = Lock::exclusive(&self.files.log_lock(), Some(end)) {
            ::log::debug!("the log is read on although it may be rotated: {error}");
        }
    }

    /// Whether nothing more will come from the module. containerd is asked only where that may be
    /// so, or where the log has become too large.
    ///
    /// # Errors
    /// What can't be found out.
    pub fn has_ended(&self) -> io::Result<bool> {
        let look = || -> Result<bool, Error> {
            if !self.files.dir().exists() {
                return Ok(true);
            }
            let (run, end) = (self.files.run()?, self.files.end()?);
            let Some(run) = run else {
                return Ok(false);
            };
            if end.is_some_and(|end| end.attempt >= run.attempt) {
                return Ok(true);
            }
            let is_alive = run.init.is_some_and(|init| init.is_alive());
            if is_alive && !is_due(&self.files, self.max_size) {
                return Ok(false);
            }
            let context = Context::new(self.store.clone(), self.place.clone(), None);
            match Module::find(&context, &self.name)? {
                Some(module) => Ok(matches!(module.now()?, Now::Exited(_))),
                None => Ok(true),
            }
        };
        look().map_err(io::Error::other)
    }
}
