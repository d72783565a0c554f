//! Attaching to a module: FIFOs that whoever runs it writes its output to, and the bytes for its
//! stdin.
//!
//! Whoever runs the module has [`Listeners`] of a directory; each client makes an [`Attached`] in it.
//! Neither waits for the other to begin, and either may be killed.

use crate::event;
use crate::file;
use crate::hangup::{Hangup, Wake};
use crate::watch::Watch;
use rustix::fs::{inotify, FileType, Mode, OFlags};
use shellrt_api::v0::logs::Stream;
use shellrt_api::v0::Code;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The attached clients: one FIFO each in a directory.
#[derive(Debug)]
pub struct Listeners {
    dir: PathBuf,
    changes: OwnedFd,
    open: Vec<Listener>,
}

#[derive(Debug)]
struct Listener {
    path: PathBuf,
    fifo: OwnedFd,
    wanted: Wanted,
}

impl Listeners {
    /// Looks who is attached in `dir`, and who comes from now on.
    ///
    /// # Errors
    /// What the operating system refuses; the directory must exist.
    pub fn new(dir: &Path) -> Result<Listeners, file::Error> {
        let watch = || -> rustix::io::Result<OwnedFd> {
            let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
            let changes = inotify::init(flags)?;
            inotify::add_watch(&changes, dir, inotify::WatchFlags::MOVED_TO)?;
            Ok(changes)
        };
        let changes = watch().map_err(|errno| file::Error::new("watch", dir, errno))?;
        let mut listeners = Listeners {
            dir: dir.to_owned(),
            changes,
            open: Vec::new(),
        };
        listeners.look();
        Ok(listeners)
    }

    /// Hands `bytes` to everybody who wants them. A slow reader holds the module up and loses
    /// nothing; one that is gone is forgotten.
    pub fn send(&mut self, stream: Stream, bytes: &[u8]) {
        let mut events = [0; 1024];
        if rustix::io::read(&self.changes, &mut events).is_ok_and(|length| length > 0) {
            while rustix::io::read(&self.changes, &mut events).is_ok_and(|length| length > 0) {}
            self.look();
        }
        self.open.retain(|listener| {
            let gone = listener.wanted.has(stream) && write_all(&listener.fifo, bytes).is_err();
            if gone {
                let _ = fs::remove_file(&listener.path);
            }
            !gone
        });
    }

    /// Opens the FIFOs that are new. A FIFO that nobody reads was left behind by a killed client.
    fn look(&mut self) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let Some(wanted) = Wanted::of(&path) else {
                continue;
            };
            if self.open.iter().any(|listener| listener.path == path) {
                continue;
            }
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            match rustix::fs::open(&path, flags, Mode::empty()) {
                Ok(fifo) => {
                    // Writes are to wait for the reader; only the opening was not to.
                    if rustix::fs::fcntl_setfl(&fifo, OFlags::WRONLY).is_ok() {
                        self.open.push(Listener { path, fifo, wanted });
                    }
                }
                Err(_) => {
                    let _ = fs::remove_file(&path);
                }
            }
        }
    }
}

/// What a module writes from now on, until it has ended and will not be restarted; a blocking
/// [`Read`]. It also ends at the deadline, and when the reader of stdout goes away.
#[derive(Debug)]
pub struct Attached<F> {
    path: PathBuf,
    fifo: OwnedFd,
    watch: Watch,
    hangup: Hangup,
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
            match self.watch.wait(&self.hangup, fifo, self.deadline)? {
                Wake::Ready => {}
                Wake::Timeout | Wake::HungUp => return Ok(0),
            }
            // What the module wrote last is in the FIFO before its end can be seen.
            self.ended = (self.is_ended)().unwrap_or(true);
        }
    }
}

impl<F> Drop for Attached<F> {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

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

/// The input after the NUL that separates it from the request. An input that ends before is empty.
///
/// # Errors
/// [`Error::NoNul`], [`Error::Input`].
pub fn after_nul<R: Read>(mut input: R) -> Result<R, Error> {
    let mut byte = [0];
    loop {
        match input.read(&mut byte) {
            Ok(0) => return Ok(input),
            Ok(_) if byte[0] == 0 => return Ok(input),
            Ok(_) if byte[0].is_ascii_whitespace() => {}
            Ok(_) => return Err(Error::NoNul),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::Input(source)),
        }
    }
}

/// Copies `input` to the FIFO of a module's stdin until the input's end. To be called in a thread of
/// its own: it waits for the module. Until that has opened the FIFO, what was written lives only as
/// long as `fifo` does.
///
/// # Errors
/// [`Error::Input`], [`Error::Output`].
pub fn copy(mut input: impl Read, fifo: &OwnedFd) -> Result<(), Error> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(Error::Input(source)),
        };
        write_all(fifo, &buffer[..length]).map_err(|errno| Error::Output(errno.into()))?;
    }
}

fn write_all(fifo: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        let length = rustix::io::retry_on_intr(|| rustix::io::write(fifo, bytes))?;
        bytes = &bytes[length..];
    }
    Ok(())
}

/// Why a module can't be fed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something else than a NUL follows the request.
    #[error("with \"stdin\" the request must be followed by one NUL, then the input")]
    NoNul,
    /// The input can't be read.
    #[error("can't read stdin")]
    Input(#[source] io::Error),
    /// The module's stdin can't be written.
    #[error("can't write to the module")]
    Output(#[source] io::Error),
}

impl Error {
    /// The code for the wire.
    pub fn code(&self) -> Code {
        match self {
            Error::NoNul => Code::INVALID_REQUEST,
            Error::Input(source) | Error::Output(source) => crate::os::code(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::Arc;
    use std::time::Duration;

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

    #[test]
    fn the_input_begins_after_one_nul() {
        for (input, expected) in [
            (&b"\0text"[..], Some(&b"text"[..])),
            (b" \r\n\0\0text", Some(b"\0text")),
            (b"\0", Some(b"")),
            (b"", Some(b"")),
            (b"\n", Some(b"")),
            (b"text", None),
            (b"{\0", None),
        ] {
            let found = after_nul(input);
            assert_eq!(found.as_ref().ok(), expected.as_ref(), "{input:?}");
            if let Err(error) = found {
                assert_eq!(error.code(), Code::INVALID_REQUEST);
            }
        }
    }

    /// More than a pipe holds, so that the copy has to wait for its reader.
    #[test]
    fn everything_is_copied() {
        let (mut reader, writer) = io::pipe().unwrap();
        let input: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
        let mut found = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| copy(&input[..], &OwnedFd::from(writer)).unwrap());
            reader.read_to_end(&mut found).unwrap();
        });
        assert!(found == input);
    }
}
