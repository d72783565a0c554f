//! Starting a module: its own process first, then its task.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use containerd_client::services::v1 as api;
use containerd_client::services::v1::snapshots::MountsRequest;
use containerd_client::types::Mount;
use shellrt_api::v0::events::Kind;
use shellrt_plugin::boot;
use shellrt_plugin::event::{self, Events};
use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::process::Identity;

use super::orders::Orders;
use super::record::{Again, Ended, Run};
use super::state::Now;
use super::task::{self, Phase};
use super::{bundle, create, etc, monitor, Files, Module};
use crate::cgroup;
use crate::error::Error;
use crate::network;

/// Starts `module` because somebody asks for it; one that runs stays as it is. The caller holds the
/// module's lock. To be called in a process that nobody kills: see [`super::aside`].
///
/// # Errors
/// Why it can't be started, in the runtime's own words; then it is as it was before.
pub fn start(module: &Module) -> Result<(), Error> {
    let files = &module.files;
    if let Now::Running(_) = module.now()? {
        return Ok(());
    }
    let stopped_in = files.stopped_in();
    file::remove(&files.stop_mark())?;
    let started = start_again(module, Again::default());
    if let (Err(_), Some(boot)) = (&started, stopped_in) {
        file::write_file(&files.stop_mark(), boot.as_bytes())?;
    }
    started
}

/// Starts `module`, which does not run, with so many restarts behind it; the rest is as with [`start`].
///
/// # Errors
/// As [`start`].
pub fn start_again(module: &Module, again: Again) -> Result<(), Error> {
    create::make_dirs(&module.files, &module.definition.config)?;
    // Whoever deletes the last task has this, and a delete that goes on would take away from the new
    // task what has the same name.
    let _task = Lock::exclusive(&module.files.task_lock(), module.containerd.deadline())?;
    // An end is written by now, so nothing is lost with the task.
    clear(module)?;
    etc::write(&module.files, &module.definition)?;
    network::join(module)?;
    file::remove(&module.files.stdin_closed_mark())?;
    file::remove(&module.files.going_down_mark())?;
    file::note_json(&module.files.monitor_file(), &Orders::of(module))?;
    let before = (module.files.run()?, module.files.end()?);
    let mut started = begin(module, &again);
    if let Some(error) = started
        .as_ref()
        .err()
        .filter(|error| bundle::is_left(error))
    {
        // The runtime has something under this name that containerd does not know, because the state
        // directory was lost and the runtime's was not; or containerd itself has; or its shim was going.
        started = bundle::clear(module, error).and_then(|()| begin(module, &again));
    }
    if started.is_err() {
        undo(module, before);
    }
    started?;
    Events::new(module.store.root()).record(module.name.as_str(), Kind::Started, None);
    Ok(())
}

/// Goes once through a start. Even where nothing comes of it, its number is not used again, because
/// its monitor may still be there.
fn begin(module: &Module, again: &Again) -> Result<(), Error> {
    let number = next_number(&module.files)?;
    module.files.write_attempt(number)?;
    let streams = match module.definition.config.stdin {
        true => hold(module, number)?,
        false => log_to(module, number)?,
    };
    run(module, number, streams, again)
}

/// The number of the next run.
///
/// # Errors
/// What the operating system refuses.
pub fn next_number(files: &Files) -> Result<u64, Error> {
    let known = [
        files.run()?.map(|run| run.number),
        files.end()?.map(|end| end.number),
        files.attempt(),
    ];
    Ok(known.into_iter().flatten().max().unwrap_or_default() + 1)
}

/// Where the streams of a task lead.
struct Streams {
    stdin: String,
    stdout: String,
    stderr: String,
}

/// Makes the task, writes the run down, and lets the program begin.
fn run(module: &Module, number: u64, streams: Streams, again: &Again) -> Result<(), Error> {
    let containerd = &module.containerd;
    let id = module.name.to_string();
    let request = api::CreateTaskRequest {
        container_id: id.clone(),
        rootfs: rootfs(module)?,
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
        terminal: module.definition.config.tty,
        ..Default::default()
    };
    let created = containerd.call("create the task", containerd.tasks().create(request))?;
    let pid = created.pid;
    let boot = boot::id()?;
    let run = Run {
        number,
        started_at: event::now(),
        boot,
        init: Identity::of(pid)
            .map_err(|source| Error::system("read the program's start time", source))?,
        cgroup: cgroup::memory_dir(pid),
        address: containerd.address().to_owned(),
        restart: module.definition.config.restart,
        again: again.clone(),
    };
    {
        let _lock = Lock::exclusive(&module.files.run_lock(), containerd.deadline())?;
        file::place_json(&module.files.run_file(), &run)?;
    }
    let request = api::StartRequest {
        container_id: id,
        ..Default::default()
    };
    module.files.sync_during(|| {
        containerd.call("start the task", containerd.tasks().start(request))?;
        Ok(())
    })?;
    if let Err(error) = module.files.write_begun(number) {
        // It runs; whoever asks how it is asks containerd then.
        log::warn!("{error}");
    }
    Ok(())
}

/// The mounts of its root file system.
fn rootfs(module: &Module) -> Result<Vec<Mount>, Error> {
    let containerd = &module.containerd;
    let request = MountsRequest {
        snapshotter: module.snapshotter.clone(),
        key: module.snapshot.clone(),
    };
    let answer = containerd.call(
        "find the module's snapshot",
        containerd.snapshots().mounts(request),
    )?;
    Ok(answer.mounts)
}

/// Deletes what is left of the last run's task.
fn clear(module: &Module) -> Result<(), Error> {
    let name = module.name.as_str();
    if module.task()?.map(|task| task.phase) == Some(Phase::Created) {
        // Somebody who started it was killed before it ran.
        let signal = rustix::process::Signal::KILL.as_raw();
        task::kill(&module.containerd, name, signal, true)?;
        task::wait(&module.containerd, name)?;
    }
    // Even where containerd says that there is none: of a task that was never made whole it may keep a
    // shim, and makes no other one then.
    task::delete(&module.containerd, name)
}

/// After a start that failed the module is as it was.
fn undo(module: &Module, (run, end): (Option<Run>, Option<Ended>)) {
    let patient = Module {
        containerd: module.containerd.to_undo(),
        ..module.clone()
    };
    let restored = || -> Result<(), Error> {
        let files = &module.files;
        let _lock = Lock::exclusive(&files.run_lock(), None)?;
        match run {
            Some(run) => file::write_json(&files.run_file(), &run)?,
            None => file::remove(&files.run_file())?,
        }
        // A run that never began has no end either.
        match end {
            Some(end) => file::write_json(&files.end_file(), &end)?,
            None => file::remove(&files.end_file())?,
        }
        Ok(())
    };
    // With its files as they were, the next start finds what containerd still has.
    let cleared = clear(&patient);
    network::leave(&patient.containerd, &module.store, module.name.as_str());
    if let Err(error) = cleared.and(restored()) {
        log::warn!("what is left of the start of {}: {error}", module.name);
    }
}

/// containerd's shim starts this program to keep the log, with pipes from the module.
fn log_to(module: &Module, number: u64) -> Result<Streams, Error> {
    let program = std::env::current_exe()
        .map_err(|source| Error::system("find the path of this program", source))?;
    let uri = format!(
        "binary://{}?{}={}",
        escaped(&program.to_string_lossy()),
        monitor::LOGGER_MODE,
        escaped(&monitor::argument(module.files.dir(), number)),
    );
    Ok(Streams {
        stdin: String::new(),
        stdout: uri.clone(),
        stderr: uri,
    })
}

/// Starts a copy of this program that holds the FIFOs of a module with stdin: the scheme that starts
/// one for us has none.
fn hold(module: &Module, number: u64) -> Result<Streams, Error> {
    let files = &module.files;
    let mut holder = Command::new("/proc/self/exe");
    holder
        .arg0(format!("shellrt {}", module.name))
        .arg(monitor::HOLDER_MODE)
        .arg(monitor::argument(files.dir(), number))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut holder = holder
        .spawn()
        .map_err(|source| Error::system("start a process", source))?;
    let mut ready = [0];
    let said = holder
        .stdout
        .take()
        .map(|mut stdout| stdout.read(&mut ready));
    if !matches!(said, Some(Ok(1))) {
        return Err(Error::MonitorDied(module.name.to_string()));
    }
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    Ok(Streams {
        stdin: text(files.stdin()),
        stdout: text(files.stdout()),
        // A terminal has one stream.
        stderr: match module.definition.config.tty {
            true => String::new(),
            false => text(files.stderr()),
        },
    })
}

/// `text` with everything escaped that means something in a URI.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for &byte in text.as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_path_stays_one_in_a_uri() {
        assert_eq!(escaped("/var/lib/shellrt"), "/var/lib/shellrt");
        assert_eq!(escaped("/a b/ü?x=1&y#%"), "/a%20b/%C3%BC%3Fx%3D1%26y%23%25");
        assert_eq!(escaped("7:/a"), "7%3A/a");
    }
}
