//! Attaching to a module: FIFOs that whoever runs it writes its output to, and the bytes for its
//! stdin.
//!
//! Whoever runs the module has [`Listeners`] of a directory; each client makes an [`Attached`] in it.
//! Neither waits for the other to begin, and either may be killed.

mod attached;
mod input;
mod listeners;

pub use attached::Attached;
pub use input::{after_nul, copy, Error};
pub use listeners::Listeners;

use crate::file;
use rustix::fs::{FileType, Mode};
use shellrt_api::v0::logs::Stream;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Which streams a client wants. It is written in the name of its FIFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    stdout: bool,
    stderr: bool,
}

impl Wanted {
    /// From a request's `streams`; without, both.
    pub fn from_request(streams: Option<&[Stream]>) -> Wanted {
        let has = |stream| streams.is_none_or(|streams| streams.contains(&stream));
        Wanted {
            stdout: has(Stream::Stdout),
            stderr: has(Stream::Stderr),
        }
    }

    /// Whether `stream` is wanted.
    pub fn has(self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }

    /// From the name of a FIFO; `None` for one that is not ready yet.
    fn of(path: &Path) -> Option<Wanted> {
        let (stdout, stderr) = match path.extension()?.to_str()? {
            "both" => (true, true),
            "stdout" => (true, false),
            "stderr" => (false, true),
            "none" => (false, false),
            _ => return None,
        };
        Some(Wanted { stdout, stderr })
    }

    fn extension(self) -> &'static str {
        match (self.stdout, self.stderr) {
            (true, true) => "both",
            (true, false) => "stdout",
            (false, true) => "stderr",
            (false, false) => "none",
        }
    }
}

/// Makes a FIFO that only this user can use.
///
/// # Errors
/// What the operating system refuses.
pub fn make_fifo(path: &Path) -> Result<(), file::Error> {
    let mode = Mode::from_raw_mode(0o600);
    let made = rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, mode, 0);
    made.map_err(|errno| file::Error::new("make", path, errno))
}

fn write_all(fifo: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        let length = rustix::io::retry_on_intr(|| rustix::io::write(fifo, bytes))?;
        bytes = &bytes[length..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hangup::Hangup;
    use rustix::fs::OFlags;
    use std::fs;
    use std::io::Read;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    const BOTH: Wanted = Wanted {
        stdout: true,
        stderr: true,
    };

    /// A client of `dir`, whose stdout has a reader whatever the test's own one is; and the module's
    /// end.
    fn attach(dir: &Path, wanted: Wanted) -> (impl Read, Arc<AtomicBool>) {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let soon = Some(Instant::now() + Duration::from_secs(60));
        let is_ended = move || Ok(seen.load(Ordering::SeqCst));
        let mut attached = Attached::new(dir, dir, wanted, soon, is_ended).unwrap();
        // A file has no reader that goes away.
        attached.hangup = Hangup::of(tempfile::tempfile().unwrap().into());
        (attached, ended)
    }

    fn count(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn clients_hear_what_they_want_from_when_they_came() {
        let dir = tempfile::tempdir().unwrap();
        let (mut early, ended) = attach(dir.path(), BOTH);
        let mut listeners = Listeners::new(dir.path()).unwrap();
        listeners.send(Stream::Stdout, b"one ");
        let wanted = Wanted::from_request(Some(&[Stream::Stderr]));
        let (mut late, late_ended) = attach(dir.path(), wanted);
        listeners.send(Stream::Stderr, b"two ");
        listeners.send(Stream::Stdout, b"three");
        ended.store(true, Ordering::SeqCst);
        late_ended.store(true, Ordering::SeqCst);
        let mut text = String::new();
        early.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two three");
        text.clear();
        late.read_to_string(&mut text).unwrap();
        assert_eq!(text, "two ");
        drop((early, late));
        assert_eq!(count(dir.path()), 0);
    }

    #[test]
    fn the_end_of_a_run_is_not_the_end_of_the_stream() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let mut words = vec![&b" second"[..], b" third"].into_iter();
        // Each run ends before anybody reads what it wrote.
        let run = move |word| Listeners::new(&path).unwrap().send(Stream::Stdout, word);
        let next_run = run.clone();
        let soon = Some(Instant::now() + Duration::from_secs(60));
        let is_ended = move || Ok(words.next().map(&next_run).is_none());
        let attached = Attached::new(dir.path(), dir.path(), BOTH, soon, is_ended);
        let mut attached = attached.unwrap();
        attached.hangup = Hangup::of(tempfile::tempfile().unwrap().into());
        run(b"first");
        let mut text = String::new();
        attached.read_to_string(&mut text).unwrap();
        assert_eq!(text, "first second third");
    }

    #[test]
    fn a_killed_client_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("1.both");
        make_fifo(&fifo).unwrap();
        let mut listeners = Listeners::new(dir.path()).unwrap();
        assert!(!fifo.exists());
        // One that goes after it was found.
        make_fifo(&dir.path().join("2")).unwrap();
        fs::rename(dir.path().join("2"), &fifo).unwrap();
        let reader = rustix::fs::open(&fifo, OFlags::RDWR, Mode::empty()).unwrap();
        listeners.send(Stream::Stdout, b"text");
        assert!(fifo.exists());
        drop(reader);
        listeners.send(Stream::Stdout, b"text");
        assert!(!fifo.exists());
    }

    #[test]
    fn the_deadline_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let past = Some(Instant::now());
        let mut attached = Attached::new(dir.path(), dir.path(), BOTH, past, || Ok(false)).unwrap();
        attached.hangup = Hangup::of(tempfile::tempfile().unwrap().into());
        assert_eq!(attached.read(&mut [0; 6]).unwrap(), 0);
    }
}
