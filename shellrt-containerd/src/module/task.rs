//! containerd's tasks: the running side of a container.

use containerd_client::services::v1 as api;
use containerd_client::types::v1::{Process, Status};
use shellrt_plugin::event;

use crate::containerd::{ask, known, Containerd};
use crate::error::Error;

/// A task, as it was when containerd was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its first process; 0 where that is gone.
    pub pid: u32,
    /// What it does.
    pub phase: Phase,
    /// What its first process ended with; meaningful once it has stopped.
    pub exit_code: u32,
    /// When it ended, in nanoseconds since the epoch; meaningful once it has stopped.
    pub finished_at: i64,
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its process exists and the program has not begun.
    Created,
    /// It runs.
    Running,
    /// It is frozen.
    Paused,
    /// It ended; the runtime still holds what is left of it.
    Stopped,
    /// containerd can't say, because the shim does not answer.
    Unknown,
}

impl From<&Process> for Task {
    fn from(process: &Process) -> Self {
        Task {
            pid: process.pid,
            phase: match process.status() {
                Status::Created => Phase::Created,
                Status::Running => Phase::Running,
                Status::Paused | Status::Pausing => Phase::Paused,
                Status::Stopped => Phase::Stopped,
                Status::Unknown => Phase::Unknown,
            },
            exit_code: process.exit_status,
            finished_at: nanoseconds(process.exited_at.as_ref()),
        }
    }
}

/// A time of containerd's, in nanoseconds since the epoch; one that is not set is now.
fn nanoseconds(time: Option<&prost_types::Timestamp>) -> i64 {
    match time {
        // Go's zero time lies before the epoch.
        Some(time) if time.seconds > 0 => {
            time.seconds.saturating_mul(1_000_000_000) + i64::from(time.nanos)
        }
        _ => event::now(),
    }
}

/// The task of the container `id`, if it has one.
pub fn get(containerd: &Containerd, id: &str) -> Result<Option<Task>, Error> {
    containerd.run("look at a task", look(containerd, id))
}

/// As [`get`], beside other calls.
pub async fn look(containerd: &Containerd, id: &str) -> Result<Option<Task>, Error> {
    let request = api::GetRequest {
        container_id: id.to_owned(),
        ..Default::default()
    };
    let answer = ask("look at a task", containerd.tasks().get(request)).await;
    Ok(known(answer)?.and_then(|answer| answer.process.as_ref().map(Task::from)))
}

/// Waits until the task has ended: its exit code and the time, or `None` where there is no task.
pub fn wait(containerd: &Containerd, id: &str) -> Result<Option<(u32, i64)>, Error> {
    let request = api::WaitRequest {
        container_id: id.to_owned(),
        ..Default::default()
    };
    let answer = containerd.call("wait for a task", containerd.tasks().wait(request));
    Ok(known(answer)?.map(|answer| (answer.exit_status, nanoseconds(answer.exited_at.as_ref()))))
}

/// Sends `signal` to the task's first process, or with `all` to every one; an ended one gets none.
pub fn kill(containerd: &Containerd, id: &str, signal: i32, all: bool) -> Result<(), Error> {
    let request = api::KillRequest {
        container_id: id.to_owned(),
        signal: signal.unsigned_abs(),
        all,
        ..Default::default()
    };
    match known(containerd.call("signal a task", containerd.tasks().kill(request))) {
        // The shim has seen the end and containerd has not yet.
        Err(error) if error.is_refusal(tonic::Code::FailedPrecondition) => Ok(()),
        other => other.map(drop),
    }
}

/// Thaws a frozen task; one that is not frozen stays as it is.
pub fn resume(containerd: &Containerd, id: &str) -> Result<(), Error> {
    let request = api::ResumeTaskRequest {
        container_id: id.to_owned(),
    };
    let answer = containerd.call("resume a task", containerd.tasks().resume(request));
    known(answer).map(drop)
}

/// Deletes a task that does not run, and with it its shim; what is gone is deleted already. Another
/// process may be deleting it in this moment, so it is waited for.
pub fn delete(containerd: &Containerd, id: &str) -> Result<(), Error> {
    let request = || api::DeleteTaskRequest {
        container_id: id.to_owned(),
    };
    let mut tries = 0;
    loop {
        let deleted = containerd.call("delete a task", containerd.tasks().delete(request()));
        let Err(error) = known(deleted) else {
            return Ok(());
        };
        // A second delete can hear that the shim's connection was closed by the first one.
        if get(containerd, id)?.is_none() {
            return Ok(());
        }
        tries += 1;
        if tries > 50 || matches!(error, Error::Timeout(_)) {
            return Err(error);
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// The processes of the task.
///
/// # Errors
/// [`Error::Runtime`].
pub fn pids(containerd: &Containerd, id: &str) -> Result<Vec<u32>, Error> {
    let request = api::ListPidsRequest {
        container_id: id.to_owned(),
    };
    let answer = containerd.call("list the processes", containerd.tasks().list_pids(request));
    let processes = known(answer)?.map_or_else(Vec::new, |answer| answer.processes);
    Ok(processes.iter().map(|process| process.pid).collect())
}
