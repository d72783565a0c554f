//! Starting a module: forks its monitor and waits until that says that the engine is ready, or why
//! not.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use rustix::pipe::{pipe_with, PipeFlags};
use rustix::process::{kill_process, Pid, Signal};
use shellrt_api::v0;
use shellrt_plugin::file;
use shellrt_plugin::hangup::{Hangup, Wake};
use shellrt_plugin::lock::Lock;

use super::{monitor, Module, Now};
use crate::error::Error;
use crate::process::{self, Fork};
use crate::store::Store;

/// Starts `module`; one that runs stays as it is, one that waits for its restart waits no longer.
/// `restart_count` is how many restarts it then has behind it. The caller holds the module's lock, and
/// has no threads.
///
/// # Errors
/// Why it can't be started, from the engine; then it is as it was before.
pub fn start(
    store: &Store,
    module: &Module,
    restart_count: u32,
    deadline: Option<Instant>,
) -> Result<(), Error> {
    match module.now()? {
        Now::Running(_) => return Ok(()),
        // It waits to be started again, and waits no longer.
        Now::Restarting(run, _) => {
            let told = run.monitor.signal(monitor::HURRY);
            return told.map_err(|source| Error::system("signal the monitor", source));
        }
        Now::Created | Now::Exited(..) => {}
    }
    // The last monitor has written the end and may not be gone yet.
    let lock = Lock::exclusive(&module.lock(), deadline)?;
    let stopped_in = module.stopped_in();
    file::remove(&module.stop_mark())?;
    let started = fork_monitor(store, module, lock, restart_count, deadline);
    if let (Err(_), Some(boot)) = (&started, stopped_in) {
        file::write_file(&module.stop_mark(), boot.as_bytes())?;
    }
    started
}

fn fork_monitor(
    store: &Store,
    module: &Module,
    lock: Lock,
    restart_count: u32,
    deadline: Option<Instant>,
) -> Result<(), Error> {
    let (answer, starter) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Error::system("make a pipe", errno))?;
    let lock = lock.into_fd();
    let monitor = match process::fork()
        .map_err(|source| Error::system("start a process", source))?
    {
        Fork::Child => {
            let name = format!("shellrt {}", module.name);
            let keep = [lock.as_raw_fd(), starter.as_raw_fd()];
            match process::detach(&name, &keep) {
                Ok(()) => monitor::run(store, module, lock, starter, restart_count),
                Err(source) => monitor::refuse(&starter, Error::system("detach a process", source)),
            }
        }
        Fork::Parent(monitor) => monitor,
    };
    // The child has copies of both; the lock is held as long as one of the two is open.
    drop(starter);
    drop(lock);
    read_answer(module, monitor, answer, deadline)
}

/// Reads what the monitor says: `ok`, an error, or nothing where it died.
fn read_answer(
    module: &Module,
    monitor: Pid,
    answer: OwnedFd,
    deadline: Option<Instant>,
) -> Result<(), Error> {
    let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let wake = Hangup::stdout().wait(&[answer.as_fd()], rest);
    match wake.map_err(|source| Error::system("wait", source))? {
        // When nobody listens any more the start goes on: whoever repeats the request finds the
        // module running.
        Wake::Ready | Wake::HungUp => {}
        Wake::Timeout => {
            // The engine dies with its monitor, and nothing was written down yet.
            let _ = kill_process(monitor, Signal::KILL);
            return Err(Error::Timeout(format!(
                "module {:?} was not ready in time; nothing was started",
                module.name.as_str()
            )));
        }
    }
    let mut text = Vec::new();
    File::from(answer)
        .read_to_end(&mut text)
        .map_err(|source| Error::system("read from the monitor", source))?;
    if text == monitor::OK {
        return Ok(());
    }
    match serde_json::from_slice::<v0::Error>(&text) {
        Ok(error) => Err(Error::Wire(error)),
        Err(_) => Err(Error::MonitorDied(module.name.to_string())),
    }
}
