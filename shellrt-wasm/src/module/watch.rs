//! Waiting for a module to change.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::inotify;
use shellrt_plugin::hangup::{Hangup, Wake};

use super::{Module, Now};
use crate::boot;
use crate::error::Error;

/// How long a change may go unnoticed in the worst case: a lock that the kernel released because its
/// holder was killed makes no event.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Notices when something in a module's directory changes.
#[derive(Debug)]
pub struct Watch {
    events: OwnedFd,
}

impl Watch {
    /// Begins to watch. Look at the module's state after this, or a change in between is missed.
    pub fn new(dir: &Path) -> Result<Self, Error> {
        let watch = || -> rustix::io::Result<OwnedFd> {
            let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
            let events = inotify::init(flags)?;
            let what = inotify::WatchFlags::MOVED_TO
                | inotify::WatchFlags::DELETE_SELF
                | inotify::WatchFlags::MOVE_SELF
                | inotify::WatchFlags::CLOSE_WRITE;
            inotify::add_watch(&events, dir, what)?;
            Ok(events)
        };
        match watch() {
            Ok(events) => Ok(Watch { events }),
            Err(rustix::io::Errno::NOENT) => Err(Error::ModuleNotFound(name(dir))),
            Err(errno) => Err(Error::file("watch", dir, errno.into())),
        }
    }

    /// Waits until something changed, `other` can be read, the reader of stdout went away or
    /// `deadline` is over; it may also return after a moment without a reason.
    pub fn wait(
        &self,
        hangup: &Hangup,
        other: Option<BorrowedFd<'_>>,
        deadline: Option<Instant>,
    ) -> Result<Wake, Error> {
        let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let limit = rest.map_or(LOOK_AGAIN, |rest| rest.min(LOOK_AGAIN));
        let mut inputs = vec![self.events.as_fd()];
        inputs.extend(other);
        let wake = hangup.wait(&inputs, Some(limit));
        let mut wake = wake.map_err(|source| Error::system("wait", source))?;
        let mut events = [0; 4096];
        while rustix::io::read(&self.events, &mut events).is_ok_and(|length| length > 0) {}
        if wake == Wake::Timeout && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            wake = Wake::Ready;
        }
        Ok(wake)
    }
}

impl Module {
    /// Waits until the module has ended and will not be restarted. It answers false when `deadline`
    /// comes first, or the reader of stdout goes away.
    pub fn wait_for_end(&self, hangup: &Hangup, deadline: Option<Instant>) -> Result<bool, Error> {
        let watch = Watch::new(&self.dir)?;
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
            match watch.wait(hangup, None, deadline)? {
                Wake::Ready => {}
                Wake::Timeout | Wake::HungUp => return Ok(false),
            }
        }
    }
}

fn name(dir: &Path) -> String {
    dir.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
