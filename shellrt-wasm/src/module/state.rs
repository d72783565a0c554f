//! How a module is now, derived from its files.

use shellrt_api::v0::status::{self, End, Status};
use shellrt_plugin::event;
use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::process;

use super::{Ended, Module, Run};
use crate::boot;
use crate::error::Error;

/// How a module is now.
#[derive(Debug, Clone)]
pub enum Now {
    /// It was never started.
    Created,
    /// It runs.
    Running(Run),
    /// It ended and will be started again.
    Restarting(Run, Ended),
    /// It ended.
    Exited(Run, Ended),
}

/// The same without details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was never started.
    Created,
    /// It runs, or will after a moment: its monitor lives.
    Active,
    /// It ended.
    Exited,
}

impl Now {
    /// The state without details.
    pub fn state(&self) -> State {
        match self {
            Now::Created => State::Created,
            Now::Running(_) | Now::Restarting(..) => State::Active,
            Now::Exited(..) => State::Exited,
        }
    }
}

impl Module {
    /// Looks how the module is. It never waits for anybody.
    pub fn now(&self) -> Result<Now, Error> {
        let Some(run) = self.run()? else {
            return Ok(Now::Created);
        };
        if let Some(now) = self.ended(&run)? {
            return Ok(now);
        }
        if self.is_watched(&run)? {
            // The run may have ended, and the next one begun, between the two looks.
            return match self.run()? {
                Some(newer) if newer.number != run.number => self.now(),
                _ => Ok(Now::Running(run)),
            };
        }
        // The monitor is gone. It writes the end before it goes, so look once more.
        match self.ended(&run)? {
            Some(now) => Ok(now),
            None => self.lost(run),
        }
    }

    /// Whether the monitor of `run` lives: it holds the lock. Who looks at a lost run holds that for a
    /// moment too, and is not the monitor.
    fn is_watched(&self, run: &Run) -> Result<bool, Error> {
        Ok(Lock::is_held(&self.lock())? && run.monitor.is_alive())
    }

    /// Where the end of `run` was written.
    fn ended(&self, run: &Run) -> Result<Option<Now>, Error> {
        let Some(end) = file::read_json::<Ended>(&self.end_file())? else {
            return Ok(None);
        };
        Ok(match end.number == run.number {
            false => None,
            true if end.is_final || !self.is_watched(run)? => Some(Now::Exited(run.clone(), end)),
            true => Some(Now::Restarting(run.clone(), end)),
        })
    }

    /// A run without an end and without a monitor. What is found out first is written down, so that
    /// it is the same at every look.
    fn lost(&self, run: Run) -> Result<Now, Error> {
        let boot = shellrt_plugin::boot::id()?;
        let rebooted = boot != run.boot;
        let booted = process::boot_time()
            .ok()
            .filter(|&time| rebooted && time > run.started_at);
        let end = Ended {
            number: run.number,
            end: End::Lost,
            exit_code: 255,
            finished_at: booted.unwrap_or_else(event::now),
            description: match rebooted {
                true => "lost: the machine went down while it ran".to_owned(),
                false => "lost: its monitor was killed".to_owned(),
            },
            is_final: true,
            by_machine: rebooted,
        };
        // Whoever holds the lock is starting it again, or writing the same.
        if let Ok(Some(lock)) = Lock::try_exclusive(&self.lock()) {
            // Between the look and the lock it may have been run again.
            if self.run()?.is_some_and(|newer| newer.number != run.number) {
                drop(lock);
                return self.now();
            }
            if let Some(now) = self.ended(&run)? {
                return Ok(now);
            }
            if let Err(error) = file::write_json(&self.end_file(), &end) {
                log::warn!("the end of {} can't be written down: {error}", self.name);
            }
        }
        Ok(Now::Exited(run, end))
    }

    /// What `status` answers.
    pub fn status(&self) -> Result<status::Response, Error> {
        let now = self.now()?;
        let definition = &self.definition;
        let mut answer = status::Response {
            image_id: definition.image.image_id.clone(),
            created_at: Some(definition.created_at),
            restart_count: Some(0),
            config_type: Some(shellrt_api::v0::config::wasm::CONFIG_TYPE.to_owned()),
            image: Some(definition.image.reference.clone()),
            labels: Some(definition.config.labels.clone()),
            ..Default::default()
        };
        let (run, end) = match now {
            Now::Created => {
                answer.status_description = "created, never started".to_owned();
                answer.state = Some(status::State::Created);
                return Ok(answer);
            }
            Now::Running(run) => {
                answer.status = Status::Running;
                answer.status_description = "running".to_owned();
                answer.state = Some(status::State::Running);
                answer.pid = Some(run.engine.pid);
                (run, None)
            }
            Now::Restarting(run, end) => {
                answer.state = Some(status::State::Restarting);
                (run, Some(end))
            }
            Now::Exited(run, end) => {
                // After a boot the modules that are due are started when the first request has been
                // answered.
                answer.state = Some(match boot::is_due(self, &run)? {
                    true => status::State::Restarting,
                    false => status::State::Exited,
                });
                (run, Some(end))
            }
        };
        answer.started_at = run.started_at;
        answer.restart_count = Some(run.restart_count);
        if let Some(end) = end {
            answer.status = if end.exit_code == 0 {
                Status::Stopped
            } else {
                Status::Failed
            };
            answer.status_description = end.description;
            answer.finished_at = Some(end.finished_at);
            answer.exit_code = Some(end.exit_code);
            answer.end = Some(end.end);
        }
        Ok(answer)
    }
}
