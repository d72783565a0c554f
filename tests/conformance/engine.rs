//! The engine of the conformance suite: finds the cases and the plugins, makes a trial of each pair
//! and runs it.
//!
//! - `format`: what stands in a case, `plugin`: what stands in a plugin's file
//! - `fill`: `${...}`, `"..."` and bytes in JSON
//! - `service`: what runs beside a trial
//! - `process`: one request to one plugin process
//! - `check`: what must hold for every answer, `shape`: what must stand in which response, and
//!   `matching`: what a case expects beyond that
//! - `trial`: a case's life: state directory, `given`, `steps`, cleaning up

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

#[path = "check.rs"]
mod check;
#[path = "fill.rs"]
mod fill;
#[path = "format.rs"]
mod format;
#[path = "leftovers.rs"]
mod leftovers;
#[path = "matching.rs"]
mod matching;
#[path = "plugin.rs"]
mod plugin;
#[path = "process.rs"]
mod process;
#[path = "service.rs"]
mod service;
#[path = "shape.rs"]
mod shape;
#[path = "steps.rs"]
mod steps;
#[path = "trial.rs"]
mod trial;

use format::Case;
use plugin::Plugin;
use trial::Ran;

/// A trial: one case with one plugin.
pub struct Planned {
    /// `plugin::message::what`.
    pub name: String,
    plugin: Result<Arc<Plugin>, String>,
    work: Work,
}

enum Work {
    /// The plugin does not serve the message: it must say so.
    Unsupported(String),
    Case(Arc<Case>),
    /// A file that can't be read must fail somewhere.
    Broken(String),
}

/// How a trial went.
pub enum Outcome {
    /// Everything that the case expects was so.
    Passed,
    /// The case does not fit the plugin, and why.
    LeftOut(String),
    /// What was not as expected, and everything that was sent and answered.
    Failed(String),
}

impl From<Ran> for Outcome {
    fn from(ran: Ran) -> Outcome {
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        match ran {
            Ran::Passed => Outcome::Passed,
            Ran::NotHere(missing) if is_ci => Outcome::Failed(missing),
            Ran::NotHere(missing) => Outcome::LeftOut(missing),
        }
    }
}

/// A folder beside this suite.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Every trial of the plugins and cases in two folders, in order of their names.
pub fn plan(plugins: &Path, cases: &Path) -> anyhow::Result<Vec<Planned>> {
    let cases = read_cases(cases)?;
    let mut planned = Vec::new();
    for path in files(plugins)? {
        let plugin_name = stem(&path);
        let plugin = match Plugin::read(&path) {
            Ok(plugin) => Arc::new(plugin),
            Err(error) => {
                planned.push(Planned {
                    name: format!("{plugin_name}::file"),
                    plugin: Err(format!("{error:#}")),
                    work: Work::Broken(String::new()),
                });
                continue;
            }
        };
        for (message, cases) in &cases {
            let mut add = |what: &str, work: Work| {
                planned.push(Planned {
                    name: format!("{plugin_name}::{message}::{what}"),
                    plugin: Ok(Arc::clone(&plugin)),
                    work,
                });
            };
            if format::MESSAGES.contains(&message.as_str()) && !plugin.messages.contains(message) {
                add("unsupported", Work::Unsupported(message.clone()));
                continue;
            }
            for (what, case) in cases {
                match case {
                    Ok(case) => add(what, Work::Case(Arc::clone(case))),
                    Err(error) => add(what, Work::Broken(error.clone())),
                }
            }
        }
        for message in format::MESSAGES {
            if !cases.contains_key(message) {
                let what = format!("there is no case for the message {message:?}");
                planned.push(Planned {
                    name: format!("{plugin_name}::{message}::cases"),
                    plugin: Ok(Arc::clone(&plugin)),
                    work: Work::Broken(what),
                });
            }
        }
    }
    Ok(planned)
}

impl Planned {
    /// Runs the trial in a state directory of its own.
    pub fn run(&self) -> Outcome {
        let plugin = match &self.plugin {
            Ok(plugin) => plugin,
            Err(error) => return Outcome::Failed(error.clone()),
        };
        let outcome = match &self.work {
            Work::Broken(error) => return Outcome::Failed(error.clone()),
            Work::Unsupported(message) => {
                return match trial::run(plugin, &Case::unsupported(message)) {
                    Ok(ran) => ran.into(),
                    Err(error) => Outcome::Failed(error),
                }
            }
            Work::Case(case) => match plugin.leaves_out(case) {
                Some(why) => return Outcome::LeftOut(why),
                None => trial::run(plugin, case),
            },
        };
        let case = self.name.split_once("::").map_or("", |(_, case)| case);
        match (outcome, plugin.gap(case)) {
            (Ok(ran), None) => ran.into(),
            (Err(error), None) => Outcome::Failed(error),
            (Ok(Ran::NotHere(missing)), Some(_)) => Ran::NotHere(missing).into(),
            (Ok(Ran::Passed), Some(gap)) => Outcome::Failed(format!(
                "this case passes, but the plugin's file lists it as a known gap ({}): remove it there",
                gap.reason
            )),
            (Err(_), Some(gap)) => Outcome::LeftOut(format!("known gap: {}", gap.reason)),
        }
    }
}

/// Cases by message and name; a case that can't be read is what is wrong with it.
type Cases = BTreeMap<String, BTreeMap<String, Result<Arc<Case>, String>>>;

fn read_cases(folder: &Path) -> anyhow::Result<Cases> {
    let mut cases = Cases::new();
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        let of_message = cases.entry(stem(&path)).or_default();
        for file in files(&path)? {
            let case = Case::read(&file)
                .map(Arc::new)
                .map_err(|error| format!("{error:#}"));
            of_message.insert(stem(&file), case);
        }
    }
    Ok(cases)
}

/// The JSON files of a folder, sorted.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
