//! A machine with a broker and a runtime manager, and the test in the orchestrator's place: its messages are
//! those that were seen, member by member.

use std::path::Path;
use std::process::Command;

use serde_json::{json, Value};
use tests::binaries::program;
use tests::broker::{Broker, Message, Options, Recorder};
use tests::wasm::Wasm;

use crate::process::Process;

/// The manager's uuid.
pub const MANAGER: &str = "6e1f";

/// The broker, the directories, and what the broker has passed on.
pub struct Site {
    pub broker: Broker,
    pub heard: Recorder,
    pub wasm: Wasm,
    pub dir: tempfile::TempDir,
    pub config: Value,
}

impl Site {
    /// A broker, and the settings of a manager; nothing where there is no broker to run.
    pub fn new() -> Option<Site> {
        Site::with(&Options::default())
    }

    /// The same with another broker.
    pub fn with(options: &Options) -> Option<Site> {
        let broker = Broker::start(options)?;
        let heard = broker.record("#");
        let dir = tempfile::tempdir().unwrap();
        let child = Path::new(env!("CARGO_MANIFEST_DIR")).join("edge_runtimes/child.py");
        let runtime = |header: u8| {
            let (child, dir) = (child.display(), dir.path().display());
            json!({
                "command": format!("LANG=C python3 {child} {dir}/sl {header}"),
                "apis": ["test"],
                "max_nmodules": 2,
                "short_name": "py",
                "profile": "benchmarking",
                "header": header,
            })
        };
        let config = json!({
            "mqtt": "127.0.0.1",
            "mqtt_port": broker.port(),
            "platform": {"cpu": {"cores": 2}},
            "uuid": MANAGER,
            "socket_dir": dir.path().join("sl"),
            "files": dir.path(),
            "runtimes": {"test/python": runtime(6), "test/old": runtime(4)},
            "edge": {
                "state_dir": dir.path().join("state"),
                "plugins": {"wasm": program("shellrt-wasm")},
            },
        });
        Some(Site {
            broker,
            heard,
            wasm: Wasm::new(),
            dir,
            config,
        })
    }

    /// Starts the manager with runtimes of these types.
    pub fn start(&self, types: &[&str]) -> Process {
        self.start_with(types, &[])
    }

    /// The same with more arguments.
    pub fn start_with(&self, types: &[&str], more: &[&str]) -> Process {
        let config = self.dir.path().join("config.json");
        std::fs::write(&config, self.config.to_string()).unwrap();
        let mut command = Command::new(program("shellrt-edged"));
        command.args(["manager", "-n", "edge1", "-v", "10", "-c"]);
        command.arg(config);
        command.arg("-l").arg(self.dir.path().join("logs"));
        command.arg("-r").args(types).args(more);
        for (name, value) in &self.wasm.environment {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        Process::start(command)
    }

    /// Answers the registration with this number, counted from 0, of who has this name. Returns what was
    /// said.
    pub fn register(&self, name: &str, number: usize) -> Value {
        let (topic, said) = self.registration(name, number);
        self.broker.publish(&topic, answer(&said).to_string());
        said
    }

    /// Waits for a registration: its topic, and what was said.
    pub fn registration(&self, name: &str, number: usize) -> (String, Value) {
        let what = format!("registration {number} of {name}");
        self.heard.wait(&what, |messages| {
            let mut creates = messages.iter().filter_map(|message| {
                let is_registration = message.topic.starts_with("realm/proc/reg/");
                let said = is_registration.then(|| json_of(message))?;
                let is_it = said["action"] == "create" && said["data"]["name"] == name;
                is_it.then(|| (message.topic.clone(), said))
            });
            creates.nth(number)
        })
    }

    /// Registers the manager and its only runtime, which has the same name; answers the runtime's uuid.
    pub fn register_all(&self) -> String {
        self.register("edge1", 0);
        uuid(&self.register("edge1", 1))
    }

    /// Creates a module as the orchestrator forwards it.
    pub fn create(&self, runtime: &str, uuid: &str, file: &str) {
        let create = create(runtime, uuid, file);
        let topic = format!("realm/proc/control/{runtime}");
        self.broker.publish(&topic, create.to_string());
    }

    /// Creates a module in Python, and waits until it listens. Returns what it was given.
    pub fn created(&self, runtime: &str, uuid: &str) -> Value {
        let before = self.heard.on(&stdio(uuid)).len();
        self.create(runtime, uuid, "f");
        self.heard.wait_for_nth(&stdio(uuid), before).json()
    }

    /// Says something to a module in Python, and waits until it has done that.
    pub fn done(&self, module: &str, line: &str) {
        self.tell(module, line);
        self.said(module, &format!("done: {line}"));
    }

    /// Deletes a module as the orchestrator forwards it.
    pub fn delete(&self, runtime: &str, uuid: &str) {
        let delete = json!({"object_id": "o-6", "action": "delete", "type": "req",
            "data": {"type": "module", "uuid": uuid}});
        let topic = format!("realm/proc/control/{runtime}");
        self.broker.publish(&topic, delete.to_string());
    }

    /// Says something to a module of the runtime in Python.
    pub fn tell(&self, module: &str, line: &str) {
        self.broker.publish(&stdio(module), line);
    }

    /// Waits until a module has published this on its stdout.
    pub fn said(&self, module: &str, text: &str) {
        let topic = stdio(module);
        self.heard
            .wait(&format!("{text:?} of {module}"), |messages| {
                let mut on = messages.iter().filter(|message| message.topic == topic);
                on.find(|message| message.payload == text.as_bytes())
                    .map(drop)
            });
    }

    /// Waits for the report of a module's end.
    pub fn exited(&self, runtime: &str, module: &str) -> Value {
        let topic = format!("realm/proc/control/{runtime}");
        self.heard
            .wait(&format!("the end of {module}"), |messages| {
                let mut on = messages.iter().filter(|message| message.topic == topic);
                on.find_map(|message| {
                    let said = json_of(message);
                    let is_it = said["action"] == "exited" && said["data"]["uuid"] == module;
                    is_it.then_some(said)
                })
            })
    }

    /// Waits until somebody's deletion was published.
    pub fn unregistered(&self, uuid: &str) -> Value {
        let topic = format!("realm/proc/reg/{uuid}");
        self.heard
            .wait(&format!("the deletion of {uuid}"), |messages| {
                let mut on = messages.iter().filter(|message| message.topic == topic);
                on.find_map(|message| {
                    let said = json_of(message);
                    (said["action"] == "delete").then_some(said)
                })
            })
    }
}

/// A message as JSON, where it is some.
fn json_of(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).unwrap_or_default()
}

/// The topic of a module's stdin and stdout.
pub fn stdio(module: &str) -> String {
    format!("realm/proc/stdio/{module}")
}

/// Whose registration it is.
pub fn uuid(said: &Value) -> String {
    said["data"]["uuid"].as_str().unwrap().to_owned()
}

/// The orchestrator's answer to a registration.
pub fn answer(said: &Value) -> Value {
    let mut details = said["data"].clone();
    details["status"] = json!("A");
    if said["data"]["type"] == "runtime" {
        details["ka_interval_sec"] = json!(60);
    }
    details.as_object_mut().unwrap().remove("type");
    json!({"object_id": said["object_id"], "type": "resp",
        "data": {"result": "ok", "details": details}})
}

/// A create as the orchestrator forwards it.
pub fn create(runtime: &str, uuid: &str, file: &str) -> Value {
    json!({"object_id": "o-4", "action": "create", "type": "req", "data": {
        "type": "module", "index": 12, "uuid": uuid, "name": "hello", "parent": runtime, "file": file,
        "apis": ["wasm", "wasi"], "args": {"argv": ["x"], "env": ["A=1"], "limit": 60.0},
        "channels": [], "status": "A"}})
}
