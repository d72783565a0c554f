//! A command inside a running module.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use containerd_client::services::v1 as api;
use prost_types::Any;
use serde_json::Value;
use shellrt_api::v0::exec::{Request, Response};
use shellrt_plugin::attach::make_fifo;
use shellrt_plugin::file;
use shellrt_plugin::hangup::Hangup;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::{OpenOptions, Receiver};
use tonic::Status;

use super::{container, Module};
use crate::containerd::Containerd;
use crate::error::Error;

/// How containerd knows a process of the runtime specification.
const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";

/// How much of each stream is answered, in bytes.
const LIMIT: usize = 1 << 20;

/// How long a child of the command may keep its streams open when it has ended itself.
const GRACE: Duration = Duration::from_secs(2);

/// How often the reader of the answer is looked after.
const LOOK: Duration = Duration::from_millis(100);

/// Where commands run.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The module's name.
    pub name: &'a str,
    /// The container.
    pub id: &'a str,
    /// The module's directory.
    pub dir: &'a Path,
    /// The connection with the container's namespace.
    pub containerd: &'a Containerd,
}

impl Module {
    /// Where its commands run.
    pub fn place(&self) -> Target<'_> {
        Target {
            name: self.name.as_str(),
            id: self.name.as_str(),
            dir: self.files.dir(),
            containerd: &self.containerd,
        }
    }
}

/// Runs a command in a module, which runs. To be called in a process that nobody kills: see
/// [`super::aside`].
///
/// # Errors
/// [`Error::Timeout`] at the deadline, when it has been killed; [`Error::Runtime`] where the runtime
/// can't start it.
pub fn run(target: &Target<'_>, request: &Request) -> Result<Response, Error> {
    let timeout = request.timeout.map(Duration::from_secs);
    let timeout = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let deadline = [timeout, target.containerd.deadline()];
    let exec = Exec::new(target, deadline.into_iter().flatten().min())?;
    let spec = process(target, request)?;
    exec.run(spec)
}

/// One command; its FIFOs go with it.
struct Exec<'a> {
    containerd: Containerd,
    target: &'a Target<'a>,
    id: String,
    dir: PathBuf,
    deadline: Option<Instant>,
}

impl<'a> Exec<'a> {
    fn new(target: &'a Target<'a>, deadline: Option<Instant>) -> Result<Self, Error> {
        let id = format!(
            "exec-{}-{}",
            std::process::id(),
            shellrt_plugin::event::now()
        );
        let exec = Exec {
            // The deadline is the command's: whatever happens, it is killed and deleted.
            containerd: target.containerd.without_deadline(),
            dir: target.dir.join(&id),
            target,
            id,
            deadline,
        };
        file::make_dir(&exec.dir)?;
        for path in [exec.stdout(), exec.stderr()] {
            make_fifo(&path)?;
        }
        Ok(exec)
    }

    fn stdout(&self) -> PathBuf {
        self.dir.join("stdout")
    }

    fn stderr(&self) -> PathBuf {
        self.dir.join("stderr")
    }

    fn run(&self, spec: Any) -> Result<Response, Error> {
        self.containerd.run("run the command", async {
            let stdout = receiver(&self.stdout())?;
            let stderr = receiver(&self.stderr())?;
            let text = |path: PathBuf| path.to_string_lossy().into_owned();
            let mut tasks = self.containerd.tasks();
            let request = api::ExecProcessRequest {
                container_id: self.target.id.to_owned(),
                stdout: text(self.stdout()),
                stderr: text(self.stderr()),
                spec: Some(spec),
                exec_id: self.id.clone(),
                ..Default::default()
            };
            let refused = |status: Status| Error::refused("run the command", status);
            tasks.exec(request).await.map_err(refused)?;
            let request = api::StartRequest {
                container_id: self.target.id.to_owned(),
                exec_id: self.id.clone(),
            };
            let result = match tasks.start(request).await {
                Ok(_) => self.collect(stdout, stderr).await,
                Err(status) => Err(refused(status)),
            };
            let request = api::DeleteProcessRequest {
                container_id: self.target.id.to_owned(),
                exec_id: self.id.clone(),
            };
            // With the module's end the command is gone too.
            let _ = tasks.delete_process(request).await;
            result
        })
    }

    /// Reads both streams until the command has ended.
    async fn collect(&self, stdout: Receiver, stderr: Receiver) -> Result<Response, Error> {
        let mut tasks = self.containerd.tasks();
        let request = api::WaitRequest {
            container_id: self.target.id.to_owned(),
            exec_id: self.id.clone(),
        };
        let mut waiting = tasks.clone();
        let wait = waiting.wait(request);
        tokio::pin!(wait);
        let (mut stdout, mut stderr) = (Captured::new(stdout), Captured::new(stderr));
        let hangup = Hangup::stdout();
        let mut ended: Option<(u32, Instant)> = None;
        let mut killed: Option<Error> = None;
        loop {
            let is_late = |since: &(u32, Instant)| since.1.elapsed() >= GRACE;
            if let Some((code, _)) =
                ended.filter(|since| (!stdout.is_open && !stderr.is_open) || is_late(since))
            {
                return match killed {
                    Some(error) => Err(error),
                    None => Ok(Response {
                        exit_code: i64::from(code),
                        truncated: stdout.is_cut || stderr.is_cut,
                        stdout: stdout.text(),
                        stderr: stderr.text(),
                    }),
                };
            }
            tokio::select! {
                answer = &mut wait, if ended.is_none() => {
                    let answer = answer.map_err(|status| Error::refused("wait for the command", status))?;
                    ended = Some((answer.into_inner().exit_status, Instant::now()));
                }
                () = stdout.read(), if stdout.is_open => {}
                () = stderr.read(), if stderr.is_open => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            if killed.is_none() && ended.is_none() {
                killed = self.is_over(&hangup);
                if killed.is_some() {
                    let request = api::KillRequest {
                        container_id: self.target.id.to_owned(),
                        exec_id: self.id.clone(),
                        signal: 9,
                        all: false,
                    };
                    // It may have ended in this moment.
                    let _ = tasks.kill(request).await;
                }
            }
        }
    }

    /// Why the command is to be killed.
    fn is_over(&self, hangup: &Hangup) -> Option<Error> {
        if self
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            let message = "the command took too long and was killed; give it more time";
            return Some(Error::Timeout(message.to_owned()));
        }
        hangup.is_hung_up().then_some(Error::HungUp)
    }
}

impl Drop for Exec<'_> {
    fn drop(&mut self) {
        if let Err(error) = file::remove(&self.dir) {
            log::warn!("{error}");
        }
    }
}

fn receiver(path: &Path) -> Result<Receiver, Error> {
    let opened = OpenOptions::new().open_receiver(path);
    opened.map_err(|source| Error::file("open", path, source))
}

/// What came of a stream.
struct Captured {
    receiver: Receiver,
    bytes: Vec<u8>,
    is_open: bool,
    is_cut: bool,
}

impl Captured {
    fn new(receiver: Receiver) -> Self {
        Captured {
            receiver,
            bytes: Vec::new(),
            is_open: true,
            is_cut: false,
        }
    }

    /// Reads once. What is beyond the limit is read too, because the command would wait otherwise.
    async fn read(&mut self) {
        let mut buffer = [0; 16 << 10];
        match self.receiver.read(&mut buffer).await {
            Ok(0) | Err(_) => self.is_open = false,
            Ok(length) => {
                let room = LIMIT - self.bytes.len();
                self.is_cut |= length > room;
                self.bytes.extend_from_slice(&buffer[..length.min(room)]);
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// The process: the module's own, with another command.
fn process(target: &Target<'_>, request: &Request) -> Result<Any, Error> {
    let damaged = |source| Error::Damaged {
        name: target.name.to_owned(),
        source,
    };
    let found = container(target.containerd, target.id)?
        .ok_or_else(|| Error::ModuleNotFound(target.name.to_owned()))?;
    let spec = found.spec.unwrap_or_default().value;
    let mut document: Value = serde_json::from_slice(&spec).map_err(damaged)?;
    let mut process = document["process"].take();
    let own = process["env"].as_array().cloned().unwrap_or_default();
    let is_own = |variable: &Value| {
        let name = variable.as_str().and_then(|text| text.split('=').next());
        !name.is_some_and(|name| request.env.contains_key(name))
    };
    let mut env: Vec<Value> = own.into_iter().filter(is_own).collect();
    env.extend(
        request
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}").into()),
    );
    process["env"] = env.into();
    process["args"] = request.args.clone().into();
    process["terminal"] = false.into();
    Ok(Any {
        type_url: PROCESS_TYPE.to_owned(),
        value: serde_json::to_vec(&process).map_err(damaged)?,
    })
}
