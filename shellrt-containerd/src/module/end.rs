//! How a run ended, and who writes it down: the module's own process tells a short-lived one, and
//! whoever finds an end that nobody wrote does it instead.

use std::path::Path;
use std::time::Duration;

use shellrt_api::v0::events::Kind;
use shellrt_api::v0::status::End;
use shellrt_plugin::boot;
use shellrt_plugin::event;
use shellrt_plugin::event::Events;
use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::process;
use shellrt_plugin::restart::is_restarted;

use super::record::{Ended, Run};
use super::task::{self, Phase};
use super::{restart, Files};
use crate::cgroup;
use crate::containerd::{Containerd, Place};
use crate::error::Error;
use crate::network;
use crate::store::Store;

/// The internal mode of this program that records the end of a run, deletes its task, and starts the
/// module again where its policy says so.
pub const MODE: &str = "end";

/// How long until containerd is asked again that did not answer.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Waits for the end of the run `number` of the module in `dir`, writes it down, deletes the task, and
/// starts the module again where that is to be. containerd may be down meanwhile: the module and its shim
/// don't need it, and the end is not lost.
///
/// # Errors
/// What the operating system refuses.
pub fn record(dir: &Path, number: u64) -> Result<(), Error> {
    // Whoever stops the module's process group must not stop this.
    let _ = rustix::process::setsid();
    let files = Files::new(dir);
    let Some(run) = files.run()?.filter(|run| run.number == number) else {
        return Ok(());
    };
    let Some((store, name, namespace)) = Store::of_module(dir) else {
        return Ok(());
    };
    let place = Place {
        address: run.address.clone(),
        namespace,
    };
    // Before the end is written: whoever sees that knows that somebody sees to what follows.
    let _restart = Lock::exclusive(&files.restart_lock(), None)?;
    loop {
        let asked = Containerd::connect(place.clone(), None)
            .and_then(|containerd| finish(&containerd, &store, &files, &name, &run));
        match asked {
            Err(error) if error.is_away() || error.is_refusal(tonic::Code::Unknown) => {}
            other => {
                return other.and(restart::follow(dir, number));
            }
        }
        std::thread::sleep(ASK_AGAIN);
        // Nobody will ask for the end of a module that is gone.
        if !dir.exists() {
            return Ok(());
        }
    }
}

fn finish(
    containerd: &Containerd,
    store: &Store,
    files: &Files,
    name: &str,
    run: &Run,
) -> Result<(), Error> {
    let end = match task::get(containerd, name)? {
        // Somebody else has the name by now.
        Some(task) if task.pid != run.init.pid && task.phase != Phase::Stopped => return Ok(()),
        Some(task) if task.phase == Phase::Stopped => {
            of_task(run, task.exit_code, task.finished_at)
        }
        Some(_) => match task::wait(containerd, name)? {
            Some((code, finished_at)) => of_task(run, code, finished_at),
            None => lost(run)?,
        },
        None => lost(run)?,
    };
    // From the end on the module may be started again, and that waits for this.
    let _task = Lock::exclusive(&files.task_lock(), None)?;
    if files.run()?.as_ref() != Some(run) {
        return Ok(());
    }
    // Whoever sees the end may count on the module's ports.
    network::leave(containerd, store, name);
    place(store, files, name, end)?;
    files.sync_during(|| task::delete(containerd, name))
}

/// Writes an end down and tells it, unless somebody did already; answers what is written.
///
/// # Errors
/// What the operating system refuses.
pub fn write(store: &Store, files: &Files, name: &str, end: Ended) -> Result<Ended, Error> {
    let end = place(store, files, name, end)?;
    files.sync()?;
    Ok(end)
}

/// As [`write`], and the directory is still to be brought to the disk.
fn place(store: &Store, files: &Files, name: &str, end: Ended) -> Result<Ended, Error> {
    let _lock = Lock::exclusive(&files.run_lock(), None)?;
    if let Some(known) = files.end()?.filter(|known| known.number >= end.number) {
        return Ok(known);
    }
    if files.run()?.is_none_or(|run| run.number != end.number) {
        return Ok(end);
    }
    let end = Ended {
        by_machine: end.by_machine || files.going_down_mark().exists(),
        ..end
    };
    file::place_json(&files.end_file(), &end)?;
    Events::new(store.root()).record(name, Kind::Exited, Some(end.exit_code));
    Ok(end)
}

/// The end of `run`, as containerd tells it. A program can't be told from a shell that repeats the
/// code of its child: 128 and a signal's number is taken for the signal, as everywhere.
pub fn of_task(run: &Run, code: u32, finished_at: i64) -> Ended {
    let kills = run.cgroup.as_deref().map_or(0, cgroup::memory_kills);
    let (end, description) = of_code(code, kills > 0);
    Ended {
        number: run.number,
        end,
        exit_code: i64::from(code),
        finished_at,
        description,
        is_final: !is_restarted(run.restart, i64::from(code), run.again.count),
        by_machine: false,
    }
}

/// How a program ended, from what its runtime says that it ended with, and whether something of it was
/// killed at its memory limit.
pub fn of_code(code: u32, at_limit: bool) -> (End, String) {
    let signal = code
        .checked_sub(128)
        .filter(|signal| (1..=64).contains(signal));
    match signal {
        Some(9) if at_limit => (
            End::Memory,
            "killed by the kernel: its memory limit was reached".to_owned(),
        ),
        Some(signal) => {
            let name = process::signal_name(i32::try_from(signal).unwrap_or_default());
            (End::Signal, format!("ended by {name}"))
        }
        None => (End::Exited, format!("exited with {code}")),
    }
}

/// The end of a run that left neither a task nor an end.
///
/// # Errors
/// [`Error::System`] where the boot id can't be read.
pub fn lost(run: &Run) -> Result<Ended, Error> {
    let boot = boot::id()?;
    let rebooted = boot != run.boot;
    let booted = process::boot_time()
        .ok()
        .filter(|&time| rebooted && time > run.started_at);
    Ok(Ended {
        number: run.number,
        end: End::Lost,
        exit_code: 255,
        finished_at: booted.unwrap_or_else(event::now),
        description: match rebooted {
            true => "lost at a reboot: the machine went down while it ran".to_owned(),
            false => {
                "lost: its shim was killed, or its task was deleted by somebody else".to_owned()
            }
        },
        // What a boot starts again is found out by the boot.
        is_final: rebooted || !is_restarted(run.restart, 255, run.again.count),
        by_machine: rebooted,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use shellrt_api::v0::config::Restart;
    use shellrt_api::v0::status::End;
    use shellrt_plugin::process::{boot_id, Identity};

    use super::{lost, of_task};
    use crate::module::record::{Again, Run};

    fn run(boot: &str, cgroup: Option<PathBuf>) -> Run {
        Run {
            number: 7,
            started_at: 1,
            boot: boot.to_owned(),
            init: Identity { pid: 1, started: 1 },
            cgroup,
            address: PathBuf::from("/run/containerd/containerd.sock"),
            restart: Restart::No,
            again: Again::default(),
        }
    }

    #[test]
    fn a_code_above_128_is_a_signal() {
        let end = |code| {
            let end = of_task(&run("b", None), code, 5);
            assert_eq!((end.number, end.finished_at), (7, 5));
            (end.end, end.exit_code, end.description)
        };
        let words = |text: &str| text.to_owned();
        assert_eq!(end(0), (End::Exited, 0, words("exited with 0")));
        assert_eq!(end(125), (End::Exited, 125, words("exited with 125")));
        assert_eq!(end(128), (End::Exited, 128, words("exited with 128")));
        assert_eq!(end(143), (End::Signal, 143, words("ended by SIGTERM")));
        assert_eq!(end(137), (End::Signal, 137, words("ended by SIGKILL")));
        assert_eq!(end(255), (End::Exited, 255, words("exited with 255")));
    }

    #[test]
    fn a_kill_at_the_memory_limit_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let run = run("b", Some(dir.path().to_owned()));
        std::fs::write(
            dir.path().join("memory.oom_control"),
            "under_oom 0\noom_kill 0\n",
        )
        .unwrap();
        assert_eq!(of_task(&run, 137, 5).end, End::Signal);
        std::fs::write(
            dir.path().join("memory.oom_control"),
            "under_oom 0\noom_kill 1\n",
        )
        .unwrap();
        assert_eq!(of_task(&run, 137, 5).end, End::Memory);
        // A child was killed, and the program ended by itself.
        assert_eq!(of_task(&run, 1, 5).end, End::Exited);
    }

    #[test]
    fn a_lost_run_says_whether_the_machine_went_down() {
        let here = lost(&run(&boot_id().unwrap(), None)).unwrap();
        assert_eq!((here.end, here.exit_code), (End::Lost, 255));
        assert!(here.description.contains("shim"), "{here:?}");
        let before = lost(&run("another boot", None)).unwrap();
        assert!(before.description.contains("reboot"), "{before:?}");
    }
}
