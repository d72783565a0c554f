//! A case's life: a state directory, `given`, the steps, and cleaning up.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context};
use serde_json::{json, Value};

use super::check::{self, parts};
use super::fill::{bytes, fill, Names};
use super::format::{Case, Expect, Given, Plugin, Send, Step};
use super::leftovers;
use super::matching;
use super::process::{Answer, Running};

/// How long a step may take where the case says nothing else.
const DEADLINE: Duration = Duration::from_secs(20);

/// Runs `case` with `plugin`; what went wrong is told with everything that was sent and answered.
pub fn run(plugin: &Plugin, case: &Case) -> Result<(), String> {
    let mut trial = Trial::new(plugin, case).map_err(|error| format!("{error:#}"))?;
    let outcome = trial.given(case).and_then(|()| trial.steps(case));
    // Half-finished steps in the background must not be taken for leftovers.
    trial.background.clear();
    let cleaned = trial.clean_up();
    let outcome = outcome.and(cleaned);
    outcome.map_err(|error| format!("case: {}\n{error:#}", case.about))
}

struct Trial<'a> {
    plugin: &'a Plugin,
    program: PathBuf,
    folder: tempfile::TempDir,
    names: Names,
    background: BTreeMap<String, (Value, Running)>,
}

impl<'a> Trial<'a> {
    fn new(plugin: &'a Plugin, case: &Case) -> anyhow::Result<Self> {
        let program = find(plugin)?;
        let folder = tempfile::Builder::new().prefix("shellrt-case-").tempdir()?;
        let mut names = Names::new();
        for name in ["state", "guests", "files", "home"] {
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
        Ok(Trial {
            plugin,
            program,
            folder,
            names,
            background: BTreeMap::new(),
        })
    }

    /// Brings about what there is before the first step.
    fn given(&mut self, case: &Case) -> anyhow::Result<()> {
        let module = self.plugin.module.clone();
        if case.given >= Given::Image && self.serves("img_pull") {
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

    fn steps(&mut self, case: &Case) -> anyhow::Result<()> {
        for (number, step) in case.steps.iter().enumerate() {
            self.step(step)
                .with_context(|| format!("step {} of {}: {step}", number + 1, case.steps.len()))?;
        }
        if let Some(id) = self.background.keys().next() {
            bail!("the step {id:?} in the background is never finished");
        }
        Ok(())
    }

    fn step(&mut self, step: &Value) -> anyhow::Result<()> {
        // `${n}` is only known once the requests are made.
        let several = step.get("parallel").is_some();
        let mut names = self.names.clone();
        if several {
            names.insert("n".to_owned(), "${n}".into());
        }
        let step = Step::read(&fill(step, &names)?)?;
        let expectations = step.expectations()?;
        match step {
            Step::Send(send) if send.parallel.is_some() => self.parallel(&send, &expectations),
            Step::Send(send) => self.send(*send, &expectations[0]),
            Step::Await(step) => {
                let within = deadline(step.deadline);
                let (_, running) = self.background(&step.id)?;
                let has = step
                    .has
                    .as_ref()
                    .map(bytes)
                    .transpose()?
                    .unwrap_or_default();
                let came = running.wait_for(within, |stdout| match parts(stdout) {
                    Ok(parts) => parts
                        .stream
                        .is_some_and(|stream| matching::contains(stream, &has)),
                    Err(_) => false,
                });
                if came {
                    return Ok(());
                }
                let (_, running) = self.take(&step.id)?;
                bail!(
                    "it did not come within {within:?}\n{}",
                    running.finish(Duration::ZERO)
                )
            }
            Step::Feed(step) => {
                let bytes = bytes(&step.bytes)?;
                self.background(&step.id)?.1.feed(bytes)
            }
            Step::CloseStdin(step) => {
                self.background(&step.id)?.1.close_stdin();
                Ok(())
            }
            Step::Finish(step) => {
                let (request, running) = self.take(&step.id)?;
                let answer = running.finish(deadline(step.deadline));
                judge(&request, &answer, &expectations[0])?;
                self.save(&step.save, &answer)
            }
            Step::HangUp(step) => {
                let within = deadline(step.deadline);
                let (_, mut running) = self.take(&step.id)?;
                running.hang_up();
                let answer = running.finish(within);
                match answer.overdue {
                    Some(_) => bail!("its reader has gone away, and it goes on\n{answer}"),
                    None => Ok(()),
                }
            }
            Step::StateLacks(step) => {
                let state = self.folder.path().join("state");
                step.state_lacks
                    .iter()
                    .try_for_each(|part| lacks(&state, part.as_bytes()))
            }
        }
    }

    fn send(&mut self, send: Send, expect: &Expect) -> anyhow::Result<()> {
        let within = deadline(send.deadline);
        let over = Instant::now() + within;
        let (request, mut input) = input(&send.send)?;
        if let Some(more) = &send.stdin {
            input.extend(bytes(more)?);
        }
        loop {
            let mut command = self.command(&send.environment);
            let running = Running::start(&mut command, input.clone(), send.hold_stdin)?;
            if let Some(id) = &send.background {
                let twice = self.background.insert(id.clone(), (request, running));
                ensure!(
                    twice.is_none(),
                    "there is a step {id:?} in the background already"
                );
                return Ok(());
            }
            let answer = running.finish(within);
            match judge(&request, &answer, expect) {
                Err(_) if send.until && Instant::now() < over => {
                    thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(error),
                Ok(()) => return self.save(&send.save, &answer),
            }
        }
    }

    /// The same request several times at once: every answer is as one of the expectations says, and
    /// each of these describes as many answers as its `times`.
    fn parallel(&mut self, send: &Send, expectations: &[Expect]) -> anyhow::Result<()> {
        let mut started = Vec::new();
        for n in 0..send.parallel.unwrap_or(1) {
            let names = Names::from([("n".to_owned(), n.to_string().into())]);
            let (request, input) = input(&fill(&send.send, &names)?)?;
            let mut command = self.command(&send.environment);
            started.push((
                request,
                Running::start(&mut command, input, send.hold_stdin)?,
            ));
        }
        let over = Instant::now() + deadline(send.deadline);
        let mut counts = vec![0; expectations.len()];
        let mut all = String::new();
        for (request, running) in started {
            let answer = running.finish(over.saturating_duration_since(Instant::now()));
            let mut reasons = String::new();
            let mut fits = None;
            for (index, expect) in expectations.iter().enumerate() {
                match check::answer(&request, &answer, expect)? {
                    Ok(()) => fits = fits.or(Some(index)),
                    Err(reason) => reasons.push_str(&format!("\n{reason}")),
                }
            }
            let index = fits.with_context(|| format!("{}\n{answer}", reasons.trim()))?;
            counts[index] += 1;
            all.push_str(&format!("\n{answer}"));
        }
        for (expect, count) in expectations.iter().zip(counts) {
            let times = expect.times.unwrap_or(count);
            ensure!(
                count == times,
                "{count} answers are as {expect:?}, not {times}{all}"
            );
        }
        Ok(())
    }

    fn save(&mut self, save: &BTreeMap<String, String>, answer: &Answer) -> anyhow::Result<()> {
        for (name, pointer) in save {
            let parts = parts(&answer.stdout).map_err(anyhow::Error::msg)?;
            let response = Value::Object(parts.response);
            let value = response
                .pointer(pointer)
                .with_context(|| format!("no {pointer} to save"))?;
            self.names.insert(name.clone(), value.clone());
        }
        Ok(())
    }

    /// Removes every module and sees that nothing of them is left.
    fn clean_up(&mut self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        if self.serves("list") && self.serves("remove") {
            outcome = self.remove_all();
        }
        let left = leftovers::none(self.folder.path(), Duration::from_secs(5));
        outcome.and(left.map_err(anyhow::Error::msg))
    }

    fn remove_all(&mut self) -> anyhow::Result<()> {
        for name in self.modules()? {
            if self.serves("stop") {
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

    fn serves(&self, message: &str) -> bool {
        self.plugin.messages.iter().any(|served| served == message)
    }

    fn name(&self, name: &str) -> Value {
        self.names.get(name).cloned().unwrap_or_default()
    }

    fn background(&mut self, id: &str) -> anyhow::Result<&mut (Value, Running)> {
        let found = self.background.get_mut(id);
        found.with_context(|| format!("there is no step {id:?} in the background"))
    }

    fn take(&mut self, id: &str) -> anyhow::Result<(Value, Running)> {
        let found = self.background.remove(id);
        found.with_context(|| format!("there is no step {id:?} in the background"))
    }

    /// The plugin, in an environment that nothing of this machine sways.
    fn command(&self, more: &BTreeMap<String, Option<String>>) -> Command {
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

fn deadline(seconds: Option<f64>) -> Duration {
    seconds.map_or(DEADLINE, Duration::from_secs_f64)
}

/// The request, null where it is not an object, and its bytes.
fn input(send: &Value) -> anyhow::Result<(Value, Vec<u8>)> {
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

fn judge(request: &Value, answer: &Answer, expect: &Expect) -> anyhow::Result<()> {
    match check::answer(request, answer, expect)? {
        Ok(()) => Ok(()),
        Err(reason) => bail!("{reason}\n{answer}"),
    }
}

/// The plugin's executable.
fn find(plugin: &Plugin) -> anyhow::Result<PathBuf> {
    let name = &plugin.program;
    if name.contains('/') {
        let path = plugin.folder.join(name);
        let path = path
            .canonicalize()
            .with_context(|| format!("there is no {}", path.display()))?;
        return Ok(path);
    }
    let mut folders: Vec<PathBuf> = Vec::new();
    match std::env::var_os("SHELLRT_BIN_DIR") {
        Some(folder) => folders.push(folder.into()),
        // The test stands in `target/<profile>/deps`.
        None => folders.extend(
            std::env::current_exe()?
                .ancestors()
                .nth(2)
                .map(Path::to_owned),
        ),
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    let found = folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    let found = found.with_context(|| {
        let first = folders
            .first()
            .map(|folder| folder.display().to_string())
            .unwrap_or_default();
        format!(
            "no {name:?} in {first} or on PATH; build it with: {}",
            plugin.build
        )
    })?;
    found
        .canonicalize()
        .with_context(|| format!("{}", found.display()))
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

/// Whether no file under `folder` has `part` in it.
fn lacks(folder: &Path, part: &[u8]) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            lacks(&entry.path(), part)?;
        } else if kind.is_file() {
            let found = matching::contains(&fs::read(entry.path())?, part);
            ensure!(
                !found,
                "{} has {:?} in it",
                entry.path().display(),
                part.escape_ascii().to_string()
            );
        }
    }
    Ok(())
}
