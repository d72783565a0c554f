//! A daemon with its broker, its plugin and its orchestrator, which is the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tempfile::TempDir;
use tests::binaries::program;
use tests::broker::{Broker, Message, Options, Recorder};
use tests::image::Image;
use tests::plugin::{signal, until, Plugin};
use tests::registry::{self, Registry};
use tests::shellrt::Shellrt;
use tests::wasm::Wasm;

/// The runtime's uuid.
pub const RT: &str = "RT";

/// Where a program's files are in its container.
const WORKDIR: &str = "/usr/src/app";

/// The programs of the repository: files in `tests/guests`, for WebAssembly and for a shell.
const GUESTS: [&str; 8] = [
    "count", "echo", "exit_0", "exit_7", "forever", "lines", "spin", "ticks",
];

/// What the daemon logs when it has read its settings again.
const RELOADED: &str = "the settings are read again";

/// What modules are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// WebAssembly, in `shellrt-wasm`.
    Wasm,
    /// Containers of `shellrt-containerd`, with a containerd of the test's own. A shell stands in for
    /// Python.
    Container,
}

/// A containerd, its plugin, and the registry that it pulls from.
struct Containers {
    shellrt: Shellrt,
    _registry: Registry,
}

/// One runtime and all that it needs.
pub struct Fleet {
    pub broker: Broker,
    /// All that is published by anybody.
    pub heard: Recorder,
    pub wasm: Wasm,
    containers: Option<Containers>,
    dir: TempDir,
    pub dialect: &'static str,
    daemon: Option<Child>,
    /// How many registrations were answered.
    pub registrations: usize,
}

impl Fleet {
    /// A runtime in `dialect`, registered; nothing where there is no broker to be had. `runtime` are more
    /// of its settings.
    pub fn start(dialect: &'static str, runtime: Value) -> Option<Fleet> {
        let mut fleet = Fleet::prepare(dialect, runtime, json!({}))?;
        fleet.run();
        fleet.register(json!({"uuid": RT}));
        Some(fleet)
    }

    /// The same without running it. `launcher` are more settings.
    pub fn prepare(dialect: &'static str, runtime: Value, launcher: Value) -> Option<Fleet> {
        let broker = Broker::start(&Options::default())?;
        Some(Fleet::below(broker, dialect, runtime, launcher))
    }

    /// The same, and its modules are of this kind; nothing where these can't be run.
    pub fn of(kind: Kind, dialect: &'static str, runtime: Value) -> Option<Fleet> {
        if kind == Kind::Wasm {
            return Fleet::prepare(dialect, runtime, json!({}));
        }
        let shellrt = Shellrt::start()?;
        let registry = Registry::start(&registry::Options::default())?;
        let image = Image::busybox().push(&registry, "runner", "1");
        let python = json!({"cmd": "sh", "docker": {"image": image, "workdir": WORKDIR,
            "run_opts": {"auto_remove": true, "network_mode": "host"}}});
        let mut fleet = Fleet::prepare(dialect, runtime, json!({"PY": python}))?;
        let plugins =
            json!({"wasm": program("shellrt-wasm"), "containerd": program("shellrt-containerd")});
        fleet.set("edge", "plugins", plugins);
        fleet.containers = Some(Containers {
            shellrt,
            _registry: registry,
        });
        Some(fleet)
    }

    /// A runtime below a broker, not running yet.
    pub fn below(broker: Broker, dialect: &'static str, runtime: Value, launcher: Value) -> Fleet {
        let heard = broker.record("#");
        let dir = tempfile::tempdir().unwrap();
        let repository = dir.path().join("repository");
        for folder in ["wasm", "users/wasm"] {
            let folder = repository.join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            for guest in GUESTS {
                let text =
                    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("guests/{guest}.wat"));
                std::fs::copy(&text, folder.join(format!("{guest}.wasm"))).unwrap();
                let script = text.with_extension("sh");
                std::fs::copy(script, folder.join(format!("{guest}.py"))).unwrap();
            }
        }
        let mut settings = json!({
            "version": 0.1,
            "dialect": dialect,
            "runtime": {"name": "aruntime", "uuid": RT, "reg_attempts": 0, "reg_timeout_seconds": 30},
            "mqtt": {"host": "127.0.0.1", "port": broker.port(), "ssl": false},
            "repository": {"url": repository},
            "launcher": launcher,
            "edge": {
                "state_dir": dir.path().join("state"),
                "plugins": {"wasm": program("shellrt-wasm"), "containerd": null},
                "shutdown_timeout_sec": 20,
            },
        });
        for (key, value) in runtime.as_object().unwrap() {
            settings["runtime"][key] = value.clone();
        }
        // JSON is YAML.
        std::fs::write(dir.path().join("settings.yaml"), settings.to_string()).unwrap();
        Fleet {
            broker,
            heard,
            wasm: Wasm::new(),
            containers: None,
            dir,
            dialect,
            daemon: None,
            registrations: 0,
        }
    }

    /// The plugin that has the modules.
    pub fn plugin(&self) -> &Plugin {
        match &self.containers {
            Some(containers) => &containers.shellrt,
            None => &self.wasm,
        }
    }

    /// The names of the modules of all plugins, sorted.
    pub fn modules(&self) -> Vec<String> {
        let containers = self.containers.as_ref().map(|it| &*it.shellrt);
        let plugins = [Some(&*self.wasm), containers].into_iter().flatten();
        let listed = plugins.flat_map(|plugin| {
            let answer = plugin.ok(&json!({"_type": "list"}));
            answer["modules"].as_array().unwrap().clone()
        });
        let mut names: Vec<String> = listed
            .map(|name| name.as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    /// What containers have left behind.
    pub fn left_of_containers(&self) -> Vec<String> {
        let containers = self.containers.as_ref().expect("there are some");
        containers.shellrt.containerd.left_of_modules()
    }

    /// The file of a guest: one of the fleet's kind, unless it says of which it is.
    pub fn file(&self, guest: &str) -> String {
        match (guest.contains('.'), &self.containers) {
            (true, _) => guest.to_owned(),
            (false, None) => format!("{guest}.wasm"),
            (false, Some(_)) => format!("{guest}.py"),
        }
    }

    /// Starts the daemon.
    pub fn run(&mut self) {
        assert!(self.daemon.is_none(), "it runs");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .unwrap();
        let mut command = Command::new(program("shellrt-edged"));
        command
            .args(["silverline", "--log-level", "debug", "--config"])
            .arg(self.dir.path());
        let containers = self.containers.iter();
        let containers = containers.flat_map(|it| &it.shellrt.environment);
        for (name, value) in self.wasm.environment.iter().chain(containers) {
            command.env(name, value.as_ref().unwrap());
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.daemon = Some(child.unwrap());
    }

    /// Changes the settings, which the next daemon reads.
    pub fn set(&self, table: &str, key: &str, value: Value) {
        self.change(|settings| settings[table][key] = value);
    }

    /// Changes a whole table of them.
    pub fn set_all(&self, table: &str, value: Value) {
        self.change(|settings| settings[table] = value);
    }

    fn change(&self, change: impl FnOnce(&mut Value)) {
        let file = self.folder().join("settings.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let mut settings: Value = serde_json::from_str(&text).unwrap();
        change(&mut settings);
        std::fs::write(file, settings.to_string()).unwrap();
    }

    /// The folder of the settings.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// The folder that programs come from.
    pub fn repository(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// What the daemons have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Kills the daemon.
    pub fn kill(&mut self) {
        let mut daemon = self.daemon.take().expect("it runs");
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    /// Tells the daemon to read its settings again.
    pub fn hang_up(&self) {
        let daemon = self.daemon.as_ref().expect("it runs");
        signal(daemon.id(), rustix::process::Signal::HUP);
    }

    /// The same, and waits until it has.
    pub fn reload(&self) {
        let before = self.log().matches(RELOADED).count();
        self.hang_up();
        until("the settings are read again", || {
            self.log().matches(RELOADED).count() > before
        });
    }

    /// Tells the daemon to end, and waits until it has.
    pub fn end(&mut self) {
        let daemon = self.daemon.as_ref().expect("it runs");
        signal(daemon.id(), rustix::process::Signal::TERM);
        let status = self.ended();
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Waits until the daemon has ended.
    pub fn ended(&mut self) -> ExitStatus {
        let mut daemon = self.daemon.take().expect("it runs");
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = daemon.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it goes on: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What was published about a module on a topic, from the beginning, as text.
    pub fn output(&self, topic: &str) -> String {
        let messages = self.heard.on(topic);
        messages
            .iter()
            .map(|message| message.text().to_owned())
            .collect()
    }

    /// Waits until so many ends of modules were reported in the runtime manager's dialect; answers their
    /// uuids, in their order.
    pub fn wait_for_exits(&self, count: usize) -> Vec<String> {
        self.heard.wait(&format!("{count} ends"), |messages| {
            let exits = exits(messages);
            (exits.len() >= count).then_some(exits)
        })
    }

    /// The ends that were reported so far in that dialect.
    pub fn exits(&self) -> Vec<String> {
        exits(&self.heard.messages())
    }

    /// Waits for the first JSON message on `topic` that `is_it`.
    pub fn wait(&self, what: &str, topic: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        self.heard.wait(what, |messages| {
            let on = messages.iter().filter(|message| message.topic == topic);
            let mut read = on.filter_map(|message| serde_json::from_slice(&message.payload).ok());
            read.find(|value| is_it(value))
        })
    }

    /// Waits until a module writes, in a dialect whose output is JSON: in how many pieces, the kernel decides.
    pub fn wait_for_text(&self, topic: &str, text: &str) {
        self.heard
            .wait(&format!("{text:?} on {topic:?}"), |messages| {
                let on = messages.iter().filter(|message| message.topic == topic);
                let all: String = on.map(said).collect();
                all.contains(text).then_some(())
            });
    }

    /// Waits until a module writes.
    pub fn wait_for_output(&self, topic: &str, text: &str) {
        self.heard
            .wait(&format!("{text:?} on {topic:?}"), |messages| {
                let on = messages.iter().filter(|message| message.topic == topic);
                let all: String = on
                    .map(|message| String::from_utf8_lossy(&message.payload).into_owned())
                    .collect();
                all.contains(text).then_some(())
            });
    }
}

/// The text of a message that is a string of JSON.
pub fn said(message: &Message) -> String {
    let text: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
    text.as_str().unwrap_or_default().to_owned()
}

fn exits(messages: &[Message]) -> Vec<String> {
    let on = messages
        .iter()
        .filter(|message| message.topic == "realm/proc/control/RT");
    let read = on.filter_map(|message| serde_json::from_slice::<Value>(&message.payload).ok());
    read.filter(|message| message["action"] == "exited")
        .map(|message| message["data"]["uuid"].as_str().unwrap().to_owned())
        .collect()
}

impl Drop for Fleet {
    #[allow(clippy::print_stderr, reason = "that is where a failed test says more")]
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            // It may have ended already.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
