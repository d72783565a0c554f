//! From a request to what is run: the launcher of the file's type says how. Pure.

use std::path::{Component, Path, PathBuf};

use serde_json::{json, Value};
use shellrt_api::v0::config::wasm;
use shellrt_api::v0::img_pull;

use super::files;
use crate::order::{Handling, Spec};
use crate::settings::silverline::Settings;

/// A program, as a request says it. Values are as they came, null where they are not there.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The module's uuid.
    pub uuid: String,
    /// The module's name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// The folder of the file, where that is said apart.
    pub location: Option<String>,
    /// What kind of program it is, where that is said.
    pub filetype: Option<String>,
    /// Its arguments, in any of four shapes.
    pub args: Value,
    /// Its environment.
    pub env: Value,
    /// What it uses.
    pub apis: Value,
    /// What it may use.
    pub resources: Value,
    /// What becomes of it when it fails.
    pub fault_crash: Value,
}

/// What is run, how it is handled, and what has to be fetched for it.
#[derive(Debug)]
pub struct Plan {
    /// What is run.
    pub spec: Spec,
    /// How it is handled.
    pub handling: Handling,
    /// What has to be fetched for it.
    pub files: Option<files::Wanted>,
}

/// Why a program can't be launched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing launches files of this type.
    #[error("No launcher configured for type {0}")]
    NoLauncher(String),
    /// The file lies outside of what may be run.
    #[error("{0:?} is no file of the repository")]
    BadFile(String),
}

/// How to run `program`, whose files will lie in `dir`.
///
/// # Errors
/// [`Error`].
pub fn plan(settings: &Settings, program: &Program, dir: &Path) -> Result<Plan, Error> {
    let kind = match &program.filetype {
        Some(kind) => kind.to_uppercase(),
        None if program.file.ends_with(".wasm") => "WA".to_owned(),
        None => String::new(),
    };
    if kind != "WA" {
        return Err(Error::NoLauncher(kind));
    }
    let path = PathBuf::from(program.location.as_deref().unwrap_or_default()).join(&program.file);
    let is_inside = |part: Component<'_>| matches!(part, Component::Normal(_));
    if !path.components().all(is_inside) {
        return Err(Error::BadFile(program.file.clone()));
    }
    let from = Path::new(settings.repository.url.as_deref().unwrap_or_default()).join(&path);
    let to = dir.join("program.wasm");
    let image = format!("file:{}", to.display());
    let command = program.args.get("argv").cloned().unwrap_or(json!([]));
    let config = json!({"image": image, "command": command, "stdin": true});
    let spec = Spec {
        plugin: "wasm".to_owned(),
        config_type: wasm::CONFIG_TYPE.to_owned(),
        config: config.as_object().cloned().unwrap_or_default(),
        image: img_pull::Request {
            image,
            ..img_pull::Request::default()
        },
        remove_image: true,
        ..Spec::default()
    };
    let handling = Handling {
        piece: settings.launcher.stdout_chunk_bytes,
        rate: settings.launcher.stdout_max_bytes_per_sec,
        ..Handling::default()
    };
    Ok(Plan {
        spec,
        handling,
        files: Some(files::Wanted { from, to }),
    })
}
