//! Reading what is there and what comes.

use super::files::Directory;
use super::read::{Progress, Records};
use super::watch::{Event, Watch};
use super::{Error, Query};
use crate::hangup::Hangup;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The bytes of a module's log, and then what is appended, as it is appended; a blocking [`Read`].
///
/// The end of file comes when the module has ended and everything was read, when the directory is
/// deleted or moved, when `until` has passed, at the deadline, or when whoever reads our output went
/// away. Until then `read` waits, without a thread, and takes no lock: the writer never waits for a
/// follower. A follower that is slower than the rotation loses what was deleted before it got there.
pub struct Follow {
    dir: Directory,
    records: Records,
    /// The file after the current one, which is read to its end first.
    next: Option<File>,
    watch: Watch,
    ended: Box<dyn FnMut() -> io::Result<bool> + Send>,
    settled: Box<dyn FnMut() + Send>,
    hangup: Option<Hangup>,
    deadline: Option<Instant>,
    /// The time of the query's `until`, in nanoseconds since the epoch.
    until: Option<i64>,
    /// How long to wait before looking again without a reason.
    patience: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Following,
    /// There is nothing more to come, and what is there is read for the last time.
    Finishing,
    Over,
}

/// A second, so that a condition that nothing tells us about is seen too.
const LONGEST_PATIENCE: Duration = Duration::from_secs(1);
const SHORTEST_PATIENCE: Duration = Duration::from_millis(1);

impl Follow {
    /// Follows the log in `dir`. `ended` says whether the module has ended and will not be restarted;
    /// it is asked when there is nothing left to read: whenever something happened in `dir` (a file
    /// is renamed into it, a lock file is closed), and once a second. After it said yes it is not
    /// asked again, and what was written before it did so is still read.
    ///
    /// # Errors
    /// [`Error::Open`] where the directory is missing or can't be read.
    pub fn open(
        dir: &Path,
        query: Query,
        ended: impl FnMut() -> io::Result<bool> + Send + 'static,
    ) -> Result<Follow, Error> {
        let failed = |source| Error::open(dir, source);
        let directory = Directory::open(dir).map_err(failed)?;
        // First watch, then look: what happens in between is seen twice and not never.
        let mut watch = Watch::new();
        watch.add(directory.path());
        let records = Records::open(&directory, query, true).map_err(failed)?;
        Ok(Follow {
            dir: directory,
            records,
            next: None,
            watch,
            ended: Box::new(ended),
            settled: Box::new(|| {}),
            hangup: None,
            deadline: None,
            until: query.until,
            patience: SHORTEST_PATIENCE,
            state: State::Following,
        })
    }

    /// `settled` returns when nobody writes any more to a file that was rotated away: for a log whose writer
    /// is told to begin another file, and may still have a line for the old one when that is there.
    #[must_use]
    pub fn settle_by(mut self, settled: impl FnMut() + Send + 'static) -> Follow {
        self.settled = Box::new(settled);
        self
    }

    /// Asks `ended` also when something happens at `path`, a file or a directory. One that does not
    /// exist is left out: then it takes a second at most.
    #[must_use]
    pub fn wake_on(mut self, path: &Path) -> Follow {
        self.watch.add(path);
        self
    }

    /// Ends the stream, also an idle one, when the reader behind `hangup` goes away.
    #[must_use]
    pub fn until_hangup(mut self, hangup: Hangup) -> Follow {
        self.hangup = Some(hangup);
        self
    }

    /// Ends the stream at `deadline`.
    #[must_use]
    pub fn until_deadline(mut self, deadline: Instant) -> Follow {
        self.deadline = Some(deadline);
        self
    }

    /// Whether there may be something to read after `records` came to its end: the rest of a file
    /// that was rotated away, or the file after it.
    fn go_on(&mut self) -> io::Result<bool> {
        if let Some(next) = self.next.take() {
            self.records.go_on_with(next);
            return Ok(true);
        }
        let current = self.records.current();
        if let Some(current) = current {
            if self.dir.is_current(current)? {
                self.records.notice_emptied()?;
                return Ok(false);
            }
        }
        // The current file may have grown between our last look at it and its rotation, but it does
        // not grow any more once that is settled. So it is read once again, and then comes the next.
        self.next = self.dir.newer_than(current)?;
        if self.next.is_some() {
            (self.settled)();
        }
        Ok(self.next.is_some())
    }

    fn is_finished(&mut self) -> io::Result<bool> {
        let passed = self.until_left().is_some_and(|left| left.is_zero());
        Ok(passed || (self.ended)()? || self.dir.is_gone())
    }

    /// How long it is until nothing that comes can be early enough for the query's `until`.
    fn until_left(&self) -> Option<Duration> {
        // A record gets its time shortly before it is written.
        const LATE: Duration = Duration::from_millis(20);
        // An `until` before the epoch has passed.
        let until = Duration::from_nanos(u64::try_from(self.until?).unwrap_or(0)) + LATE;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Some(until.saturating_sub(now.unwrap_or_default()))
    }

    /// Waits for something to happen; false where the stream is to end now.
    fn wait(&mut self) -> io::Result<bool> {
        let now = Instant::now();
        let deadline = self.deadline.map(|at| at.saturating_duration_since(now));
        let limits = [Some(self.patience), deadline, self.until_left()];
        let timeout = limits.into_iter().flatten().min().unwrap_or_default();
        match self.watch.wait(self.hangup.as_ref(), timeout)? {
            Event::HungUp => return Ok(false),
            // The kernel tells that a lock file is closed a moment before it releases the lock, and
            // does not tell at all that a directory which we have open is deleted after its files.
            // So what changes is looked at again soon, and then less and less often.
            Event::Changed => self.patience = SHORTEST_PATIENCE,
            Event::Written => self.patience = (self.patience * 4).min(LONGEST_PATIENCE),
        }
        Ok(true)
    }
}

impl Read for Follow {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let late = self.deadline.is_some_and(|at| Instant::now() >= at);
            if self.state == State::Over || late {
                self.state = State::Over;
                return Ok(0);
            }
            match self.records.read(out)? {
                Progress::Bytes(count) => return Ok(count),
                Progress::Passed => {
                    // What is not asked for may go on for gigabytes.
                    if self.hangup.as_ref().is_some_and(Hangup::is_hung_up) {
                        self.state = State::Over;
                    }
                    continue;
                }
                Progress::End => {}
            }
            if !self.records.is_late() {
                if self.go_on()? {
                    continue;
                }
                if self.state == State::Following {
                    if self.is_finished()? {
                        self.state = State::Finishing;
                        continue;
                    }
                    if self.wait()? {
                        continue;
                    }
                }
            }
            self.state = State::Over;
        }
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow")
            .field("dir", &self.dir)
            .field("records", &self.records)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Options, Stream, Writer};
    use super::*;

    fn never() -> io::Result<bool> {
        Ok(false)
    }

    /// The writer appends and rotates just between the look at the end of the file and the look
    /// which file is the current one.
    #[test]
    fn the_end_of_a_rotated_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            max_size: 150,
            max_files: 3,
        };
        let mut writer = Writer::open(dir.path(), options).unwrap();
        writer.write(Stream::Stdout, b"one\n").unwrap();
        let mut follow = Follow::open(dir.path(), Query::default(), never).unwrap();
        let mut line = [0; 20];
        follow.read_exact(&mut line[..4]).unwrap();
        while follow.records.read(&mut line).unwrap() != Progress::End {}
        writer.write(Stream::Stdout, b"two\nthree\nfour\n").unwrap();
        assert!(follow.dir.file(1).unwrap().is_some());
        assert!(follow.go_on().unwrap());
        follow.read_exact(&mut line[..15]).unwrap();
        assert_eq!(&line[..15], b"two\nthree\nfour\n");
    }

    /// Who writes is told that there is a new file, and has a line more for the old one.
    #[test]
    fn what_comes_late_into_a_rotated_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let line = |text: &str| format!("2026-11-22T08:00:00.000000000Z stdout F {text}\n");
        let log = dir.path().join("log");
        std::fs::write(&log, line("one")).unwrap();
        let mut follow = Follow::open(dir.path(), Query::default(), never).unwrap();
        let mut read = [0; 20];
        follow.read_exact(&mut read[..4]).unwrap();
        let old = dir.path().join("log.1");
        std::fs::rename(&log, &old).unwrap();
        std::fs::write(&log, line("three")).unwrap();
        let late = line("two");
        let mut follow = follow.settle_by(move || {
            let mut old = File::options().append(true).open(&old).unwrap();
            io::Write::write_all(&mut old, late.as_bytes()).unwrap();
        });
        follow.read_exact(&mut read[..10]).unwrap();
        assert_eq!(&read[..10], b"two\nthree\n");
    }

    /// There are not many inotify instances, and some systems have none.
    #[test]
    fn it_works_without_inotify() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
        let mut follow = Follow::open(dir.path(), Query::default(), never).unwrap();
        follow.watch = Watch::blind();
        follow.patience = LONGEST_PATIENCE;
        let reading = std::thread::spawn(move || {
            follow.read_exact(&mut [0]).unwrap();
            Instant::now()
        });
        std::thread::sleep(Duration::from_millis(100));
        let before = Instant::now();
        writer.write(Stream::Stdout, b"x").unwrap();
        let took = reading.join().unwrap() - before;
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
}
