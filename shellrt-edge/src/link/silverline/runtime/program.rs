//! What the object that creates a module means for a plugin: which program, with which arguments,
//! environment, directories and limits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{json, Map, Value};
use shellrt_api::v0::config::{self, containerd, wasm, Restart};
use shellrt_api::v0::img_pull;
use shellrt_api::v0::logs::Stream;

use crate::link::silverline::launcher::{self, Arguments};
use crate::order::{Handling, Order, Spec};

/// How much of a module's output goes out at once, in bytes, as upstream's own runtime does it.
const PIECE: usize = 4096;

/// What a plugin runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// WebAssembly programs: `file` is one on this machine.
    Wasm,
    /// Containers: `file` is the reference of an image.
    Containerd,
}

/// Why there is nothing to run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadProgram {
    /// A member is missing, or is not what it must be.
    #[error(transparent)]
    Member(#[from] launcher::Error),
    /// There is no such file.
    #[error("there is no file {0:?} below {1:?}")]
    NoFile(String, PathBuf),
    /// A path leads out of the directory that programs may use.
    #[error("{0:?} is not below {1:?}")]
    Outside(String, PathBuf),
}

/// A program with what it is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// What the supervisor needs.
    pub order: Order,
    /// How long it may run, where the plugin does not see to that.
    pub limit: Option<Duration>,
}

/// The program that `data` asks for, to be run by `plugin` as `id`. Files lie below `files`.
///
/// # Errors
/// [`BadProgram`].
pub fn program(
    kind: Kind,
    plugin: &str,
    files: &Path,
    id: &str,
    data: &Map<String, Value>,
) -> Result<Program, BadProgram> {
    let file = data.get("file").and_then(Value::as_str);
    let file = file.filter(|file| !file.is_empty());
    let file = file.ok_or_else(|| member("file", "must be the program's file"))?;
    let args = Arguments::read(&launcher::Program {
        args: data.get("args").cloned().unwrap_or_default(),
        ..Default::default()
    })?;
    let mut limit = args.limit;
    let restart = match args.restarts {
        true => Restart::OnFailure { max: None },
        false => Restart::No,
    };
    let (image, config_type, config) = match kind {
        Kind::Wasm => {
            let path = located(files, file)?;
            let image = format!("file:{}", path.display());
            let config = wasm::Config {
                image: image.clone(),
                command: args.argv,
                mounts: mounts(files, &args.dirs)?,
                cpus: args.cpus,
                timeout: limit.take().map(config::Duration),
                stdin: true,
                restart,
                ..Default::default()
            };
            (image, wasm::CONFIG_TYPE, json!(config))
        }
        Kind::Containerd => {
            if !args.dirs.is_empty() {
                return Err(member("args.dirs", "can't be given to a container"));
            }
            let config = containerd::Config {
                image: file.to_owned(),
                command: (!args.argv.is_empty()).then_some(args.argv),
                cpus: args.cpus,
                stdin: true,
                restart,
                ..Default::default()
            };
            (file.to_owned(), containerd::CONFIG_TYPE, json!(config))
        }
    };
    let config = config.as_object().cloned().unwrap_or_default();
    let spec = Spec {
        plugin: plugin.to_owned(),
        config_type: config_type.to_owned(),
        config,
        env: args.env,
        image: img_pull::Request {
            image,
            ..Default::default()
        },
        // A program may be another one the next time.
        remove_image: kind == Kind::Wasm,
    };
    let handling = Handling {
        streams: vec![Stream::Stdout, Stream::Stderr],
        piece: PIECE,
        // A program in WebAssembly hears nothing of a stop but the end of its input.
        stop_timeout: (kind == Kind::Wasm).then_some(1),
        ..Handling::default()
    };
    let order = Order {
        id: id.to_owned(),
        spec,
        handling,
        note: note(data),
    };
    Ok(Program { order, limit })
}

/// What is remembered of `data`: not its arguments, which may hold what is nobody's business.
fn note(data: &Map<String, Value>) -> Value {
    let kept = ["index", "uuid", "name", "life"].into_iter();
    let kept = kept.filter_map(|key| Some((key.to_owned(), data.get(key)?.clone())));
    Value::Object(kept.collect())
}

fn member(name: &'static str, reason: &str) -> BadProgram {
    BadProgram::Member(launcher::Error::Member(name, reason.to_owned()))
}

/// The directories that a program sees under their own names.
fn mounts(files: &Path, dirs: &[String]) -> Result<Vec<wasm::Mount>, BadProgram> {
    let mounts = dirs.iter().map(|dir| {
        Ok(wasm::Mount {
            kind: wasm::MountKind::Bind,
            source: located(files, dir)?,
            target: match dir.as_str() {
                "" => ".".to_owned(),
                dir => format!("/{dir}"),
            },
            read_only: false,
        })
    });
    mounts.collect()
}

/// Where `file` really is, which must be below `files`.
fn located(files: &Path, file: &str) -> Result<PathBuf, BadProgram> {
    let missing = || BadProgram::NoFile(file.to_owned(), files.to_owned());
    let root = files.canonicalize().map_err(|_| missing())?;
    let path = root.join(file).canonicalize();
    match path {
        Ok(path) if path.starts_with(&root) => Ok(path),
        Ok(_) => Err(BadProgram::Outside(file.to_owned(), root)),
        Err(_) => Err(missing()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    /// The create of section 4, as the orchestrator forwards it.
    #[test]
    fn a_create_becomes_an_order() {
        let files = tempfile::tempdir().unwrap();
        let root = files.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("wasm")).unwrap();
        std::fs::write(root.join("wasm/hello.wasm"), "").unwrap();
        let data = object(
            json!({"type": "module", "index": 0, "uuid": "77aa", "name": "hello",
            "parent": "9c02", "file": "wasm/hello.wasm", "apis": ["wasm", "wasi"],
            "args": {"argv": ["x"], "env": ["A=1"], "limit": 60.0}, "channels": [], "status": "A"}),
        );
        let made = program(Kind::Wasm, "wasm", &root, "77aa", &data).unwrap();
        let image = format!("file:{}/wasm/hello.wasm", root.display());
        let spec = &made.order.spec;
        assert_eq!(
            Value::Object(spec.config.clone()),
            json!({"image": image, "command": ["x"], "timeout": 60, "stdin": true})
        );
        assert_eq!(spec.env.get("A").map(String::as_str), Some("1"));
        assert_eq!((spec.config_type.as_str(), made.limit), ("wasm", None));
        assert_eq!(
            made.order.note,
            json!({"index": 0, "uuid": "77aa", "name": "hello"})
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("a.wasm"), "").unwrap();
        for (data, word) in [
            (json!({}), "file"),
            (json!({"file": ""}), "file"),
            (json!({"file": "a.wasm", "args": 5}), "args"),
            (
                json!({"file": "a.wasm", "args": {"limit": "soon"}}),
                "args.limit",
            ),
            (
                json!({"file": "a.wasm", "args": {"dirs": [".."]}}),
                "args.dirs",
            ),
        ] {
            let error = program(Kind::Wasm, "wasm", files.path(), "m", &object(data)).unwrap_err();
            let word = format!("{word:?}");
            assert!(error.to_string().starts_with(&word), "{error}");
        }
    }

    #[test]
    fn a_container_has_its_arguments_and_its_limit_is_not_the_plugins() {
        let data = object(
            json!({"file": "busybox", "args": {"argv": ["sh"], "limit": 1.5,
            "fault_crash": "restart", "resources": {"runtime": 5_000_000}}}),
        );
        let none = Path::new("/nowhere");
        let made = program(Kind::Containerd, "containerd", none, "m", &data).unwrap();
        assert_eq!(
            Value::Object(made.order.spec.config),
            json!({"image": "busybox", "command": ["sh"], "cpus": 0.5, "stdin": true,
                "restart": "on-failure"})
        );
        assert_eq!(made.limit, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn nothing_outside_of_the_files_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let files = dir.path().join("files");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(dir.path().join("secret.wasm"), "").unwrap();
        std::os::unix::fs::symlink("../secret.wasm", files.join("link.wasm")).unwrap();
        for file in ["../secret.wasm", "/etc/passwd", "link.wasm"] {
            assert!(
                matches!(located(&files, file), Err(BadProgram::Outside(..))),
                "{file}"
            );
        }
        assert!(matches!(
            located(&files, "none.wasm"),
            Err(BadProgram::NoFile(..))
        ));
        assert!(matches!(
            mounts(&files, &["..".to_owned()]),
            Err(BadProgram::Outside(..))
        ));
    }
}
