//! Waiting for a module's end.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use shellrt_plugin::hangup::{Hangup, Wake};
use shellrt_plugin::process::Identity;
use shellrt_plugin::watch::Watch;

use super::{Module, Now};
use crate::error::Error;

/// How often containerd is asked, although nothing can be seen of an end.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// How often containerd is asked when the process has ended and it has not noticed yet.
const SOON: Duration = Duration::from_millis(10);

impl Module {
    /// Waits until the module has ended. It answers false when `deadline` comes first, or the reader
    /// of stdout goes away.
    ///
    /// # Errors
    /// [`Error::ModuleNotFound`] where it is removed meanwhile.
    pub fn wait_for_end(&self, hangup: &Hangup, deadline: Option<Instant>) -> Result<bool, Error> {
        let gone = || Error::ModuleNotFound(self.name.to_string());
        let watch = match Watch::new(self.files.dir()) {
            Err(error) if error.is_not_found() => return Err(gone()),
            other => other?,
        };
        let mut init: Option<Identity> = None;
        let mut runs = false;
        loop {
            let before = (self.files.run()?, self.files.end()?);
            match self.now() {
                Ok(Now::Exited(_)) => return Ok(true),
                Ok(Now::Running(running)) => {
                    init = running.pid.and_then(|pid| Identity::of(pid).ok());
                    runs = true;
                }
                Ok(Now::Created) => runs = false,
                // A daemon that is started anew in the meantime changes nothing for the module.
                Err(error) if error.is_away() && is_alive(&init) => {}
                Err(error) => return Err(error),
            }
            let asked = Instant::now();
            while !runs || is_alive(&init) {
                let process = init.as_ref().and_then(|init| init.watch().ok().flatten());
                let other = process.as_ref().map(AsFd::as_fd);
                match watch.wait(hangup, other, deadline) {
                    Ok(Wake::Ready) => {}
                    Ok(Wake::Timeout | Wake::HungUp) => return Ok(false),
                    Err(source) => return Err(Error::system("wait", source)),
                }
                // A removed module has ended too, but there is nothing to say of it any more.
                if !self.files.dir().exists() {
                    return Err(gone());
                }
                let is_changed = (self.files.run()?, self.files.end()?) != before;
                if is_changed || asked.elapsed() >= ASK_AGAIN {
                    break;
                }
            }
            if runs && !is_alive(&init) {
                let is_late = deadline.is_some_and(|deadline| deadline <= Instant::now());
                if is_late || hangup.is_hung_up() {
                    return Ok(false);
                }
                std::thread::sleep(SOON);
            }
        }
    }
}

fn is_alive(init: &Option<Identity>) -> bool {
    init.as_ref().is_some_and(Identity::is_alive)
}
