//! The client's side of `attach`: what the module writes from now on, and its stdin.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use shellrt_plugin::attach::{copy, Attached, Wanted};

use super::{Module, Now, State};
use crate::error::Error;

/// Attaches to `module`, which runs or was never started. From here on nothing is missed, until it has
/// ended and will not be restarted.
///
/// # Errors
/// [`Error::ModuleNotFound`] where it was removed meanwhile.
pub fn attach(
    module: Module,
    wanted: Wanted,
    deadline: Option<Instant>,
) -> Result<impl Read, Error> {
    let (dir, watched) = (module.attach_dir(), module.dir().to_owned());
    let this = module.clone();
    let is_ended = move || Ok(module.is_ended()? || !module.dir().exists());
    Attached::new(&dir, &watched, wanted, deadline, is_ended).map_err(|error| this.gone(error))
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

    /// Whether it has ended and will not be restarted.
    pub fn is_ended(&self) -> io::Result<bool> {
        let now = self.now().map_err(io::Error::other)?;
        Ok(now.state() == State::Exited)
    }
}

/// Copies `input` to the module's stdin until its end; then, with `close`, closes that for the rest
/// of the run. To be called in a thread of its own: it waits for the module.
pub fn feed(module: &Module, input: impl Read, close: bool) -> Result<(), Error> {
    // Open for reading too, so that opening does not wait for a module that is not started yet.
    let stdin = module.open_stdin(OFlags::RDWR)?;
    copy(input, &stdin)?;
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
