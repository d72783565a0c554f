//! The client's side of `attach`: what the module writes from now on.

use super::{make_fifo, Wanted};
use crate::event;
use crate::file;
use crate::hangup::{Hangup, Wake};
use crate::watch::Watch;
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What a module writes from now on, until it has ended and will not be restarted; a blocking
/// [`Read`]. It also ends at the deadline, and when the reader of stdout goes away.
#[derive(Debug)]
pub struct Attached<F> {
    path: PathBuf,
    fifo: OwnedFd,
    watch: Watch,
    pub(super) hangup: Hangup,
    deadline: Option<Instant>,
    is_ended: F,
    ended: bool,
}

impl<F: FnMut() -> io::Result<bool>> Attached<F> {
    /// Attaches through the directory `dir`, to a module that runs or was never started. From here on
    /// nothing is missed.
    ///
    /// `is_ended` says whether the module has ended and will not be restarted; it is asked whenever
    /// something in the directory `watched` changes, and now and then. Whatever the module wrote last
    /// must have been sent before it says so. An error counts as an end.
    ///
    /// # Errors
    /// What the operating system refuses; [`file::Error::is_not_found`] where one of the directories
    /// is not there.
    pub fn new(
        dir: &Path,
        watched: &Path,
        wanted: Wanted,
        deadline: Option<Instant>,
        is_ended: F,
    ) -> Result<Attached<F>, file::Error> {
        let watch = Watch::new(watched)?;
        // A pid may be that of a client that was killed here; the time makes the name new.
        let draft = dir.join(format!("{}-{}", std::process::id(), event::now()));
        let path = draft.with_extension(wanted.extension());
        make_fifo(&draft)?;
        let open = || -> rustix::io::Result<OwnedFd> {
            // With both ends open here, the end of one run is not the end of the stream.
            let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let fifo = rustix::fs::open(&draft, flags, Mode::empty())?;
            // It is found when somebody reads it, not before.
            rustix::fs::rename(&draft, &path)?;
            Ok(fifo)
        };
        let fifo = open().map_err(|errno| {
            let _ = fs::remove_file(&draft);
            file::Error::new("open", &path, errno)
        })?;
        Ok(Attached {
            path,
            fifo,
            watch,
            hangup: Hangup::stdout(),
            deadline,
            is_ended,
            ended: false,
        })
    }
}

impl<F: FnMut() -> io::Result<bool>> Read for Attached<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(&self.fifo, &mut *buffer) {
                Err(rustix::io::Errno::AGAIN) if self.ended => return Ok(0),
                Err(rustix::io::Errno::AGAIN) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
                Ok(length) => return Ok(length),
            }
            let fifo = Some(self.fifo.as_fd());
            let (wake, is_time) = self.watch.notice(&self.hangup, fifo, self.deadline)?;
            match wake {
                Wake::Ready => {}
                Wake::Timeout | Wake::HungUp => return Ok(0),
            }
            if is_time {
                // What the module wrote last is in the FIFO before its end can be seen.
                self.ended = (self.is_ended)().unwrap_or(true);
            }
        }
    }
}

impl<F> Drop for Attached<F> {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
