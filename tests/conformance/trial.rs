//! A case's life: a state directory, `given`, the steps, and cleaning up.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure, Context};
use serde_json::{json, Value};

use super::check::{self, parts};
use super::fill::{bytes, fill, Names};
use super::format::{Case, Expect, Given};
use super::leftovers;
use super::plugin::Plugin;
use super::process::{Answer, Running};
use super::service::{Service, Started};

/// How long a step may take where the case says nothing else.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Runs `case` with `plugin`; what went wrong is told with everything that was sent and answered.
pub fn run(plugin: &Plugin, case: &Case) -> Result<Ran, String> {
    let trial = Trial::new(plugin, case).map_err(|error| format!("{error:#}"))?;
    let mut trial = match trial {
        Ok(trial) => trial,
        Err(missing) => return Ok(Ran::NotHere(missing)),
    };
    let outcome = trial.given(case).and_then(|()| trial.steps(case));
    // Half-finished steps in the background must not be taken for leftovers.
    trial.background.clear();
    let cleaned = trial.clean_up();
    let outcome = outcome.and(cleaned);
    match outcome {
        Ok(()) => Ok(Ran::Passed),
        Err(error) => Err(format!("case: {}\n{error:#}", case.about)),
    }
}

/// What came of a case that did not fail.
pub enum Ran {
    /// Everything was as it must be.
    Passed,
    /// This machine does not have what the plugin's service needs.
    NotHere(String),
}

/// A case that is being run.
pub struct Trial<'a> {
    plugin: &'a Plugin,
    program: PathBuf,
    /// What runs beside the trial.
    service: Option<Service>,
    /// Everything that the trial and its plugin write is in here.
    pub folder: tempfile::TempDir,
    pub names: Names,
    /// The steps in the background: request and process.
    pub background: BTreeMap<String, (Value, Running)>,
}

impl<'a> Trial<'a> {
    /// The trial; or what its service does not find on this machine.
    fn new(plugin: &'a Plugin, case: &Case) -> anyhow::Result<Result<Self, String>> {
        let program = plugin.find(&plugin.program)?;
        let folder = tempfile::Builder::new().prefix("shellrt-case-").tempdir()?;
        let mut names = Names::new();
        for name in ["state", "guests", "files", "home", "service"] {
            let path = folder.path().join(name);
            fs::create_dir(&path)?;
            names.insert(name.to_owned(), path.to_string_lossy().into());
        }
        for (name, content) in &case.files {
            fs::write(folder.path().join("files").join(name), bytes(content)?)?;
        }
        compile_guests(&folder.path().join("guests"))?;
        names.insert("module".to_owned(), plugin.module.clone().into());
        names.insert("config_type".to_owned(), plugin.config_type.clone().into());
        names.insert("messages".to_owned(), plugin.messages.clone().into());
        names.insert(
            "config_types".to_owned(),
            plugin.config_types.clone().into(),
        );
        names.insert("closed_port".to_owned(), closed_port()?.into());
        let mut service = None;
        if plugin.service.is_some() {
            match Service::start(plugin, folder.path(), &names)? {
                Started::Ready(ready, told) => {
                    names.extend(told);
                    service = Some(ready);
                }
                Started::Missing(missing) => return Ok(Err(missing)),
            }
        }
        for (kind, program) in &plugin.programs {
            let image = fill(&program.image, &names)?;
            names.insert("image".to_owned(), image.clone());
            let config = fill(&program.config, &names)?;
            names.insert(format!("image:{kind}"), image);
            names.insert(format!("config:{kind}"), config);
        }
        let kind = case.program();
        for part in ["image", "config"] {
            let value = names.get(&format!("{part}:{kind}"));
            let value =
                value.with_context(|| format!("the plugin's file has no program {kind:?}"))?;
            names.insert(part.to_owned(), value.clone());
        }
        Ok(Ok(Trial {
            plugin,
            program,
            service,
            folder,
            names,
            background: BTreeMap::new(),
        }))
    }

    /// Brings about what there is before the first step.
    fn given(&mut self, case: &Case) -> anyhow::Result<()> {
        let module = self.plugin.module.clone();
        if case.given >= Given::Image && self.plugin.serves("img_pull") {
            let image = self.name("image");
            self.ok(json!({"_type": "img_pull", "image": image, "credentials": {}}))?;
        }
        if case.given >= Given::Created {
            let (config_type, config) = (self.name("config_type"), self.name("config"));
            self.ok(json!({
                "_type": "create", "name": module, "env": {}, "config_type": config_type,
                "config": config,
            }))?;
        }
        if case.given >= Given::Running {
            self.ok(json!({"_type": "start", "name": module}))?;
        }
        let wanted: &[&str] = match case.given {
            Given::Running => &["running"],
            Given::Exited => &["stopped", "failed"],
            _ => return Ok(()),
        };
        let deadline = Instant::now() + DEADLINE;
        loop {
            let status = self.ok(json!({"_type": "status", "name": module}))?;
            if status
                .get("status")
                .and_then(Value::as_str)
                .is_some_and(|now| wanted.contains(&now))
            {
                return Ok(());
            }
            let status = Value::from_iter(status);
            ensure!(
                Instant::now() < deadline,
                "given: not {wanted:?} in {DEADLINE:?}: {status}"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Removes every module and sees that nothing of them is left.
    fn clean_up(&mut self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        if self.plugin.serves("list") && self.plugin.serves("remove") {
            outcome = self.remove_all();
        }
        // What belongs to a module is gone while the service still runs.
        const WITHIN: Duration = Duration::from_secs(5);
        let service = self.service.take();
        let expected = |process: &leftovers::Process| {
            service
                .as_ref()
                .is_some_and(|service| service.owns(process))
        };
        let left = leftovers::none(self.folder.path(), expected, WITHIN);
        let left = left.map_err(|left| anyhow!("the last module was removed, and {left}"));
        outcome = outcome.and(left);
        let Some(service) = service else {
            return outcome;
        };
        outcome = outcome.and(service.end());
        let left = leftovers::none(self.folder.path(), |_| false, WITHIN);
        outcome = outcome.and(left.map_err(|left| anyhow!("the service has ended, and {left}")));
        let mounts = leftovers::mounts(self.folder.path());
        outcome.and_then(|()| {
            ensure!(mounts.is_empty(), "the service leaves mounts: {mounts:?}");
            Ok(())
        })
    }

    fn remove_all(&mut self) -> anyhow::Result<()> {
        for name in self.modules()? {
            if self.plugin.serves("stop") {
                self.ok(json!({"_type": "stop", "name": name, "timeout": 0}))?;
            }
            self.ok(json!({"_type": "remove", "name": name, "force": true}))?;
        }
        let left = self.modules()?;
        ensure!(
            left.is_empty(),
            "cleaning up: removed and still in \"list\": {left:?}"
        );
        Ok(())
    }

    fn modules(&self) -> anyhow::Result<Vec<String>> {
        let mut response = self.ok(json!({"_type": "list"}))?;
        let modules = response.remove("modules").unwrap_or_default();
        Ok(serde_json::from_value(modules)?)
    }

    /// A request outside of the case's steps, which must succeed.
    fn ok(&self, request: Value) -> anyhow::Result<serde_json::Map<String, Value>> {
        let (request, input) = input(&request)?;
        let mut command = self.command(&BTreeMap::new());
        let answer = Running::start(&mut command, input, false)?.finish(DEADLINE);
        judge(&request, &answer, &Expect::default()).context("before or after the steps")?;
        Ok(parts(&answer.stdout).map_err(anyhow::Error::msg)?.response)
    }

    fn name(&self, name: &str) -> Value {
        self.names.get(name).cloned().unwrap_or_default()
    }

    /// The plugin, in an environment that nothing of this machine sways.
    pub fn command(&self, more: &BTreeMap<String, Option<String>>) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("HOME", self.folder.path().join("home"));
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        for (name, value) in &self.plugin.environment {
            let value = fill(&Value::String(value.clone()), &self.names).unwrap_or_default();
            command.env(name, value.as_str().unwrap_or_default());
        }
        for (name, value) in more {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }
}

/// The request, null where it is not an object, and its bytes.
pub fn input(send: &Value) -> anyhow::Result<(Value, Vec<u8>)> {
    let mut request = send.clone();
    let Some(object) = request
        .as_object_mut()
        .filter(|object| !object.contains_key("repeat"))
    else {
        let input = bytes(send)?;
        // What follows the first object is not read.
        let first = serde_json::Deserializer::from_slice(&input)
            .into_iter::<Value>()
            .next();
        let request = first
            .and_then(Result::ok)
            .filter(Value::is_object)
            .unwrap_or_default();
        return Ok((request, input));
    };
    object.entry("_version").or_insert("0.1.0".into());
    let input = serde_json::to_vec(object)?;
    Ok((request, input))
}

/// Fails where an answer is not as it must be.
pub fn judge(request: &Value, answer: &Answer, expect: &Expect) -> anyhow::Result<()> {
    match check::answer(request, answer, expect)? {
        Ok(()) => Ok(()),
        Err(reason) => bail!("{reason}\n{answer}"),
    }
}

/// Makes `guests/*.wat` ready in the trial's directory.
fn compile_guests(into: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(super::folder("guests"))? {
        let path = entry?.path();
        if path.extension() != Some(OsStr::new("wat")) {
            continue;
        }
        let program = wat::parse_file(&path)?;
        let name = path.file_stem().unwrap_or_default();
        fs::write(into.join(name).with_extension("wasm"), program)?;
    }
    Ok(())
}

/// A port of the loopback interface that nobody listens at.
fn closed_port() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port()
        .to_string())
}
