//! Settings: what the files, the environment and the command line say, with the names of each world.
//!
//! `files` and `environment` find the layers, `merge` lays them over each other, [`format`] works
//! out values that depend on others, and `table` reads the result into types: [`Daemon`] for what all
//! links share, and a type per link.

mod daemon;
pub mod edgeless;
mod environment;
pub(crate) mod files;
mod format;
mod merge;
pub mod silverline;
mod table;
pub mod wamp;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

pub use daemon::{Daemon, OnShutdown};

/// Settings that were read.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// What is strange about them, for the log.
    pub warnings: Vec<String>,
    /// The files that they come from.
    pub files: Vec<PathBuf>,
}

/// Why settings can't be used. No message has a value in it, as it may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are no files.
    #[error(
        "there is no \"settings.yaml\" in {0:?}, nor in \"conf\" or \"config\" below it; name its \
         folder with --config"
    )]
    NoFiles(PathBuf),
    /// A file can't be read.
    #[error("{file:?} can't be read")]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not YAML.
    #[error("{file:?} is not YAML with keys at its top: {message}")]
    NotYaml {
        /// Which.
        file: PathBuf,
        /// Where.
        message: String,
    },
    /// Settings are missing or wrong.
    #[error("the settings are wrong: {}", problems.join("; "))]
    Wrong {
        /// All of what is wrong.
        problems: Vec<String>,
        /// What is strange beside that.
        warnings: Vec<String>,
    },
}

/// Reads the settings of a Silverline runtime from the files in `folder`, or where they are searched
/// without it, and from `variables` of the environment.
///
/// # Errors
/// [`Error`].
pub fn load(
    folder: Option<&Path>,
    variables: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
) -> Result<Loaded<silverline::Settings>, Error> {
    let sources = table::Sources::read(folder, variables)?;
    let settings = silverline::read(&sources);
    let files = sources.files().map(Path::to_owned).collect();
    let table::Notes { problems, warnings } = sources.into_notes();
    if !problems.is_empty() {
        return Err(Error::Wrong { problems, warnings });
    }
    Ok(Loaded {
        settings,
        warnings,
        files,
    })
}

/// What is wrong and what is strange about settings, without anything being started.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What makes them useless.
    pub problems: Vec<String>,
    /// What is strange about them.
    pub warnings: Vec<String>,
}

impl Report {
    /// What became of reading settings: warnings, or why they can't be used.
    pub fn of<E: std::error::Error>(read: Result<Vec<String>, E>) -> Report {
        match read {
            Ok(warnings) => Report {
                problems: Vec::new(),
                warnings,
            },
            Err(error) => Report {
                problems: vec![crate::causes::chain(&error)],
                warnings: Vec::new(),
            },
        }
    }
}

/// Looks at the settings that [`load`] would read.
pub fn check(
    folder: Option<&Path>,
    variables: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
) -> Report {
    match load(folder, variables) {
        Err(Error::Wrong { problems, warnings }) => Report { problems, warnings },
        read => Report::of(read.map(|loaded| loaded.warnings)),
    }
}
