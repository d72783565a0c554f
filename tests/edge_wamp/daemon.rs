//! `shellrt-edged wamp` with directories of its own, and the component that it runs.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};
use serde_json::{json, Value};
use tests::binaries::{program, target_dir};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Directories and settings.
pub struct Place {
    /// For files of the test's.
    pub dir: tempfile::TempDir,
    /// Whether the plugin's state is the place's own; a program in Python takes a quarter of a minute to
    /// compile, so it is shared where nothing else is asked for.
    pub wasm_root: PathBuf,
}

impl Place {
    /// A place with the settings file `wamp.yaml` that names the component `python`. Nothing where CPython
    /// is not there as a program.
    pub fn new() -> Option<Place> {
        let python = target_dir().join("programs/python.wasm");
        if !python.exists() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "python.wasm is not there"
            );
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("edge_wamp");
        let mut components = serde_json::Map::new();
        for name in ["python", "second"] {
            let component = json!({
                "plugin": "wasm", "image": python, "command": ["/app/component.py"],
                "mounts": [{"type": "bind", "source": app, "target": "/app"}],
            });
            components.insert(name.to_owned(), component);
        }
        let settings = json!({
            "edge": {"state_dir": dir.path().join("state")},
            "stop_grace_sec": 20,
            "components": components,
        });
        std::fs::write(dir.path().join("wamp.yaml"), settings.to_string()).unwrap();
        Some(Place {
            dir,
            wasm_root: target_dir().join("tmp/edge_wamp"),
        })
    }

    /// Changes the settings file.
    pub fn set(&self, change: impl FnOnce(&mut Value)) {
        let path = self.dir.path().join("wamp.yaml");
        let mut settings = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut settings);
        std::fs::write(path, settings.to_string()).unwrap();
    }

    /// The extra file with this in it.
    pub fn extra(&self, extra: &Value) -> String {
        let path = self.dir.path().join("extra.json");
        std::fs::write(&path, extra.to_string()).unwrap();
        path.display().to_string()
    }

    /// The program `echo.c` of the examples, compiled.
    pub fn echo(&self) -> Option<PathBuf> {
        self.compile("../shellrt-edge/examples/wamp/echo.c")
    }

    /// A program in C, compiled.
    pub fn compile(&self, source: &str) -> Option<PathBuf> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
        let wasm = self.dir.path().join(source.file_name().unwrap());
        let wasm = wasm.with_extension("wasm");
        let compiled = Command::new("clang")
            .args(["--target=wasm32-wasi", "-O2", "-o"])
            .arg(&wasm)
            .arg(source)
            .status();
        compiled
            .is_ok_and(|status| status.success())
            .then_some(wasm)
    }

    /// Starts the daemon.
    pub fn daemon(&self, arguments: &[&str]) -> Daemon {
        self.daemon_with(arguments, &[])
    }

    /// Starts the daemon with more variables.
    pub fn daemon_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Daemon {
        let daemon = program("shellrt-edged");
        let beside = daemon.parent().unwrap().display().to_string();
        let mut child = Command::new(&daemon)
            .arg("wamp")
            .args(["--config", "wamp.yaml"])
            .args(arguments)
            .current_dir(self.dir.path())
            .env(
                "PATH",
                format!("{beside}:{}", std::env::var("PATH").unwrap()),
            )
            .env("SHELLRT_WASM_ROOT", &self.wasm_root)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = BufReader::new(child.stderr.take().unwrap());
        let heard = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                heard.lock().unwrap().push(line);
            }
        });
        Daemon {
            child,
            lines,
            reader: Some(reader),
        }
    }
}

/// A daemon. It runs until it ends or is dropped.
pub struct Daemon {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Daemon {
    /// How often its log says `text`.
    pub fn says(&self, text: &str) -> usize {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until its log has said `text` so often.
    pub fn wait(&mut self, text: &str, times: usize) {
        let begin = Instant::now();
        while self.says(text) < times {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() || self.says(text) >= times,
                "{ended:?}: {}",
                self.log()
            );
            assert!(begin.elapsed() < PATIENCE, "no {text:?}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The most memory that it has taken, in bytes.
    pub fn peak(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() << 10
    }

    /// Its log.
    pub fn log(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Has it end, and returns its status.
    pub fn end(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.status()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.unwrap(), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub fn status(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                if let Some(reader) = self.reader.take() {
                    reader.join().unwrap();
                }
                return status;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "it does not end: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_some() {
            return;
        }
        // Its modules go with it, because their plugin's state is shared.
        self.signal(Signal::TERM);
        let begin = Instant::now();
        while self.child.try_wait().unwrap().is_none() && begin.elapsed() < PATIENCE / 4 {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The names of all modules that the plugin with this state knows and whose name contains `part`.
pub fn modules(wasm_root: &Path, part: &str) -> Vec<String> {
    use std::io::Write;
    let mut child = Command::new(program("shellrt-wasm"))
        .env("SHELLRT_WASM_ROOT", wasm_root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let request = json!({"_version": "0.1.0", "_type": "list"});
    write!(child.stdin.take().unwrap(), "{request}").unwrap();
    let output = child.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names = answer["modules"].as_array().cloned().unwrap_or_default();
    let names = names.iter().filter_map(|name| name.as_str());
    names
        .filter(|name| name.contains(part))
        .map(str::to_owned)
        .collect()
}
