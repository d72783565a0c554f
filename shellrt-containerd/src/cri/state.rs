//! How a module is now, from what containerd says of its newest container and what is written down.

use std::time::Duration;

use k8s_cri::v1 as api;
use shellrt_api::v0::config::containerd_cri::CONFIG_TYPE;
use shellrt_api::v0::events::Kind;
use shellrt_api::v0::status::{self, End, Status};
use shellrt_plugin::event::{self, Events};
use shellrt_plugin::lock::Lock;

use super::client::attempt;
use super::record::Ended;
use super::{log, Module};
use crate::error::Error;
use crate::module::end;

/// How long containerd may take to write what it still has of the output of a container that ended.
const TIME_TO_WRITE: Duration = Duration::from_secs(2);

/// The reason of a container that could not be started.
const START_ERROR: &str = "StartError";

/// How a module is now.
#[derive(Debug, Clone)]
pub enum Now {
    /// It was never started.
    Created,
    /// It runs.
    Running(Running),
    /// It ended.
    Exited(Ended),
}

/// A module that runs.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its container.
    pub container: String,
    /// Its first process, where containerd tells.
    pub pid: Option<u32>,
    /// When it was started, in nanoseconds since the epoch.
    pub started_at: i64,
}

impl Module {
    /// Looks how the module is. A log that has become too large is rotated.
    ///
    /// # Errors
    /// [`Error::Runtime`], [`Error::CriDisabled`].
    pub fn now(&self) -> Result<Now, Error> {
        let containers = self.cri.containers(&self.definition.uid)?;
        let Some(newest) = containers.first() else {
            return self.without_run();
        };
        let Some(answer) = self.cri.status(&newest.id)? else {
            return self.without_run();
        };
        let mut status = answer.status.unwrap_or_default();
        let run = self.files.run()?;
        if let Some(run) = run.filter(|run| run.attempt == attempt(newest)) {
            status.started_at = run.started_at;
        }
        match status.state() {
            api::ContainerState::ContainerRunning | api::ContainerState::ContainerUnknown => {
                let info = answer.info.get("info").map_or("null", String::as_str);
                let info: serde_json::Value = serde_json::from_str(info).unwrap_or_default();
                let pid = info["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
                log::rotate(self, &newest.id);
                Ok(Now::Running(Running {
                    container: newest.id.clone(),
                    pid: pid.filter(|pid| *pid > 0),
                    started_at: status.started_at,
                }))
            }
            api::ContainerState::ContainerExited
                if status.started_at > 0 && status.reason != START_ERROR =>
            {
                self.note(of_status(attempt(newest), &status))
                    .map(Now::Exited)
            }
            // It was not started, or can't be.
            _ => self.without_run(),
        }
    }

    /// There is no container that ran: what is known of it is written, or nobody saw how it ended.
    fn without_run(&self) -> Result<Now, Error> {
        match (self.files.run()?, self.files.end()?) {
            (None, None) => Ok(Now::Created),
            (None, Some(end)) => Ok(Now::Exited(end)),
            (Some(run), Some(end)) if run.attempt <= end.attempt => Ok(Now::Exited(end)),
            (Some(run), _) => self
                .note(Ended {
                    attempt: run.attempt,
                    end: End::Lost,
                    exit_code: 255,
                    started_at: run.started_at,
                    finished_at: event::now(),
                    description: "lost: its container was removed by somebody else".to_owned(),
                })
                .map(Now::Exited),
        }
    }

    /// Writes an end down and tells it, unless somebody did already; answers what is written.
    fn note(&self, end: Ended) -> Result<Ended, Error> {
        let is_known = |known: &Ended| known.attempt >= end.attempt;
        if let Some(known) = self.files.end()?.filter(is_known) {
            return Ok(known);
        }
        // What is written says that the log is whole.
        log::wait_until_written(self, TIME_TO_WRITE);
        let _lock = Lock::exclusive(&self.files.end_lock(), None)?;
        if let Some(known) = self.files.end()?.filter(is_known) {
            return Ok(known);
        }
        self.files.write_end(&end)?;
        let events = Events::new(self.store.root());
        events.record(self.name.as_str(), Kind::Exited, Some(end.exit_code));
        Ok(end)
    }

    /// What `status` answers.
    ///
    /// # Errors
    /// As [`Module::now`].
    pub fn status(&self) -> Result<status::Response, Error> {
        Ok(self.describe(self.now()?))
    }

    /// What `status` answers where nothing can be found out.
    pub fn unknown(&self, error: &Error) -> status::Response {
        status::Response {
            state: None,
            status_description: format!("nothing can be found out: {error}"),
            ..self.describe(Now::Created)
        }
    }

    /// `now`, in the words of `status`.
    pub fn describe(&self, now: Now) -> status::Response {
        let definition = &self.definition;
        let mut answer = status::Response {
            image_id: definition.image_id.clone(),
            created_at: Some(definition.created_at),
            restart_count: Some(0),
            config_type: Some(CONFIG_TYPE.to_owned()),
            image: Some(definition.image.clone()),
            labels: Some(definition.config.labels.clone()),
            ..Default::default()
        };
        match now {
            Now::Created => {
                answer.status_description = "created, never started".to_owned();
                answer.state = Some(status::State::Created);
            }
            Now::Running(Running {
                pid, started_at, ..
            }) => {
                answer.status = Status::Running;
                answer.state = Some(status::State::Running);
                answer.status_description = "running".to_owned();
                answer.pid = pid;
                answer.started_at = started_at;
            }
            Now::Exited(end) => {
                answer.state = Some(status::State::Exited);
                answer.status = match end.exit_code {
                    0 => Status::Stopped,
                    _ => Status::Failed,
                };
                answer.status_description = end.description;
                answer.started_at = end.started_at;
                answer.finished_at = Some(end.finished_at);
                answer.exit_code = Some(end.exit_code);
                answer.end = Some(end.end);
            }
        }
        answer
    }
}

/// The end of a container that ran, as containerd tells it.
fn of_status(attempt: u32, status: &api::ContainerStatus) -> Ended {
    let (end, description) = match (status.reason.as_str(), u32::try_from(status.exit_code)) {
        // A restarted daemon did not find its process any more.
        ("Unknown", _) => (
            End::Lost,
            "lost: the machine went down while it ran, or its shim was killed".to_owned(),
        ),
        (reason, Ok(code)) => end::of_code(code, reason == "OOMKilled"),
        (_, Err(_)) => (End::Exited, format!("exited with {}", status.exit_code)),
    };
    Ended {
        attempt,
        end,
        exit_code: match end {
            End::Lost => 255,
            _ => i64::from(status.exit_code),
        },
        started_at: status.started_at,
        // The start counts from when containerd heard of it, and a program may have ended by then.
        finished_at: status.finished_at.max(status.started_at),
        description,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_containerd_says_of_an_end() {
        let end = |reason: &str, exit_code| {
            let status = api::ContainerStatus {
                reason: reason.to_owned(),
                exit_code,
                started_at: 3,
                finished_at: 5,
                ..Default::default()
            };
            let end = of_status(2, &status);
            assert_eq!((end.attempt, end.started_at, end.finished_at), (2, 3, 5));
            (end.end, end.exit_code)
        };
        assert_eq!(end("Completed", 0), (End::Exited, 0));
        assert_eq!(end("Error", 7), (End::Exited, 7));
        assert_eq!(end("Error", 143), (End::Signal, 143));
        assert_eq!(end("OOMKilled", 137), (End::Memory, 137));
        // A child was killed, and the program ended by itself.
        assert_eq!(end("OOMKilled", 1), (End::Exited, 1));
        assert_eq!(end("Unknown", 255), (End::Lost, 255));
    }
}
