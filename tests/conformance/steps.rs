//! The steps of a case.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context};
use serde_json::Value;

use super::check::{self, parts};
use super::fill::{bytes, fill, Names};
use super::format::{Case, Expect, Send, Step};
use super::matching;
use super::process::{Answer, Running};
use super::trial::{input, judge, Trial, DEADLINE};

impl Trial<'_> {
    /// Takes all steps of `case`.
    pub fn steps(&mut self, case: &Case) -> anyhow::Result<()> {
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
                for folder in ["state", "service"] {
                    let folder = self.folder.path().join(folder);
                    for part in &step.state_lacks {
                        lacks(&folder, part.as_bytes())?;
                    }
                }
                Ok(())
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

    fn background(&mut self, id: &str) -> anyhow::Result<&mut (Value, Running)> {
        let found = self.background.get_mut(id);
        found.with_context(|| format!("there is no step {id:?} in the background"))
    }

    fn take(&mut self, id: &str) -> anyhow::Result<(Value, Running)> {
        let found = self.background.remove(id);
        found.with_context(|| format!("there is no step {id:?} in the background"))
    }
}

fn deadline(seconds: Option<f64>) -> Duration {
    seconds.map_or(DEADLINE, Duration::from_secs_f64)
}

/// Whether no file under `folder` has `part` in it. A service may be at work there meanwhile.
fn lacks(folder: &Path, part: &[u8]) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            lacks(&entry.path(), part)?;
        } else if kind.is_file() {
            let text = fs::read(entry.path()).unwrap_or_default();
            let found = matching::contains(&text, part);
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
