//! The program that runs beside a trial, where the plugin's file asks for one: a daemon that the
//! plugin talks to, a registry with the images of its programs.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context};
use serde_json::{Map, Value};

use super::fill::{fill, Names};
use super::leftovers::{self, Process};
use super::plugin::Plugin;

/// How long it may take until a service is ready, and until it has ended.
const DEADLINE: Duration = Duration::from_secs(60);

/// A service that is ready.
pub struct Service {
    child: Child,
    /// Itself and what it has started; none of that is a module's.
    own: BTreeSet<Process>,
}

/// What came of a start.
pub enum Started {
    /// The service, and the names that it has told.
    Ready(Service, Map<String, Value>),
    /// What this machine does not have.
    Missing(String),
}

impl Service {
    /// Starts the service of `plugin`, which has one, and waits until it is ready.
    pub fn start(plugin: &Plugin, folder: &Path, names: &Names) -> anyhow::Result<Started> {
        let service = plugin.service.as_ref().context("there is no service")?;
        let (program, arguments) = service.command.split_first().context("no command")?;
        let mut command = Command::new(plugin.find(program)?);
        for argument in arguments {
            command.arg(text(argument, names)?);
        }
        for (name, value) in &service.environment {
            command.env(name, text(value, names)?);
        }
        // In a group of its own: who kills the suite does not kill it, and it cleans up.
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let stdout = child.stdout.take().context("no stdout")?;
        let (told, line) = channel();
        thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            // Without a line it has ended, and the text is empty.
            let _ = stdout.read_line(&mut line);
            let _ = told.send(line);
            // Whatever else it writes must not hold it up.
            let _ = stdout.read_to_end(&mut Vec::new());
        });
        let mut service = Service {
            child,
            own: BTreeSet::new(),
        };
        let line = line.recv_timeout(DEADLINE);
        let line = line.with_context(|| format!("the service is not ready after {DEADLINE:?}"))?;
        ensure!(
            !line.is_empty(),
            "the service has ended before it was ready"
        );
        let told: Map<String, Value> = serde_json::from_str(&line)
            .with_context(|| format!("the service has told {line:?}, not a line of JSON"))?;
        if let Some(missing) = told.get("missing").and_then(Value::as_str) {
            let missing = missing.to_owned();
            service.end()?;
            return Ok(Started::Missing(missing));
        }
        service.own = leftovers::of(folder);
        Ok(Started::Ready(service, told))
    }

    /// Whether a process is the service's own.
    pub fn owns(&self, process: &Process) -> bool {
        self.own.contains(process)
    }

    /// Closes its stdin and waits for its end.
    pub fn end(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the service has ended with {status}"),
                None => thread::sleep(Duration::from_millis(2)),
            }
        }
        bail!("the service has not ended {DEADLINE:?} after its stdin was closed")
    }
}

/// A trial that stops half-way waits for its service, because its directory is removed next.
impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + DEADLINE;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn text(value: &str, names: &Names) -> anyhow::Result<String> {
    Ok(match fill(&Value::String(value.to_owned()), names)? {
        Value::String(text) => text,
        other => other.to_string(),
    })
}
