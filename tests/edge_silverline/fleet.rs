//! A daemon with its broker, its plugin and its orchestrator, which is the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tempfile::TempDir;
use tests::binaries::program;
use tests::broker::{Broker, Message, Options, Recorder};
use tests::plugin::signal;
use tests::wasm::Wasm;

/// The runtime's uuid.
pub const RT: &str = "RT";

/// The programs of the repository: files in `tests/guests`.
const GUESTS: [&str; 7] = [
    "count", "echo", "exit_0", "exit_7", "forever", "lines", "ticks",
];

/// One runtime and all that it needs.
pub struct Fleet {
    pub broker: Broker,
    /// All that is published by anybody.
    pub heard: Recorder,
    pub wasm: Wasm,
    dir: TempDir,
    dialect: &'static str,
    /// What other plugins find in their environment.
    pub environment: Vec<(String, Option<String>)>,
    daemon: Option<Child>,
    /// How many registrations were answered.
    registrations: usize,
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
        let heard = broker.record("#");
        let dir = tempfile::tempdir().unwrap();
        let repository = dir.path().join("repository");
        for folder in ["wasm", "users/wasm"] {
            let folder = repository.join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            for guest in GUESTS {
                let text =
                    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("guests/{guest}.wat"));
                std::fs::copy(text, folder.join(format!("{guest}.wasm"))).unwrap();
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
        Some(Fleet {
            broker,
            heard,
            wasm: Wasm::new(),
            dir,
            dialect,
            environment: Vec::new(),
            daemon: None,
            registrations: 0,
        })
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
        for (name, value) in self.wasm.environment.iter().chain(&self.environment) {
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
        let file = self.dir.path().join("settings.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let mut settings: Value = serde_json::from_str(&text).unwrap();
        settings[table][key] = value;
        std::fs::write(file, settings.to_string()).unwrap();
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

    /// Tells the daemon to end, and waits until it has.
    pub fn end(&mut self) {
        let mut daemon = self.daemon.take().expect("it runs");
        signal(daemon.id(), rustix::process::Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = daemon.try_wait().unwrap() {
                assert!(status.success(), "{status}: {}", self.log());
                return;
            }
            assert!(Instant::now() < deadline, "it goes on: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the next registration and answers it. Answers the registration.
    pub fn register(&mut self, details: Value) -> Value {
        let topic = self.registration_topic();
        let is_one =
            |message: &&Message| message.topic == topic && message.json()["action"] == "create";
        let number = self.registrations;
        let registration = self.heard.wait("a registration", |messages| {
            messages
                .iter()
                .filter(is_one)
                .nth(number)
                .map(Message::json)
        });
        self.registrations += 1;
        let answer = match self.dialect {
            "sideload" => "arts_resp",
            _ => "resp",
        };
        // Without an action, as the orchestrator of 2023 answers.
        let answer = json!({"object_id": registration["object_id"], "type": answer,
            "data": {"result": "ok", "details": details}});
        self.broker.publish(topic, answer.to_string());
        registration
    }

    pub fn registration_topic(&self) -> &'static str {
        match self.dialect {
            "sideload" => "realm/proc/reg",
            "applauncher" => "realm/g/public/p/RT",
            _ => "realm/proc/reg/RT",
        }
    }

    /// Where requests go.
    pub fn control(&self) -> &'static str {
        match self.dialect {
            "applauncher" => "realm/s/public/default/p/RT/x",
            _ => "realm/proc/control/RT",
        }
    }

    fn request_type(&self) -> &'static str {
        match self.dialect {
            "sideload" => "arts_req",
            _ => "req",
        }
    }

    /// A request for a module that runs a guest, as the dialect's orchestrator writes it.
    pub fn request(&self, object_id: &str, uuid: &str, guest: &str) -> Value {
        let data = match self.dialect {
            "manager" => {
                json!({"type": "module", "index": 12, "uuid": uuid, "name": format!("name-{uuid}"),
                "parent": RT, "file": format!("wasm/{guest}.wasm"), "apis": ["wasm", "wasi"],
                "args": {"argv": ["x"], "env": ["A=1"], "limit": 600.0}, "channels": [], "status": "A"})
            }
            "sideload" => {
                json!({"type": "module", "uuid": uuid, "name": format!("name-{uuid}"), "parent": RT,
                "filename": format!("wasm/{guest}.wasm"), "filetype": "WA", "args": ["x"]})
            }
            _ => {
                json!({"type": "module", "uuid": uuid, "name": format!("name-{uuid}"), "parent": "aruntime",
                "file": format!("{guest}.wasm"), "location": "wasm", "filetype": "WA",
                "apis": ["wasm:wasi_preview_1"], "args": ["x"], "env": ["NAMESPACE=ns1", "SCENE=sc1"]})
            }
        };
        json!({"object_id": object_id, "action": "create", "type": self.request_type(), "data": data})
    }

    /// Asks for a module that runs a guest.
    pub fn create(&self, uuid: &str, guest: &str) {
        let request = self.request(&format!("create-{uuid}"), uuid, guest);
        self.broker.publish(self.control(), request.to_string());
    }

    /// Asks for the end of a module.
    pub fn delete(&self, object_id: &str, module: &str) {
        let request = json!({"object_id": object_id, "action": "delete", "type": self.request_type(),
            "data": {"type": "module", "uuid": module}});
        self.broker.publish(self.control(), request.to_string());
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
