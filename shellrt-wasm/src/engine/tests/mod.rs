//! Whole runs: a program as text is compiled, mapped and run in this process.

mod child;
mod core;
mod files;
mod http;
mod inspection;
mod network;
mod preview2;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use serde_json::{json, Value};
use shellrt_api::v0::config::wasm::Config;
use shellrt_api::v0::logs::Stream;
use shellrt_api::v0::status;

use super::{check_config, compile, inspect, run};
use super::{End, Kind, Output, Program, Settings, StartError, Tuning};

/// What a program wrote, in order.
#[derive(Default)]
struct Kept(Mutex<Vec<(Stream, Vec<u8>)>>);

impl Output for Kept {
    fn write(&self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        assert!(!bytes.is_empty());
        self.0.lock().unwrap().push((stream, bytes.to_vec()));
        Ok(())
    }
}

impl Kept {
    fn text(&self, wanted: Stream) -> String {
        let mut text = Vec::new();
        for (stream, bytes) in &*self.0.lock().unwrap() {
            if *stream == wanted {
                text.extend_from_slice(bytes);
            }
        }
        String::from_utf8(text).unwrap()
    }
}

/// A run to be set up.
struct Trial {
    folder: tempfile::TempDir,
    cwasm: PathBuf,
    kind: Kind,
    config: Config,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    stdin: Option<OwnedFd>,
    gauge: Option<&'static AtomicU64>,
    output: Arc<Kept>,
}

impl Trial {
    /// Compiles a program, and writes it where it can be mapped.
    fn new(wasm: &[u8], config: Value) -> Trial {
        let mut config = config;
        config["image"] = "i".into();
        let config: Config = serde_json::from_value(config).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cwasm = folder.path().join("p.cwasm");
        let kind = inspect(wasm).unwrap().kind;
        check_config(kind, &config).unwrap();
        let compiled = compile(
            wasm,
            Tuning {
                fuel: config.fuel.is_some(),
            },
        )
        .unwrap();
        std::fs::write(&cwasm, compiled).unwrap();
        let output = Arc::default();
        let (args, env) = Default::default();
        Trial {
            folder,
            cwasm,
            kind,
            config,
            args,
            env,
            stdin: None,
            gauge: None,
            output,
        }
    }

    fn of_text(wat: &str, config: Value) -> Trial {
        Trial::new(&wat::parse_str(wat).unwrap(), config)
    }

    fn args(mut self, args: &[&str]) -> Trial {
        self.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        self
    }

    fn start(&mut self, ready: impl FnOnce() -> io::Result<()>) -> Result<End, StartError> {
        let tuning = Tuning {
            fuel: self.config.fuel.is_some(),
        };
        let program = Program {
            cwasm: &self.cwasm,
            kind: self.kind,
            tuning,
            name: "p",
        };
        let settings = Settings {
            config: &self.config,
            env: &self.env,
            args: &self.args,
            stdin: self.stdin.take(),
            memory_gauge: self.gauge,
        };
        run(program, settings, self.output.clone(), ready)
    }

    /// Runs it and demands that it was told to be ready, once.
    fn end(&mut self) -> End {
        let mut calls = 0;
        let result = self.start(|| {
            calls += 1;
            Ok(())
        });
        let end = result.unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(calls, 1);
        end
    }

    /// Runs it and demands that it was not ready.
    fn error(&mut self) -> StartError {
        self.start(|| panic!("ready")).unwrap_err()
    }

    fn stdout(&self) -> String {
        self.output.text(Stream::Stdout)
    }

    fn stderr(&self) -> String {
        self.output.text(Stream::Stderr)
    }
}

fn exited(code: i64) -> impl Fn(&End) -> bool {
    move |end| end.end == status::End::Exited && end.exit_code == code
}

/// Builds a program from Rust, once. `None`, said on stderr, where the target is not installed.
#[allow(
    clippy::print_stderr,
    reason = "this is how a test says that it was ignored"
)]
fn from_rust(source: &str, target: &str) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("p.rs"), folder.path().join("p.wasm"));
    std::fs::write(&input, source).unwrap();
    let mut rustc = Command::new("rustc");
    rustc.args([
        "--edition",
        "2021",
        "-O",
        "-C",
        "strip=symbols",
        "--target",
        target,
    ]);
    let built = rustc.arg("-o").args([&output, &input]).output();
    match built {
        Ok(built) if built.status.success() => Some(std::fs::read(output).unwrap()),
        Ok(built) => {
            let words = String::from_utf8_lossy(&built.stderr).into_owned();
            assert!(words.contains("target may not be installed"), "{words}");
            eprintln!("ignored: rustup target add {target}");
            None
        }
        Err(error) => {
            eprintln!("ignored: no rustc: {error}");
            None
        }
    }
}

/// A config that mounts `source` at `/m`.
fn mount(source: &Path, read_only: bool) -> Value {
    json!({"mounts": [{"type": "bind", "source": source, "target": "/m", "read_only": read_only}]})
}
