//! Hearing that something happened in a directory.

use crate::hangup::{self, Hangup, Wake};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// Watches directories and files, through inotify where there is some left: its instances are
/// scarce (128 for each user by default).
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Option<OwnedFd>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Something was written, or nothing happened that we know of.
    Written,
    /// A file came, went, was renamed or closed.
    Changed,
    /// Whoever reads our output went away.
    HungUp,
}

impl Watch {
    pub fn new() -> Watch {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        let inotify = inotify::init(flags).ok();
        Watch { inotify }
    }

    /// One that is told nothing.
    #[cfg(test)]
    pub fn blind() -> Watch {
        Watch { inotify: None }
    }

    /// Watches `path` too; nothing comes of one that does not exist.
    pub fn add(&mut self, path: &Path) {
        let flags = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        if let Some(inotify) = &self.inotify {
            match inotify::add_watch(inotify, path, flags) {
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                // There are too many watches: half of them are worth less than none.
                Err(_) => self.inotify = None,
            }
        }
    }

    /// Waits until something happens, at most for `timeout`, and shorter where nothing would tell.
    pub fn wait(&mut self, hangup: Option<&Hangup>, timeout: Duration) -> io::Result<Event> {
        // A line is to be seen within 100 ms of its writing.
        const BLIND: Duration = Duration::from_millis(40);
        let wake = match &self.inotify {
            Some(inotify) => hangup::wait(hangup, &[inotify.as_fd()], Some(timeout))?,
            None => hangup::wait(hangup, &[], Some(timeout.min(BLIND)))?,
        };
        match wake {
            Wake::HungUp => Ok(Event::HungUp),
            Wake::Timeout => Ok(Event::Written),
            Wake::Ready => Ok(self.take_events()),
        }
    }

    /// Takes all events there are. What they are about is looked for where it is, so nothing is
    /// lost if the kernel had to drop some.
    fn take_events(&mut self) -> Event {
        let Some(inotify) = &self.inotify else {
            return Event::Written;
        };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(inotify, &mut buffer);
        let mut result = Event::Written;
        // It ends with the error that there are no more.
        while let Ok(event) = events.next() {
            if event.events() != ReadFlags::MODIFY {
                result = Event::Changed;
            }
        }
        result
    }
}
