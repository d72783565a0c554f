//! What is written down of a module in a pod, in its directory:
//!
//! ```text
//! module.json     its definition, from before its pod is made until after that is removed
//! run.json        its last run
//! end.json        the last end that was seen
//! end.lock        held while that is written
//! log/            what containerd writes of its output
//! log.lock        held while that is rotated
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shellrt_api::v0::config::containerd_cri::Config;
use shellrt_api::v0::status::End;
use shellrt_plugin::file;
use shellrt_plugin::process::Identity;

use crate::error::Error;

/// What a module was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// The uid of its pod, which nothing else has: what belongs to it is found by it.
    pub uid: String,
    /// Whether it has been made; before, what there is of it is to be taken away.
    pub is_made: bool,
    /// When it was created, in nanoseconds since the epoch.
    pub created_at: i64,
    /// What the request said.
    pub config: Config,
    /// The variables that the request said.
    pub env: BTreeMap<String, String>,
    /// The reference of its image, in its canonical form.
    pub image: String,
    /// The digest of the config of its image.
    pub image_id: String,
    /// The image of the process that holds its pod together.
    pub pause_image: String,
    /// The cgroup that has those of its pod and its container.
    pub cgroup_parent: String,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Which container it is: they are counted from 0.
    pub attempt: u32,
    /// When it began, in nanoseconds since the epoch.
    pub started_at: i64,
    /// Its first process, where containerd told it.
    pub init: Option<Identity>,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Which container it was.
    pub attempt: u32,
    /// How it ended.
    pub end: End,
    /// What it ended with.
    pub exit_code: i64,
    /// When the run began, in nanoseconds since the epoch.
    pub started_at: i64,
    /// When it ended, in nanoseconds since the epoch.
    pub finished_at: i64,
    /// Why, in words for people.
    pub description: String,
}

/// The files of one module.
#[derive(Debug, Clone)]
pub struct Files {
    dir: PathBuf,
}

impl Files {
    /// Those in `dir`.
    pub fn new(dir: &Path) -> Self {
        Files {
            dir: dir.to_owned(),
        }
    }

    /// The module's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The definition; `None` where there is no such module.
    pub fn definition(&self) -> Result<Option<Definition>, Error> {
        Ok(file::read_json(&self.definition_file())?)
    }

    /// Writes the definition.
    pub fn write_definition(&self, definition: &Definition) -> Result<(), Error> {
        Ok(file::write_json(&self.definition_file(), definition)?)
    }

    fn definition_file(&self) -> PathBuf {
        self.dir.join("module.json")
    }

    /// The last run.
    pub fn run(&self) -> Result<Option<Run>, Error> {
        Ok(file::read_json(&self.dir.join("run.json"))?)
    }

    /// Writes a run.
    pub fn write_run(&self, run: &Run) -> Result<(), Error> {
        Ok(file::write_json(&self.dir.join("run.json"), run)?)
    }

    /// The last end that was seen.
    pub fn end(&self) -> Result<Option<Ended>, Error> {
        Ok(file::read_json(&self.dir.join("end.json"))?)
    }

    /// Writes an end.
    pub fn write_end(&self, end: &Ended) -> Result<(), Error> {
        Ok(file::write_json(&self.dir.join("end.json"), end)?)
    }

    /// Held while an end is written.
    pub fn end_lock(&self) -> PathBuf {
        self.dir.join("end.lock")
    }

    /// Held while the log is rotated.
    pub fn log_lock(&self) -> PathBuf {
        self.dir.join("log.lock")
    }

    /// What it wrote.
    pub fn log_dir(&self) -> PathBuf {
        self.dir.join("log")
    }
}
