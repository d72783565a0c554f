//! How a module is now, from what containerd says of its task and what is written of its runs.

use std::time::{Duration, Instant};

use shellrt_api::v0::status::{self, Status};

use shellrt_plugin::lock::Lock;

use super::record::{Ended, Run};
use super::task::{self, Phase, Task};
use super::{end, restart, Module};
use crate::cgroup;
use crate::error::Error;
use crate::network::{self, Joined};

/// How long a module's own process may take to write its end down.
const TIME_TO_FINISH: Duration = Duration::from_secs(5);

/// How a module is now.
#[derive(Debug, Clone)]
pub enum Now {
    /// It was never started.
    Created,
    /// It runs.
    Running(Running),
    /// It ended and will be started again.
    Restarting(Run, Ended),
    /// It ended.
    Exited(Run, Ended),
}

/// A module that runs.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its first process.
    pub pid: u32,
    /// Whether it is frozen.
    pub paused: bool,
    /// What is written of the run; nothing where somebody else started it.
    pub run: Option<Run>,
}

/// The same without details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was never started.
    Created,
    /// It runs, or will after a moment.
    Active,
    /// It ended.
    Exited,
}

impl Now {
    /// The last run, where something is written of it.
    fn run(&self) -> Option<&Run> {
        match self {
            Now::Created => None,
            Now::Running(running) => running.run.as_ref(),
            Now::Restarting(run, _) | Now::Exited(run, _) => Some(run),
        }
    }

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
    /// Looks how the module is.
    ///
    /// # Errors
    /// [`Error::Runtime`].
    pub fn now(&self) -> Result<Now, Error> {
        self.now_with(self.task()?)
    }

    /// Its task.
    ///
    /// # Errors
    /// [`Error::Runtime`].
    pub fn task(&self) -> Result<Option<Task>, Error> {
        task::get(&self.containerd, self.name.as_str())
    }

    /// As [`Module::now`], where the task was asked for already.
    ///
    /// # Errors
    /// [`Error::Runtime`].
    pub fn now_with(&self, task: Option<Task>) -> Result<Now, Error> {
        let run = self.files.run()?;
        let Some(task) = task else {
            return match run {
                Some(run) => self.without_task(run),
                None => Ok(Now::Created),
            };
        };
        match task.phase {
            Phase::Running | Phase::Paused | Phase::Unknown => Ok(Now::Running(Running {
                pid: task.pid,
                paused: task.phase == Phase::Paused,
                run: run.filter(|run| run.init.pid == task.pid),
            })),
            Phase::Stopped => match run {
                Some(run) => self.stopped(run, &task),
                None => Ok(Now::Created),
            },
            // It is being started, or somebody who did that was killed.
            Phase::Created => match (run, self.files.end()?) {
                (Some(run), Some(end)) if run.number == end.number => self.ended(run, end),
                (Some(run), Some(end)) if run.again.count > 0 => Ok(Now::Restarting(run, end)),
                (Some(run), Some(end)) => Ok(Now::Exited(run, end)),
                _ => Ok(Now::Created),
            },
        }
    }

    /// How the module runs, where that is certain without its task: its run began, it has not ended, and
    /// its first process lives and is not frozen. The caller has seen before that it is watched; then no
    /// other start has come since the one that is written last.
    ///
    /// # Errors
    /// What can't be read.
    pub fn running(&self) -> Result<Option<Running>, Error> {
        let Some(run) = self.files.run()? else {
            return Ok(None);
        };
        let is_certain = self.files.has_begun(run.number)
            && self.end_of(&run)?.is_none()
            && run.init.is_alive()
            && cgroup::is_thawed(run.init.pid);
        Ok(is_certain.then_some(Running {
            pid: run.init.pid,
            paused: false,
            run: Some(run),
        }))
    }

    /// The end of the last run is written. If the module is to be started again, somebody is at it, or
    /// from now on.
    fn ended(&self, run: Run, end: Ended) -> Result<Now, Error> {
        if !restart::is_pending(&self.files, &run, &end)? {
            return Ok(Now::Exited(run, end));
        }
        restart::see_to(&self.files, run.number);
        Ok(Now::Restarting(run, end))
    }

    /// The task is over and not deleted yet. The module's own process is about to write that down,
    /// when all output is in the log, and that takes a moment; without one we do it.
    fn stopped(&self, run: Run, task: &Task) -> Result<Now, Error> {
        let patience = Instant::now() + TIME_TO_FINISH;
        loop {
            if let Some(end) = self.end_of(&run)? {
                return self.ended(run, end);
            }
            if !self.files.is_watched() || Instant::now() >= patience {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let end = end::of_task(&run, task.exit_code, task.finished_at);
        let end = end::write(&self.store, &self.files, self.name.as_str(), end)?;
        // Nobody else will, and a shim is there as long as its task.
        if let Ok(Some(_task)) = Lock::try_exclusive(&self.files.task_lock()) {
            if self.files.run()?.as_ref() == Some(&run) {
                task::delete(&self.containerd, self.name.as_str())?;
                network::leave(&self.containerd, &self.store, self.name.as_str());
            }
        }
        self.ended(run, end)
    }

    /// There was a run and there is no task: its end was written before that was deleted, or nobody
    /// saw it.
    fn without_task(&self, run: Run) -> Result<Now, Error> {
        if let Some(end) = self.end_of(&run)? {
            return self.ended(run, end);
        }
        // The task was looked for before the run was read, and may have been made between the two: a
        // run is written when its task exists.
        if let Some(task) = self.task()? {
            return self.now_with(Some(task));
        }
        if let Some(end) = self.end_of(&run)? {
            return self.ended(run, end);
        }
        // containerd forgets the task of a killed shim while the end is being looked for.
        if run.init.is_alive() {
            std::thread::sleep(Duration::from_millis(50));
            return self.now();
        }
        let end = end::lost(&run)?;
        let end = end::write(&self.store, &self.files, self.name.as_str(), end)?;
        self.ended(run, end)
    }

    fn end_of(&self, run: &Run) -> Result<Option<Ended>, Error> {
        Ok(self.files.end()?.filter(|end| end.number == run.number))
    }

    /// What `status` answers.
    ///
    /// # Errors
    /// [`Error::Runtime`].
    pub fn status(&self) -> Result<status::Response, Error> {
        Ok(self.describe(self.now()?))
    }

    /// `now`, in the words of `status`.
    pub fn describe(&self, now: Now) -> status::Response {
        let definition = &self.definition;
        let mut answer = status::Response {
            image_id: definition.image_id.clone(),
            created_at: Some(definition.created_at),
            restart_count: Some(0),
            config_type: Some(definition.config_type.clone()),
            image: Some(definition.image.clone()),
            labels: Some(definition.config.labels.clone()),
            ..Default::default()
        };
        answer.health = self.health(now.run());
        match now {
            Now::Created => {
                answer.status_description = "created, never started".to_owned();
                answer.state = Some(status::State::Created);
            }
            Now::Running(Running { pid, paused, run }) => {
                answer.status = Status::Running;
                let (state, words) = match paused {
                    true => (status::State::Paused, "paused"),
                    false => (status::State::Running, "running"),
                };
                answer.state = Some(state);
                answer.status_description = words.to_owned();
                answer.pid = Some(pid);
                if let Some(run) = run {
                    answer.started_at = run.started_at;
                    answer.restart_count = Some(run.again.count);
                }
                let joined = network::joined(&self.store, self.name.as_str());
                answer.networks = joined.as_ref().map(Joined::networks);
                answer.ports = joined.as_ref().map(Joined::ports);
            }
            Now::Restarting(run, end) => {
                describe_end(&mut answer, run, end);
                answer.state = Some(status::State::Restarting);
            }
            Now::Exited(run, end) => describe_end(&mut answer, run, end),
        }
        answer
    }
}

fn describe_end(answer: &mut status::Response, run: Run, end: Ended) {
    answer.state = Some(status::State::Exited);
    answer.status = match end.exit_code {
        0 => Status::Stopped,
        _ => Status::Failed,
    };
    answer.status_description = end.description;
    answer.started_at = run.started_at;
    answer.restart_count = Some(run.again.count);
    answer.finished_at = Some(end.finished_at);
    answer.exit_code = Some(end.exit_code);
    answer.end = Some(end.end);
}
