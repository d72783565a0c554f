//! Waiting for something to change in a directory.

use crate::file;
use crate::hangup::{Hangup, Wake};
use rustix::fs::inotify;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Notices when a file in a directory is closed after writing or renamed into it, and when the
/// directory itself goes. What else matters is looked at every [`Watch::LOOK_AGAIN`].
#[derive(Debug)]
pub struct Watch {
    /// Nothing where the user has as many of these as it may: 128 unless the machine is set otherwise.
    events: Option<OwnedFd>,
}

impl Watch {
    /// How long a change may go unnoticed in the worst case: a lock that the kernel released because
    /// its holder was killed makes no event.
    pub const LOOK_AGAIN: Duration = Duration::from_millis(500);

    /// The same where the machine has no more descriptors for such events.
    const LOOK_BLINDLY: Duration = Duration::from_millis(20);

    /// Begins to watch. Look at the state after this, or a change in between is missed.
    ///
    /// # Errors
    /// What the operating system refuses; [`file::Error::is_not_found`] where there is no directory.
    pub fn new(dir: &Path) -> Result<Watch, file::Error> {
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
            Ok(events) => Ok(Watch {
                events: Some(events),
            }),
            Err(Errno::MFILE | Errno::NFILE | Errno::NOSPC) if dir.is_dir() => {
                Ok(Watch { events: None })
            }
            Err(errno) => Err(file::Error::new("watch", dir, errno)),
        }
    }

    /// Waits until something changed, `other` can be read, the reader of the output went away or
    /// `deadline` is over; it also returns [`Wake::Ready`] after a moment without a reason.
    ///
    /// # Errors
    /// What `poll` refuses: no memory, too many descriptors.
    pub fn wait(
        &self,
        hangup: &Hangup,
        other: Option<BorrowedFd<'_>>,
        deadline: Option<Instant>,
    ) -> io::Result<Wake> {
        let (wake, _) = self.notice(hangup, other, deadline)?;
        Ok(wake)
    }

    /// As [`wait`](Self::wait), and says whether it is time to look at the directory: it is not where only
    /// `other` can be read. To look costs more than to pass on what a module writes.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn notice(
        &self,
        hangup: &Hangup,
        other: Option<BorrowedFd<'_>>,
        deadline: Option<Instant>,
    ) -> io::Result<(Wake, bool)> {
        let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let pause = match self.events {
            Some(_) => Self::LOOK_AGAIN,
            None => Self::LOOK_BLINDLY,
        };
        let limit = rest.map_or(pause, |rest| rest.min(pause));
        let mut inputs: Vec<BorrowedFd> = self.events.iter().map(AsFd::as_fd).collect();
        inputs.extend(other);
        let mut wake = hangup.wait(&inputs, Some(limit))?;
        let mut is_time = wake != Wake::Ready;
        if let Some(events) = &self.events {
            let mut buffer = [0; 4096];
            while rustix::io::read(events, &mut buffer).is_ok_and(|length| length > 0) {
                is_time = true;
            }
        }
        if wake == Wake::Timeout && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            wake = Wake::Ready;
        }
        Ok((wake, is_time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::PipeReader;

    /// An output whose reader stays as long as the second value lives.
    fn output() -> (Hangup, PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        (Hangup::of(writer.into()), reader)
    }

    /// Whether `act` is noticed at once: its end is far from the time of the next look.
    fn is_noticed(watch: &Watch, act: impl FnOnce()) -> bool {
        let (hangup, _reader) = output();
        act();
        let mut inotify = [0; 4096];
        let events = watch.events.as_ref().unwrap();
        let ready = hangup.wait(&[events.as_fd()], Some(Duration::ZERO));
        let ready = ready.unwrap() == Wake::Ready;
        // What was noticed is forgotten by the wait.
        assert_eq!(watch.wait(&hangup, None, None).unwrap(), Wake::Ready);
        assert!(rustix::io::read(events, &mut inotify).is_err());
        ready
    }

    #[test]
    fn files_that_are_written_or_renamed_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        fs::create_dir(&path).unwrap();
        let watch = Watch::new(&path).unwrap();
        assert!(!is_noticed(&watch, || ()));
        assert!(is_noticed(&watch, || {
            fs::write(path.join("file"), b"text").unwrap();
        }));
        assert!(is_noticed(&watch, || {
            fs::rename(path.join("file"), path.join("other")).unwrap();
        }));
        assert!(is_noticed(&watch, || {
            fs::rename(&path, dir.path().join("gone")).unwrap();
        }));
    }

    #[test]
    fn the_deadline_and_the_reader_end_the_wait() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new(dir.path()).unwrap();
        let (hangup, reader) = output();
        let past = Some(Instant::now());
        assert_eq!(watch.wait(&hangup, None, past).unwrap(), Wake::Timeout);
        let (input, mut other) = io::pipe().unwrap();
        io::Write::write_all(&mut other, b"text").unwrap();
        let ready = watch.wait(&hangup, Some(input.as_fd()), past).unwrap();
        assert_eq!(ready, Wake::Ready);
        // That is no reason to look at the directory.
        let noticed = || watch.notice(&hangup, Some(input.as_fd()), None).unwrap();
        assert_eq!(noticed(), (Wake::Ready, false));
        fs::write(dir.path().join("file"), b"text").unwrap();
        assert_eq!(noticed(), (Wake::Ready, true));
        drop(reader);
        assert_eq!(watch.wait(&hangup, None, None).unwrap(), Wake::HungUp);
    }

    #[test]
    fn without_events_it_looks_again_soon() {
        let blind = Watch { events: None };
        let (hangup, _reader) = output();
        let begun = Instant::now();
        assert_eq!(blind.wait(&hangup, None, None).unwrap(), Wake::Ready);
        assert!(begun.elapsed() < Watch::LOOK_AGAIN);
    }

    #[test]
    fn a_directory_that_is_not_there_is_said_so() {
        let dir = tempfile::tempdir().unwrap();
        let error = Watch::new(&dir.path().join("none")).unwrap_err();
        assert!(error.is_not_found(), "{error}");
    }
}
