//! What the object that creates a module means for a plugin: which program, with which arguments,
//! environment, directories and limits.
//!
//! `args` is an object, or a list (the orchestrator makes `[]` of nothing), or one text, or not there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{json, Map, Value};
use shellrt_api::v0::config::{self, containerd, wasm, Restart};
use shellrt_api::v0::img_pull;
use shellrt_api::v0::logs::Stream;

use crate::order::{Handling, Order, Spec};

/// How much of a module's output goes out at once, in bytes, as upstream's own runtime does it.
const PIECE: usize = 4096;

/// The period of a `resources` that names none, in nanoseconds.
const PERIOD: f64 = 10_000_000.0;

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
    #[error("{0:?} must be {1}")]
    Member(&'static str, &'static str),
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
    let file = file.ok_or(BadProgram::Member("file", "the program's file"))?;
    let args = Args::of(data.get("args"))?;
    let mut limit = args.limit;
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
                restart: args.restart,
                ..Default::default()
            };
            (image, wasm::CONFIG_TYPE, json!(config))
        }
        Kind::Containerd => {
            if !args.dirs.is_empty() {
                return Err(BadProgram::Member("args.dirs", "empty for a container"));
            }
            let config = containerd::Config {
                image: file.to_owned(),
                command: (!args.argv.is_empty()).then_some(args.argv),
                cpus: args.cpus,
                stdin: true,
                restart: args.restart,
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

/// The member `args`.
#[derive(Debug, Default, PartialEq)]
struct Args {
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    dirs: Vec<String>,
    limit: Option<Duration>,
    restart: Restart,
    cpus: Option<f64>,
}

impl Args {
    fn of(args: Option<&Value>) -> Result<Args, BadProgram> {
        let args = match args {
            None | Some(Value::Null) => return Ok(Args::default()),
            Some(Value::Object(args)) => args,
            Some(list) => {
                let argv = texts(Some(list), "args")?;
                return Ok(Args {
                    argv,
                    ..Args::default()
                });
            }
        };
        let restart = match args.get("fault_crash").map(Value::as_str) {
            None | Some(Some("ignore")) => Restart::No,
            Some(Some("restart")) => Restart::OnFailure { max: None },
            Some(_) => {
                return Err(BadProgram::Member(
                    "args.fault_crash",
                    "\"ignore\" or \"restart\"",
                ))
            }
        };
        Ok(Args {
            argv: texts(args.get("argv"), "args.argv")?,
            env: env(&texts(args.get("env"), "args.env")?)?,
            dirs: texts(args.get("dirs"), "args.dirs")?,
            limit: limit(args.get("limit"))?,
            restart,
            cpus: cpus(args.get("resources"))?,
        })
    }
}

/// A list of texts, or one text, or nothing.
fn texts(value: Option<&Value>, member: &'static str) -> Result<Vec<String>, BadProgram> {
    let bad = || BadProgram::Member(member, "a list of texts");
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(Value::Array(list)) => {
            let texts = list.iter().map(|item| match item {
                Value::String(text) => Ok(text.clone()),
                Value::Number(number) => Ok(number.to_string()),
                _ => Err(bad()),
            });
            texts.collect()
        }
        Some(_) => Err(bad()),
    }
}

fn env(list: &[String]) -> Result<BTreeMap<String, String>, BadProgram> {
    let pairs = list.iter().map(|item| {
        let (name, value) = item.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    });
    let env: Option<_> = pairs.collect();
    env.ok_or(BadProgram::Member("args.env", "a list of NAME=VALUE"))
}

fn limit(value: Option<&Value>) -> Result<Option<Duration>, BadProgram> {
    let bad = BadProgram::Member("args.limit", "a number of seconds above 0");
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let seconds = value.as_f64().filter(|seconds| *seconds > 0.0);
            let limit = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            limit.map(Some).ok_or(bad)
        }
    }
}

fn cpus(value: Option<&Value>) -> Result<Option<f64>, BadProgram> {
    let bad = BadProgram::Member("args.resources", "{\"period\": ns, \"runtime\": ns}");
    let resources = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(resources)) if resources.is_empty() => return Ok(None),
        Some(Value::Object(resources)) => resources,
        Some(_) => return Err(bad),
    };
    let period = match resources.get("period") {
        None => Some(PERIOD),
        Some(period) => period.as_f64().filter(|period| *period > 0.0),
    };
    let runtime = resources.get("runtime").and_then(Value::as_f64);
    let runtime = runtime.filter(|runtime| *runtime > 0.0);
    match (period, runtime) {
        (Some(period), Some(runtime)) => Ok(Some(runtime / period)),
        _ => Err(bad),
    }
}

/// The directories that a program sees under their own names: `DIR`, or `NAME::DIR` for another one.
fn mounts(files: &Path, dirs: &[String]) -> Result<Vec<wasm::Mount>, BadProgram> {
    let mounts = dirs.iter().map(|dir| {
        let (target, dir) = dir.split_once("::").unwrap_or((dir, dir));
        let target = match target {
            "." => target.to_owned(),
            target => format!("/{}", target.trim_start_matches(['/', '.'])),
        };
        Ok(wasm::Mount {
            kind: wasm::MountKind::Bind,
            source: located(files, dir)?,
            target,
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

    fn args(value: Value) -> Result<Args, BadProgram> {
        Args::of(Some(&value))
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
            json!({"image": image, "command": ["x"], "timeout": 60.0, "stdin": true})
        );
        assert_eq!(spec.env, BTreeMap::from([("A".to_owned(), "1".to_owned())]));
        assert_eq!((spec.config_type.as_str(), made.limit), ("wasm", None));
        assert_eq!(
            made.order.note,
            json!({"index": 0, "uuid": "77aa", "name": "hello"})
        );
    }

    #[test]
    fn args_come_in_four_shapes() {
        let argv = |list: &[&str]| Args {
            argv: list.iter().map(|arg| (*arg).to_owned()).collect(),
            ..Args::default()
        };
        assert_eq!(Args::of(None), Ok(argv(&[])));
        assert_eq!(args(json!(null)), Ok(argv(&[])));
        assert_eq!(args(json!([])), Ok(argv(&[])));
        assert_eq!(args(json!(["a", "b c"])), Ok(argv(&["a", "b c"])));
        assert_eq!(args(json!("a b")), Ok(argv(&["a b"])));
        assert_eq!(args(json!({"argv": ["a", 3]})), Ok(argv(&["a", "3"])));
    }

    #[test]
    fn what_it_is_allowed() {
        let all = args(json!({"fault_crash": "restart", "limit": 1.5,
            "resources": {"period": 20_000_000, "runtime": 5_000_000}}));
        let wanted = Args {
            limit: Some(Duration::from_millis(1500)),
            restart: Restart::OnFailure { max: None },
            cpus: Some(0.25),
            ..Args::default()
        };
        assert_eq!(all, Ok(wanted));
        let half = args(json!({"resources": {"runtime": 5_000_000}})).unwrap();
        assert_eq!(half.cpus, Some(0.5));
    }

    #[test]
    fn bad_args_are_named() {
        for (value, member) in [
            (json!(5), "args"),
            (json!({"argv": [["a"], ["b"]]}), "args.argv"),
            (json!({"env": ["A"]}), "args.env"),
            (json!({"env": ["=1"]}), "args.env"),
            (json!({"limit": "soon"}), "args.limit"),
            (json!({"limit": -1}), "args.limit"),
            (json!({"limit": 1e300}), "args.limit"),
            (json!({"fault_crash": "x"}), "args.fault_crash"),
            (
                json!({"resources": {"period": 0, "runtime": 1}}),
                "args.resources",
            ),
        ] {
            match args(value.clone()) {
                Err(BadProgram::Member(found, _)) => assert_eq!(found, member),
                other => panic!("{value} => {other:?}"),
            }
        }
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
            mounts(&files, &["tmp::..".to_owned()]),
            Err(BadProgram::Outside(..))
        ));
    }
}
