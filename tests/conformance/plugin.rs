//! A plugin's file (`plugins/<plugin>.json`): what there is to know about a plugin, and where its
//! executable is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context};
use serde::Deserialize;
use serde_json::Value;

use super::format::{read, Case, MESSAGES};

/// A plugin to test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plugin {
    /// The executable: a name, or a path relative to the file that it stands in.
    pub program: String,
    /// How to build it, for whoever reads that it is missing.
    #[serde(default)]
    pub build: String,
    /// Its environment, beside `PATH` and `HOME`.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// What runs beside each trial.
    pub service: Option<Beside>,
    /// The messages that it serves.
    pub messages: Vec<String>,
    /// The config types that it serves.
    pub config_types: Vec<String>,
    /// `${config_type}`.
    pub config_type: String,
    /// `${module}`.
    #[serde(default = "web")]
    pub module: String,
    /// Whether it serves what the protocol added to v0's messages.
    #[serde(default = "yes")]
    pub additions: bool,
    /// The programs that cases need, by kind.
    pub programs: BTreeMap<String, Program>,
    /// What is known not to work.
    #[serde(default)]
    pub gaps: Vec<Gap>,
    /// Where the file stands.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// A program that runs beside a trial; see `service.rs`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// The program, found as the plugin is, and its arguments.
    pub command: Vec<String>,
    /// Its environment, beside that of the test.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// A program as the plugin runs it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// `${image}`; null where the plugin has no images.
    #[serde(default)]
    pub image: Value,
    /// `${config}`.
    pub config: Value,
}

/// A case that does not pass; it is run all the same, and passing is a failure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// `message::what`, or `message::*`.
    pub case: String,
    pub reason: String,
}

fn web() -> String {
    "web".to_owned()
}

fn yes() -> bool {
    true
}

impl Plugin {
    /// Reads a plugin's file.
    pub fn read(path: &Path) -> anyhow::Result<Plugin> {
        let mut plugin: Plugin = read(path)?;
        plugin.folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        for message in &plugin.messages {
            let known = MESSAGES.contains(&message.as_str());
            ensure!(known, "{}: there is no message {message:?}", path.display());
        }
        Ok(plugin)
    }

    /// Whether it serves `message`.
    pub fn serves(&self, message: &str) -> bool {
        self.messages.iter().any(|served| served == message)
    }

    /// Why a case says nothing about this plugin.
    pub fn leaves_out(&self, case: &Case) -> Option<String> {
        if case.addition && !self.additions {
            return Some("the plugin serves v0 without additions".to_owned());
        }
        if let Some(wanted) = &case.config_type {
            let is_meant = match wanted.strip_prefix('!') {
                Some(other) => other != self.config_type,
                None => *wanted == self.config_type,
            };
            if !is_meant {
                return Some(format!(
                    "the case is for the config type {wanted:?}, and the programs are of {:?}",
                    self.config_type
                ));
            }
        }
        if case.images && !self.serves("img_pull") {
            return Some("the plugin has no images".to_owned());
        }
        let missing = case
            .sends()
            .find(|sent| MESSAGES.contains(sent) && !self.serves(sent))?;
        Some(format!(
            "the case needs the message {missing:?}, which the plugin does not serve"
        ))
    }

    /// The gap that lists `case` (`message::what`).
    pub fn gap(&self, case: &str) -> Option<&Gap> {
        self.gaps
            .iter()
            .find(|gap| match gap.case.strip_suffix('*') {
                Some(prefix) => case.starts_with(prefix),
                None => gap.case == case,
            })
    }

    /// An executable: the plugin's own, or that of its service.
    pub fn find(&self, name: &str) -> anyhow::Result<PathBuf> {
        if name.contains('/') {
            let path = self.folder.join(name);
            let path = path
                .canonicalize()
                .with_context(|| format!("there is no {}", path.display()))?;
            return Ok(path);
        }
        let mut folders: Vec<PathBuf> = Vec::new();
        match std::env::var_os("SHELLRT_BIN_DIR") {
            Some(folder) => folders.push(folder.into()),
            // The test stands in `target/<host>/<profile>/deps`.
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
                self.build
            )
        })?;
        found
            .canonicalize()
            .with_context(|| format!("{}", found.display()))
    }
}
