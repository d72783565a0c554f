//! Launchers: from what a request says of a program to what a plugin is asked to run. Pure: the kinds of
//! programs are data in the settings, and the files are only named here.

mod arguments;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{json, Map, Value};
use shellrt_api::v0::config::{containerd, wasm};
use shellrt_api::v0::img_pull;
use shellrt_api::v0::logs::Stream;

use super::files::{self, Extent, Wanted};
use crate::order::{Handling, Spec};
use crate::policy::IdleRule;
use crate::settings::silverline::{environment, Kind, Launcher, Settings};

pub use arguments::Arguments;

/// The variable in which a program finds its own uuid.
const OWN_UUID: &str = "PROGRAM_OBJECT_ID";

/// A program as a request describes it.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The module's uuid.
    pub uuid: String,
    /// The module's name.
    pub name: String,
    /// Its file, with folders in front or without.
    pub file: String,
    /// The folders in front of that.
    pub location: Option<String>,
    /// The type of the file; without it the file's ending says it.
    pub filetype: Option<String>,
    /// Its arguments, in any of the four shapes.
    pub args: Value,
    /// Its environment: a table, a list of `NAME=value`, or nothing.
    pub env: Value,
    /// The interfaces that it needs; nothing is made of them.
    pub apis: Value,
    /// How much of a processor it needs.
    pub resources: Value,
    /// What becomes of it when it fails.
    pub fault_crash: Value,
}

/// What is to be done for a program.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is run.
    pub spec: Spec,
    /// How it is handled.
    pub handling: Handling,
    /// What has to lie in the module's folder before.
    pub files: Option<Wanted>,
}

/// Why a program can't be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no launcher for its type. These are upstream's own words, which orchestrators show.
    #[error("No launcher configured for type {0}")]
    NoLauncher(String),
    /// Its type can't be told.
    #[error("{0:?} has no filetype, and its ending says nothing; send \"filetype\"")]
    NoType(String),
    /// Its file is none.
    #[error(transparent)]
    File(#[from] files::BadPath),
    /// Its image is none.
    #[error("{0:?} is no reference of an image")]
    Image(String),
    /// A member of the request can't be used.
    #[error("{0:?} {1}")]
    Member(&'static str, String),
    /// Nobody knows where files come from.
    #[error("files can't be fetched; set \"repository.url\"")]
    NoRepository,
    /// They come from nowhere.
    #[error("\"repository.url\" can't be used")]
    Repository(#[from] files::BadRepository),
}

/// Plans what to do for `program`, whose files will lie in `dir`.
///
/// # Errors
/// [`Error`].
pub fn plan(settings: &Settings, program: &Program, dir: &Path) -> Result<Plan, Error> {
    let filetype = filetype(program)?;
    let launcher = settings.launcher.types.get(&filetype);
    let launcher = launcher.ok_or_else(|| Error::NoLauncher(filetype.clone()))?;
    let arguments = Arguments::read(program)?;
    let mut env = launcher.env.clone();
    env.extend(arguments.env.clone());
    env.extend(variables("env", &program.env)?);
    env.insert(OWN_UUID.to_owned(), program.uuid.clone());
    let (config_type, config, image, files) = match &launcher.kind {
        Kind::Wasm => of_wasm(settings, launcher, program, &arguments, dir)?,
        Kind::Mounted { .. } | Kind::Image => {
            of_container(settings, launcher, program, &arguments, dir)?
        }
    };
    Ok(Plan {
        spec: Spec {
            plugin: launcher.plugin.clone(),
            config_type,
            config,
            env,
            image: img_pull::Request {
                image,
                ..img_pull::Request::default()
            },
            remove_image: launcher.kind == Kind::Wasm,
        },
        handling: handling(settings, launcher, &arguments),
        files,
    })
}

/// The type of a program, in upper case.
fn filetype(program: &Program) -> Result<String, Error> {
    match &program.filetype {
        Some(filetype) if !filetype.is_empty() => Ok(filetype.to_uppercase()),
        // The orchestrators of 2023 lose the type on the way.
        _ => match Path::new(&program.file.to_lowercase()).extension() {
            Some(ending) if ending == "wasm" => Ok("WA".to_owned()),
            Some(ending) if ending == "py" => Ok("PY".to_owned()),
            _ => Err(Error::NoType(program.file.clone())),
        },
    }
}

type Parts = (String, Map<String, Value>, String, Option<Wanted>);

fn of_wasm(
    settings: &Settings,
    launcher: &Launcher,
    program: &Program,
    arguments: &Arguments,
    dir: &Path,
) -> Result<Parts, Error> {
    let path = files::program_path(settings.dialect, program.location.as_deref(), &program.file)?;
    let extent = match arguments.dirs.is_empty() {
        true => Extent::File,
        false => Extent::Folder,
    };
    let files = wanted(settings, &path, extent)?;
    let image = format!("file:{}", dir.join(path.name()).display());
    let mut config = launcher.config.clone();
    config.insert("image".to_owned(), json!(image));
    config.insert("command".to_owned(), json!(arguments.argv));
    config.insert("stdin".to_owned(), json!(true));
    if !arguments.dirs.is_empty() {
        let own = arguments.dirs.iter().map(|below| {
            let target = match below.as_str() {
                "" => ".".to_owned(),
                below => format!("/{below}"),
            };
            json!({"type": "bind", "source": dir.join(below), "target": target, "read_only": false})
        });
        let mounts = config.remove("mounts");
        let mounts = mounts.and_then(|mounts| mounts.as_array().cloned());
        let mounts = mounts.unwrap_or_default().into_iter().chain(own);
        config.insert("mounts".to_owned(), mounts.collect());
    }
    if let Some(limit) = arguments.limit {
        config.insert("timeout".to_owned(), json!(limit.as_secs_f64()));
    }
    shared_config(&mut config, arguments);
    Ok((wasm::CONFIG_TYPE.to_owned(), config, image, Some(files)))
}

fn of_container(
    settings: &Settings,
    launcher: &Launcher,
    program: &Program,
    arguments: &Arguments,
    dir: &Path,
) -> Result<Parts, Error> {
    if !arguments.dirs.is_empty() {
        let reason = "is for WebAssembly; a container has all files of its program";
        return Err(Error::Member("args.dirs", reason.to_owned()));
    }
    let mut config = launcher.config.clone();
    config.insert("stdin".to_owned(), json!(true));
    shared_config(&mut config, arguments);
    let (image, files) = match &launcher.kind {
        Kind::Mounted {
            image,
            cmd,
            workdir,
            arena_mqtt_auth,
        } => {
            let location = program.location.as_deref();
            let path = files::program_path(settings.dialect, location, &program.file)?;
            let mut files = wanted(settings, &path, Extent::Folder)?;
            let (username, password) = (&settings.mqtt.username, &settings.mqtt.password);
            if let (true, Some(username), Some(password)) = (arena_mqtt_auth, username, password) {
                files.arena_mqtt_auth = Some((username.clone(), password.clone()));
            }
            let mut command = cmd.clone();
            command.push(path.name().to_owned());
            command.extend(arguments.argv.clone());
            config.insert("command".to_owned(), json!(command));
            config
                .entry("working_dir")
                .or_insert_with(|| json!(workdir));
            let mounts = config.entry("mounts").or_insert_with(|| json!([]));
            if let Value::Array(mounts) = mounts {
                mounts.push(json!({"type": "bind", "source": dir, "target": workdir}));
            }
            (image.clone(), Some(files))
        }
        Kind::Image | Kind::Wasm => {
            let image = program.file.trim();
            let is_one =
                !image.is_empty() && !image.contains(|c: char| c.is_whitespace() || c.is_control());
            // An archive or a folder of this machine is not the orchestrator's to name.
            let is_local = image.contains(':') && image.split(':').next().is_some_and(is_local);
            if !is_one || is_local || image.starts_with(['/', '.']) {
                return Err(Error::Image(program.file.clone()));
            }
            if !arguments.argv.is_empty() {
                config.insert("command".to_owned(), json!(arguments.argv));
            }
            (image.to_owned(), None)
        }
    };
    config.insert("image".to_owned(), json!(image));
    Ok((containerd::CONFIG_TYPE.to_owned(), config, image, files))
}

/// Whether what stands before the colon of an image says that it lies on this machine.
fn is_local(scheme: &str) -> bool {
    matches!(
        scheme,
        "file" | "oci" | "oci-archive" | "docker-archive" | "archive" | "dir"
    )
}

/// What all kinds of programs have in their configs.
fn shared_config(config: &mut Map<String, Value>, arguments: &Arguments) {
    if arguments.restarts {
        config.insert("restart".to_owned(), json!("on-failure"));
    }
    if let Some(cpus) = arguments.cpus {
        config.insert("cpus".to_owned(), json!(cpus));
    }
}

fn wanted(settings: &Settings, path: &files::ProgramPath, extent: Extent) -> Result<Wanted, Error> {
    let repository = &settings.repository;
    let url = repository.url.as_deref().ok_or(Error::NoRepository)?;
    Ok(Wanted {
        source: files::source(settings.dialect, url, path)?,
        program: path.name().to_owned(),
        extent,
        repository: repository.clone(),
        arena_mqtt_auth: None,
    })
}

fn handling(settings: &Settings, launcher: &Launcher, arguments: &Arguments) -> Handling {
    let launchers = &settings.launcher;
    let idle = settings.runtime.inactivity_timeout.map(|timeout| IdleRule {
        timeout_sec: timeout.as_secs().max(1),
        check_interval_sec: settings.runtime.inactivity_check_interval.as_secs().max(1),
        cpu_threshold_percent: launcher.inactivity_cpu_threshold_percent,
        net_threshold_bytes: launcher.inactivity_net_threshold_bytes,
        blkio_threshold_bytes: launcher.inactivity_blkio_threshold_bytes,
    });
    // The engine counts a run of WebAssembly itself, and to the instruction.
    let limit = arguments.limit.filter(|_| launcher.kind != Kind::Wasm);
    Handling {
        streams: match launchers.pipe_stdout {
            true => vec![Stream::Stdout, Stream::Stderr],
            false => Vec::new(),
        },
        text: true,
        piece: launchers.stdout_chunk_bytes,
        rate: launchers.stdout_max_bytes_per_sec,
        longest_run_sec: limit.map(|limit| limit.as_secs_f64()),
        idle,
        ..Handling::default()
    }
}

/// The variables in the member `name`.
fn variables(name: &'static str, value: &Value) -> Result<BTreeMap<String, String>, Error> {
    let wrong = || {
        let reason = "must be a table, or a list of \"NAME=value\"";
        Error::Member(name, reason.to_owned())
    };
    let env = environment(value).ok_or_else(wrong)?;
    let is_fine = |text: &str| !text.contains('\0');
    let all_fine = env
        .iter()
        .all(|(name, value)| is_fine(name) && is_fine(value) && !name.contains('='));
    match all_fine {
        true => Ok(env),
        false => Err(wrong()),
    }
}
