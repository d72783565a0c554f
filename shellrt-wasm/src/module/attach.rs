//! The client's side of `attach`: a FIFO that the module's engine writes to, and the module's stdin.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use shellrt_api::v0::logs::Stream;
use shellrt_plugin::hangup::{Hangup, Wake};
use shellrt_plugin::watch::Watch;

use super::{make_fifo, Module, Now, State};
use crate::error::Error;

/// Which streams a client wants. It is written in the name of its FIFO: `<pid>.<streams>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    stdout: bool,
    stderr: bool,
}

impl Wanted {
    /// From a request's `streams`; without, both.
    pub fn from_request(streams: Option<&[Stream]>) -> Self {
        let has = |stream| streams.is_none_or(|streams| streams.contains(&stream));
        Wanted {
            stdout: has(Stream::Stdout),
            stderr: has(Stream::Stderr),
        }
    }

    /// From the name of a FIFO; `None` for one that is not ready yet.
    pub fn of(path: &Path) -> Option<Self> {
        let (stdout, stderr) = match path.extension()?.to_str()? {
            "both" => (true, true),
            "stdout" => (true, false),
            "stderr" => (false, true),
            "none" => (false, false),
            _ => return None,
        };
        Some(Wanted { stdout, stderr })
    }

    /// Whether `stream` is wanted.
    pub fn has(self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
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

/// What a module writes from now on, until it has ended and will not be restarted.
pub struct Attached {
    module: Module,
    path: PathBuf,
    fifo: OwnedFd,
    watch: Watch,
    hangup: Hangup,
    deadline: Option<Instant>,
    ended: bool,
}

impl Attached {
    /// Attaches to `module`, which runs or was never started. From here on nothing is missed.
    pub fn new(module: Module, wanted: Wanted, deadline: Option<Instant>) -> Result<Self, Error> {
        let dir = module.attach_dir();
        let draft = dir.join(std::process::id().to_string());
        let path = draft.with_extension(wanted.extension());
        make_fifo(&draft)?;
        let open = || -> rustix::io::Result<OwnedFd> {
            // With both ends open here, the end of one run is not the end of the stream.
            let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let fifo = rustix::fs::open(&draft, flags, Mode::empty())?;
            // The engine finds it when somebody reads it, not before.
            rustix::fs::rename(&draft, &path)?;
            Ok(fifo)
        };
        let fifo = open().map_err(|errno| {
            let _ = fs::remove_file(&draft);
            Error::file("open", &path, errno.into())
        })?;
        let watch = module.watch()?;
        let hangup = Hangup::stdout();
        Ok(Attached {
            module,
            path,
            fifo,
            watch,
            hangup,
            deadline,
            ended: false,
        })
    }
}

impl Read for Attached {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(&self.fifo, &mut *buffer) {
                Err(rustix::io::Errno::AGAIN) if self.ended => return Ok(0),
                Err(rustix::io::Errno::AGAIN) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
                Ok(length) => return Ok(length),
            }
            match self
                .watch
                .wait(&self.hangup, Some(self.fifo.as_fd()), self.deadline)
            {
                Ok(Wake::Ready) => {}
                Ok(Wake::Timeout | Wake::HungUp) => return Ok(0),
                Err(error) => return Err(error),
            }
            // What the program wrote last is in the FIFO before its end is written down.
            self.ended = match self.module.now() {
                Ok(now) => now.state() == State::Exited || !self.module.dir().exists(),
                Err(_) => true,
            };
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Module {
    /// Opens the FIFO of its stdin.
    pub(super) fn open_stdin(&self, access: OFlags) -> Result<OwnedFd, Error> {
        let path = self.stdin_fifo();
        let opened = rustix::fs::open(&path, access | OFlags::CLOEXEC, Mode::empty());
        opened.map_err(|errno| Error::file("open", &path, errno.into()))
    }

    /// Whether an attach closed its stdin for the rest of this run.
    pub fn is_stdin_closed(&self) -> bool {
        self.stdin_closed_mark().exists()
    }
}

/// Copies `input` to the module's stdin until its end; then, with `close`, closes that for the rest
/// of the run. To be called in a thread of its own: it waits for the module.
pub fn feed(module: &Module, mut input: impl Read, close: bool) -> Result<(), Error> {
    // Open for reading too, so that opening does not wait for a module that is not started yet.
    let stdin = module.open_stdin(OFlags::RDWR)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(Error::system("read stdin", source)),
        };
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            let written = rustix::io::retry_on_intr(|| rustix::io::write(&stdin, rest));
            let written = written.map_err(|errno| Error::system("write to the module", errno))?;
            rest = &rest[written..];
        }
    }
    // Until the module has opened its end, what was written lives only as long as this end does.
    loop {
        match module.now()? {
            Now::Created => std::thread::sleep(Duration::from_millis(20)),
            Now::Running(run) => {
                if close {
                    let told = run.monitor.signal(Signal::USR1);
                    told.map_err(|source| Error::system("signal the monitor", source))?;
                }
                return Ok(());
            }
            Now::Restarting(..) => std::thread::sleep(Duration::from_millis(20)),
            Now::Exited(..) => return Ok(()),
        }
    }
}
