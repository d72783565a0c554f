//! What happened to modules and images: JSON lines in a file of the state directory, for `events`.

use crate::file;
use crate::hangup::{Hangup, Wake};
use crate::watch::Watch;
use shellrt_api::v0::events::{Event, Kind};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How large the file of events may become before the one before it is given up, in bytes: some
/// ten thousand events.
const MAX_SIZE: u64 = 1 << 20;

/// The events of one state directory, in the file `events` and the one before it, `events.1`.
#[derive(Debug, Clone)]
pub struct Events {
    dir: PathBuf,
}

impl Events {
    /// The events of `dir`, which exists; nothing is opened yet.
    pub fn new(dir: &Path) -> Events {
        Events {
            dir: dir.to_owned(),
        }
    }

    /// Records an event. A full disk must not keep a module from ending, so a failure is only logged.
    pub fn record(&self, name: &str, event: Kind, exit_code: Option<i64>) {
        let event = Event {
            time: now(),
            name: name.to_owned(),
            event,
            exit_code,
        };
        if let Err(error) = self.append(&event) {
            log::warn!("can't record an event of {name:?}: {error}");
        }
    }

    /// What happened at `since` (seconds since the epoch) or later, as JSON lines; without, everything
    /// that is still known, or with `follow` only what comes. With `follow` it goes on until
    /// `deadline`, or until the reader of stdout goes away.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn stream(
        &self,
        since: Option<i64>,
        follow: bool,
        deadline: Option<Instant>,
    ) -> Result<Stream, file::Error> {
        self.stream_for(Hangup::stdout(), since, follow, deadline)
    }

    fn stream_for(
        &self,
        hangup: Hangup,
        since: Option<i64>,
        follow: bool,
        deadline: Option<Instant>,
    ) -> Result<Stream, file::Error> {
        let since = match since {
            Some(since) => since.saturating_mul(1_000_000_000),
            None if follow => now(),
            None => i64::MIN,
        };
        let watch = match follow {
            true => Some(Watch::new(&self.dir)?),
            false => None,
        };
        let mut files = VecDeque::new();
        for path in self.files() {
            match File::open(&path) {
                Ok(file) => files.push_back(BufReader::new(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(file::Error::new("read", &path, source)),
            }
        }
        Ok(Stream {
            current: self.current(),
            since,
            watch,
            hangup,
            deadline,
            files,
            line: Vec::new(),
            ready: VecDeque::new(),
        })
    }

    /// The files, oldest first; either may not be there.
    pub fn files(&self) -> [PathBuf; 2] {
        [self.before(), self.current()]
    }

    fn current(&self) -> PathBuf {
        self.dir.join("events")
    }

    fn before(&self) -> PathBuf {
        self.dir.join("events.1")
    }

    fn append(&self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let path = self.current();
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)?;
        // One write: lines of several processes don't mix.
        file.write_all(&line)?;
        if file.metadata()?.len() > MAX_SIZE {
            // Two processes may both come here; the second one moves a nearly empty file, and that
            // loses old events only.
            fs::rename(&path, self.before())?;
        }
        Ok(())
    }
}

/// The time, in nanoseconds since the epoch.
pub fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Events as JSON lines; see [`Events::stream`].
#[derive(Debug)]
pub struct Stream {
    /// The file that grows.
    current: PathBuf,
    /// Only what happened at this time or later, in nanoseconds since the epoch.
    since: i64,
    /// Absent where nothing is followed.
    watch: Option<Watch>,
    hangup: Hangup,
    deadline: Option<Instant>,
    /// What is still to be read; the last one may grow.
    files: VecDeque<BufReader<File>>,
    /// A line that is not complete yet.
    line: Vec<u8>,
    /// What is still to be handed out.
    ready: VecDeque<u8>,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.ready.is_empty() {
                return self.ready.read(buffer);
            }
            if self.next_line()? {
                continue;
            }
            let Some(watch) = &self.watch else {
                return Ok(0);
            };
            match watch.wait(&self.hangup, None, self.deadline)? {
                Wake::Ready => self.open_newer()?,
                Wake::Timeout | Wake::HungUp => return Ok(0),
            }
        }
    }
}

impl Stream {
    /// Reads one line, if there is a whole one; a damaged one is skipped.
    fn next_line(&mut self) -> io::Result<bool> {
        while let Some(file) = self.files.front_mut() {
            file.read_until(b'\n', &mut self.line)?;
            if self.line.ends_with(b"\n") {
                let event = serde_json::from_slice::<Event>(&self.line);
                if event.is_ok_and(|event| event.time >= self.since) {
                    self.ready.extend(&self.line);
                }
                self.line.clear();
                return Ok(true);
            }
            if self.files.len() == 1 {
                return Ok(false);
            }
            self.line.clear();
            self.files.pop_front();
        }
        Ok(false)
    }

    /// Opens the current file, if it is another one than the one read last.
    fn open_newer(&mut self) -> io::Result<()> {
        let file = match File::open(&self.current) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let is_known = match self.files.back() {
            Some(last) => last.get_ref().metadata()?.ino() == file.metadata()?.ino(),
            None => false,
        };
        if !is_known {
            self.files.push_back(BufReader::new(file));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A line as SPEC.md has it.
    fn line(seconds: i64, name: &str) -> String {
        format!(r#"{{"time":{seconds}000000000,"name":"{name}","event":"created"}}"#) + "\n"
    }

    fn all(events: &Events, since: Option<i64>) -> String {
        let mut text = String::new();
        let mut stream = events.stream(since, false, None).unwrap();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_is_recorded_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let events = Events::new(dir.path());
        assert_eq!(all(&events, None), "");
        let before = now();
        events.record("web", Kind::Exited, Some(137));
        let event: Event = serde_json::from_str(&all(&events, None)).unwrap();
        assert!((before..=now()).contains(&event.time));
        let expected = Event {
            time: event.time,
            name: "web".to_owned(),
            event: Kind::Exited,
            exit_code: Some(137),
        };
        assert_eq!(event, expected);
    }

    #[test]
    fn both_files_are_read_since_a_moment_and_damaged_lines_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let events = Events::new(dir.path());
        let [before, current] = events.files();
        fs::write(&before, line(1, "a") + &line(2, "b")).unwrap();
        // The last line was cut off by a power loss, and is not whole yet.
        let text = "{\"time\":\n".to_owned() + &line(3, "c") + "{\"time\":4";
        fs::write(&current, text).unwrap();
        let (a, b, c) = (line(1, "a"), line(2, "b"), line(3, "c"));
        assert_eq!(all(&events, None), format!("{a}{b}{c}"));
        assert_eq!(all(&events, Some(2)), format!("{b}{c}"));
        assert_eq!(all(&events, Some(4)), "");
    }

    #[test]
    fn a_full_file_becomes_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let events = Events::new(dir.path());
        let [before, current] = events.files();
        let mut old = line(1, "a").repeat(30_000);
        assert!(old.len() as u64 > MAX_SIZE);
        fs::write(&current, &old).unwrap();
        events.record("b", Kind::Created, None);
        assert!(!current.exists());
        let moved = fs::read_to_string(&before).unwrap();
        old.push_str(&moved[old.len()..]);
        assert_eq!(moved, old);
        assert_eq!(moved.lines().count(), 30_001);
        events.record("c", Kind::Created, None);
        assert_eq!(all(&events, None).lines().count(), 30_002);
    }

    #[test]
    fn following_goes_on_with_what_comes_in_either_file() {
        let dir = tempfile::tempdir().unwrap();
        let events = Events::new(dir.path());
        let [before, current] = events.files();
        fs::write(&current, line(1, "old")).unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let soon = Some(Instant::now() + Duration::from_secs(60));
        let stream = events.stream_for(Hangup::of(writer.into()), None, true, soon);
        let mut lines = BufReader::new(stream.unwrap()).lines();
        let mut next = || {
            let event: Event = serde_json::from_str(&lines.next()?.unwrap()).unwrap();
            Some(event.name)
        };
        events.record("first", Kind::Created, None);
        assert_eq!(next().unwrap(), "first");
        events.record("second", Kind::Created, None);
        fs::rename(&current, &before).unwrap();
        events.record("third", Kind::Created, None);
        assert_eq!(next().unwrap(), "second");
        assert_eq!(next().unwrap(), "third");
        // It ends when nobody listens.
        drop(reader);
        assert_eq!(next(), None);
    }
}
