//! Waiting for a module's end.

use std::time::{Duration, Instant};

use shellrt_plugin::hangup::{Hangup, Wake};
use shellrt_plugin::watch::Watch;

use super::state::State;
use super::{restart, Module};
use crate::error::Error;

/// How often containerd is asked, although the module's own process lives and would have told.
const ASK_AGAIN: Duration = Duration::from_secs(10);

impl Module {
    /// Waits until the module has ended and will not be started again. It answers false when `deadline`
    /// comes first, or the reader of stdout goes away.
    ///
    /// # Errors
    /// [`Error::ModuleNotFound`] where it is removed meanwhile.
    pub fn wait_for_end(&self, hangup: &Hangup, deadline: Option<Instant>) -> Result<bool, Error> {
        let gone = || Error::ModuleNotFound(self.name.to_string());
        let watch = match Watch::new(self.files.dir()) {
            Err(error) if error.is_not_found() => return Err(gone()),
            other => other?,
        };
        let mut asked: Option<Instant> = None;
        loop {
            // The end is written before anything else can be seen of it, so containerd need not be
            // asked at every look.
            let is_written = match (self.files.run()?, self.files.end()?) {
                (Some(run), Some(end)) if run.number == end.number => {
                    !restart::is_pending(&self.files, &run, &end)?
                }
                _ => false,
            };
            let is_watched = self.files.is_watched() || self.files.is_seen_to();
            let is_due = asked.is_none_or(|asked| asked.elapsed() >= ASK_AGAIN);
            if is_written || is_due || !is_watched {
                asked = Some(Instant::now());
                match self.now() {
                    Ok(now) if now.state() == State::Exited => return Ok(true),
                    Ok(_) => {}
                    // A daemon that is started anew in the meantime changes nothing for the module.
                    Err(error) if is_watched && error.is_away() => {}
                    Err(error) => return Err(error),
                }
            }
            match watch.wait(hangup, None, deadline) {
                Ok(Wake::Ready) => {}
                Ok(Wake::Timeout | Wake::HungUp) => return Ok(false),
                Err(source) => return Err(Error::system("wait", source)),
            }
            // A removed module has ended too, but there is nothing to say of it any more.
            if !self.files.dir().exists() {
                return Err(gone());
            }
        }
    }
}
