//! The monitor of a module: the one small process that a running module has of ours. It keeps the log,
//! hands the output to who is attached, and sees the end.
//!
//! ```text
//!             run.json names the            its first process
//!             first process                 ended
//!  waiting ──────────────────────► watching ────────────────► ending ──► gone
//!     │                               │          what is left in the pipes is read, then
//!     │ who starts the module gave up │          another process writes the end down and
//!     │ or was killed; SIGTERM        │          deletes the task, which ends the streams
//!     ▼                               ▼
//!   gone                            ending
//! ```
//!
//! containerd's shim starts it for the scheme `binary://`, with the ends of two pipes; a module with
//! stdin has FIFOs instead, and we start it ourselves. In both cases it asks containerd nothing: it
//! has one thread and no connection, so that it costs next to nothing while the module runs.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use shellrt_api::v0::logs::Stream;
use shellrt_plugin::attach::Listeners;
use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::log::{Options, Writer};
use shellrt_plugin::process::{self, Identity};

use super::orders::Orders;
use super::{end, Files};
use crate::error::Error;

/// The internal mode of this program that containerd's shim starts: descriptors 3 and 4 are the
/// module's streams, 5 says that we are ready.
pub const LOGGER_MODE: &str = "logger";

/// The internal mode of this program that holds the FIFOs of a module with stdin; it writes one byte
/// to stdout when it is ready.
pub const HOLDER_MODE: &str = "holder";

/// How long the end of the streams is waited for when the first process ended: what the shim copies
/// takes a moment, and a process of the module that outlives it may never end them.
const GRACE: Duration = Duration::from_secs(2);

/// How much is read at once, in bytes.
const CHUNK: usize = 64 << 10;

/// How much a pipe takes before the module waits for us, in bytes.
const PIPE: usize = 1 << 20;

/// What a monitor is told: which run of which module.
pub fn argument(dir: &Path, number: u64) -> String {
    format!("{number}:{}", dir.display())
}

fn parse(argument: &str) -> Option<(u64, PathBuf)> {
    let (number, dir) = argument.split_once(':')?;
    Some((number.parse().ok()?, PathBuf::from(dir)))
}

/// The run of a module that `argument` names, for the other internal modes.
///
/// # Errors
/// [`Error::System`].
pub fn parsed(argument: &str) -> Result<(u64, PathBuf), Error> {
    parse(argument).ok_or_else(|| {
        let kind = std::io::ErrorKind::InvalidInput;
        Error::system("understand the argument", kind)
    })
}

/// Keeps the log of a run, with the descriptors that containerd's shim gives.
///
/// # Errors
/// What the operating system refuses.
pub fn logger(argument: &str) -> Result<(), Error> {
    let (number, dir) = parsed(argument)?;
    let open = |descriptor: u32, flags: OFlags| {
        let path = PathBuf::from(format!("/proc/self/fd/{descriptor}"));
        let opened = rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty());
        opened.map_err(|errno| Error::file("open", &path, errno.into()))
    };
    let streams = [
        open(3, OFlags::RDONLY | OFlags::NONBLOCK)?,
        open(4, OFlags::RDONLY | OFlags::NONBLOCK)?,
    ];
    let ready = open(5, OFlags::WRONLY)?;
    // The shim's own directory may be removed before we are gone.
    let _ = std::env::set_current_dir("/");
    let monitor = Monitor::new(&dir, number, streams, true)?;
    rustix::io::write(&ready, b"1")
        .map_err(|errno| Error::system("say that it is ready", errno))?;
    drop(ready);
    monitor.run()
}

/// Holds the FIFOs of a run.
///
/// # Errors
/// What the operating system refuses.
pub fn holder(argument: &str) -> Result<(), Error> {
    let (number, dir) = parsed(argument)?;
    // Whoever asked may end its process group, and that must not end this.
    let _ = rustix::process::setsid();
    let files = Files::new(&dir);
    let open = |path: PathBuf| {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let opened = rustix::fs::open(&path, flags, Mode::empty());
        opened.map_err(|errno| Error::file("open", &path, errno.into()))
    };
    let streams = [open(files.stdout())?, open(files.stderr())?];
    let monitor = Monitor::new(&dir, number, streams, false)?;
    rustix::io::write(rustix::stdio::stdout(), b"1")
        .map_err(|errno| Error::system("say that it is ready", errno))?;
    // Whoever reads our stdout must see its end.
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(null);
    }
    monitor.run()
}

struct Monitor {
    files: Files,
    number: u64,
    sources: [Source; 2],
    logged: Vec<Stream>,
    log: Writer,
    listeners: Listeners,
    /// Its ports.
    ports: Vec<OwnedFd>,
    /// One byte for each SIGTERM.
    terminated: OwnedFd,
    /// Whether the streams are pipes that only this run has, and no FIFOs.
    is_pipe: bool,
    /// Whether the module writes into our pipes itself, so that they hold all when it has ended.
    is_direct: bool,
    /// The module's first process, once it is known.
    init: Option<(Identity, Option<OwnedFd>)>,
    /// When the first process was seen to have ended.
    ended: Option<Instant>,
    /// Whether somebody writes the end down.
    told: bool,
    _lock: Lock,
}

struct Source {
    stream: Stream,
    file: OwnedFd,
    is_open: bool,
}

impl Monitor {
    fn new(
        dir: &Path,
        number: u64,
        [stdout, stderr]: [OwnedFd; 2],
        is_pipe: bool,
    ) -> Result<Self, Error> {
        let files = Files::new(dir);
        let orders: Option<Orders> = file::read_json(&files.monitor_file())?;
        let orders = orders.ok_or_else(|| {
            let kind = std::io::ErrorKind::NotFound;
            Error::file("read", &files.monitor_file(), kind.into())
        })?;
        // The monitor of the last run is about to go.
        let lock = Lock::exclusive(&files.monitor_lock(), None)?;
        let (terminated, signal) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|errno| Error::system("make a pipe", errno))?;
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, signal)
            .map_err(|source| Error::system("wait for signals", source))?;
        let options = Options {
            max_size: orders.max_size,
            max_files: orders.max_files,
        };
        let source = |stream, file: OwnedFd| {
            // Only a wish: without it the module waits for us more often.
            let _ = rustix::pipe::fcntl_setpipe_size(&file, PIPE);
            Source {
                stream,
                file,
                is_open: true,
            }
        };
        let mut sources = [
            source(Stream::Stdout, stdout),
            source(Stream::Stderr, stderr),
        ];
        // A terminal has one stream.
        sources[1].is_open = is_pipe || !orders.tty;
        Ok(Monitor {
            log: Writer::open(&files.log_dir(), options)?,
            listeners: Listeners::new(&files.attach_dir())?,
            ports: orders.ports.hold(),
            files,
            number,
            sources,
            logged: orders.streams,
            terminated,
            is_pipe,
            is_direct: is_pipe && !orders.tty,
            init: None,
            ended: None,
            told: false,
            _lock: lock,
        })
    }

    fn run(mut self) -> Result<(), Error> {
        let mut buffer = vec![0; CHUNK];
        while self.is_open() {
            if self.wait()? {
                break;
            }
            self.look();
            if self.is_reading() {
                for index in 0..self.sources.len() {
                    self.read(index, &mut buffer);
                }
            }
            if self.is_over() {
                self.drain(&mut buffer);
                self.finish();
            }
        }
        self.drain(&mut buffer);
        self.finish();
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.sources.iter().any(|source| source.is_open)
    }

    /// Sleeps until something can be read, the first process ends, or it is time to look; true where
    /// we are to go.
    fn wait(&self) -> Result<bool, Error> {
        let mut inputs = vec![PollFd::new(&self.terminated, PollFlags::IN)];
        let is_reading = self.is_reading();
        for source in &self.sources {
            if is_reading && source.is_open {
                inputs.push(PollFd::new(&source.file, PollFlags::IN));
            }
        }
        if let (Some((_, Some(process))), None) = (&self.init, self.ended) {
            inputs.push(PollFd::new(process, PollFlags::IN));
        }
        let limit = self
            .patience()
            .and_then(|time| Timespec::try_from(time).ok());
        match poll(&mut inputs, limit.as_ref()) {
            Ok(_) if !inputs[0].revents().is_empty() => {
                self.note_signal();
                Ok(true)
            }
            Ok(_) => Ok(self.init.is_none() && self.is_given_up()),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(Error::system("wait", errno)),
        }
    }

    /// A signal before the end is no request's: the machine goes down.
    fn note_signal(&self) {
        if self.init.is_some() && !self.told {
            if let Err(error) = file::write_file(&self.files.going_down_mark(), b"") {
                log::warn!("{error}");
            }
        }
    }

    /// Whether the streams are looked at. At the other ends of FIFOs there is perhaps the shim of a
    /// start that was killed, and when that goes it looks like the end of the streams.
    fn is_reading(&self) -> bool {
        self.is_pipe || self.init.is_some()
    }

    /// Whether there will be no run: whoever starts it has the task's lock until it is written down.
    fn is_given_up(&self) -> bool {
        let is_ours = self.files.attempt() == Some(self.number);
        let goes_on = is_ours && Lock::is_held(&self.files.task_lock()).unwrap_or(true);
        let run = self.files.run().ok().flatten();
        !goes_on && run.is_none_or(|run| run.number != self.number)
    }

    /// How long nothing may happen.
    fn patience(&self) -> Option<Duration> {
        match (&self.init, self.ended) {
            // The run is written down some milliseconds after we were started. What would tell of that takes
            // the kernel 15 ms to close.
            (None, _) => Some(Duration::from_millis(5)),
            (Some((_, None)), None) => Some(Duration::from_millis(100)),
            (Some((_, Some(_))), None) => None,
            (Some(_), Some(_)) if self.told => None,
            (Some(_), Some(ended)) => Some(GRACE.saturating_sub(ended.elapsed())),
        }
    }

    /// Reads once what there is.
    fn read(&mut self, index: usize, buffer: &mut [u8]) -> bool {
        let source = &mut self.sources[index];
        if !source.is_open {
            return false;
        }
        match rustix::io::retry_on_intr(|| rustix::io::read(&source.file, &mut *buffer)) {
            Ok(0) => {
                // A FIFO that nobody has opened for writing yet has nothing to read either.
                source.is_open = !is_hung_up(&source.file);
                false
            }
            Ok(length) => {
                let (stream, bytes) = (source.stream, &buffer[..length]);
                if self.logged.contains(&stream) {
                    if let Err(error) = self.log.write(stream, bytes) {
                        log::warn!("{error}");
                    }
                }
                // A full disk is no reason to keep from a client what it can have.
                self.listeners.send(stream, bytes);
                true
            }
            Err(rustix::io::Errno::AGAIN) => false,
            Err(_) => {
                source.is_open = false;
                false
            }
        }
    }

    /// Reads all that there is.
    fn drain(&mut self, buffer: &mut [u8]) {
        for index in 0..self.sources.len() {
            while self.read(index, buffer) {}
        }
    }

    /// Looks for the first process, and whether it has ended.
    fn look(&mut self) {
        if self.init.is_none() {
            let run = self.files.run().ok().flatten();
            if let Some(run) = run.filter(|run| run.number == self.number) {
                let process = run.init.watch().ok().flatten();
                self.init = Some((run.init, process));
            }
        }
        let Some((init, process)) = &self.init else {
            return;
        };
        let has_ended = match process {
            Some(process) => is_readable(process),
            None => !init.is_alive(),
        };
        if has_ended && self.ended.is_none() {
            self.ended = Some(Instant::now());
        }
    }

    /// Whether the end is to be written down now.
    fn is_over(&self) -> bool {
        match self.ended {
            Some(ended) if !self.told => {
                self.is_direct || !self.is_open() || ended.elapsed() >= GRACE
            }
            _ => false,
        }
    }

    /// Brings the log to the disk, and has the end written down by a process of its own: deleting the
    /// task waits for us to go.
    fn finish(&mut self) {
        if self.told {
            return;
        }
        self.told = true;
        // Who is started next may want them.
        self.ports.clear();
        if let Err(error) = self.log.sync() {
            log::warn!("{error}");
        }
        let run = argument(self.files.dir(), self.number);
        if let Err(error) = process::start_on_its_own(&[end::MODE, &run]) {
            // Whoever asks for the module's state next writes it down.
            log::warn!("the end can't be written down: {error}");
        }
    }
}

fn is_hung_up(file: &OwnedFd) -> bool {
    is_now(file, PollFlags::HUP)
}

fn is_readable(file: &OwnedFd) -> bool {
    is_now(file, PollFlags::IN)
}

fn is_now(file: &OwnedFd, state: PollFlags) -> bool {
    let mut inputs = [PollFd::new(file, PollFlags::IN)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut inputs, Some(&at_once)).is_ok() && inputs[0].revents().contains(state)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{argument, parse};

    #[test]
    fn a_run_is_named_in_one_argument() {
        let path = Path::new("/var/lib/a:b/web");
        assert_eq!(argument(path, 7), "7:/var/lib/a:b/web");
        assert_eq!(parse("7:/var/lib/a:b/web"), Some((7, PathBuf::from(path))));
        assert_eq!(parse("/var/lib"), None);
        assert_eq!(parse("x:/var/lib"), None);
    }
}
