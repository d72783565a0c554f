//! The supervisor over the real `shellrt-wasm`: what a link hears of modules.

/// What does not begin.
mod beginning;
/// A daemon that is killed, and the next one.
mod killed;
/// Lives from the order to the end.
mod life;
/// How much there may be: modules, output, idleness.
mod limits;
/// What is withdrawn.
mod withdrawn;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{json, Map, Value};
use shellrt_api::v0::client::Plugin;
use shellrt_api::v0::logs::Stream;
use shellrt_api::v0::{img_pull, list};
use shellrt_edge::order::{End, Failure, Handling, Order, Reason, Spec, Step};
use shellrt_edge::plugin::{Input, Output, Plugins};
use shellrt_edge::store::{Modules, Store};
use shellrt_edge::supervisor::{Context, Drain, Link, Refused, Reported, Stage, Supervisor};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What a link has heard, as words.
#[derive(Default)]
struct Heard {
    reports: Mutex<Vec<String>>,
    output: Mutex<Vec<u8>>,
    ends: Mutex<Vec<End>>,
    /// How many bytes of output the orchestrator takes; what is more is never acknowledged.
    takes: Option<usize>,
    /// Opened, what orders with a `hold` wait for goes on.
    gate: watch::Sender<bool>,
}

impl Heard {
    /// Waits at the gate, where the order says so.
    async fn pass(&self, order: &Order, step: &str) {
        if order.note["hold"] == step {
            self.say(format!("{} waits to be {step}", order.id));
            let mut gate = self.gate.subscribe();
            gate.wait_for(|is_open| *is_open).await.expect("a gate");
        }
    }

    fn say(&self, words: String) {
        self.reports.lock().expect("no panic").push(words);
    }

    fn reports(&self) -> Vec<String> {
        self.reports.lock().expect("no panic").clone()
    }

    fn text(&self) -> String {
        String::from_utf8(self.output.lock().expect("no panic").clone()).expect("text")
    }
}

impl Link for Heard {
    async fn prepare(&self, order: &mut Order) -> Result<(), Failure> {
        self.pass(order, "prepared").await;
        match order.note["refuse"].as_str() {
            Some(message) => Err(Failure {
                step: Step::Prepare,
                message: message.to_owned(),
            }),
            None => Ok(()),
        }
    }

    async fn attached(&self, _: &Order, _: Input, _: Output) {}

    async fn started(&self, order: &Order) {
        self.say(format!("{} started", order.id));
    }

    async fn failed(&self, order: &Order, failure: &Failure) {
        self.say(format!(
            "{} failed {:?}: {}",
            order.id, failure.step, failure.message
        ));
    }

    async fn output(&self, _: &Order, _: Stream, bytes: Bytes) -> Reported {
        let mut output = self.output.lock().expect("no panic");
        output.extend_from_slice(&bytes);
        match self.takes {
            Some(takes) if output.len() > takes => Box::pin(std::future::pending()),
            _ => Box::pin(async {}),
        }
    }

    async fn ended(&self, order: &Order, end: &End) {
        self.pass(order, "ended").await;
        let code = end.status.as_ref().and_then(|status| status.exit_code);
        self.say(format!("{} ended {code:?}", order.id));
        self.ends.lock().expect("no panic").push(end.clone());
    }

    async fn gone(&self, order: &Order) {
        self.say(format!("{} gone", order.id));
    }
}

/// A machine with `shellrt-wasm`, and a daemon's store.
struct Machine {
    dir: tempfile::TempDir,
    plugin: Plugin,
    /// The plugins of the daemon.
    plugins: Vec<(String, Plugin)>,
    max_modules: usize,
    adopt: bool,
}

impl Machine {
    fn new() -> Machine {
        let dir = tempfile::tempdir().expect("a directory");
        let plugin = Plugin::new(program("shellrt-wasm"));
        let plugin = plugin.env("SHELLRT_WASM_ROOT", dir.path().join("wasm"));
        Machine {
            dir,
            plugins: vec![("wasm".to_owned(), plugin.clone())],
            plugin,
            max_modules: 0,
            adopt: true,
        }
    }

    fn context(&self, link: &Arc<Heard>) -> Context<Heard> {
        Context {
            link: Arc::clone(link),
            plugins: Plugins::new(self.plugins.clone(), 4),
            modules: self.store(),
            owner: "test/rt".to_owned(),
            max_modules: self.max_modules,
            adopt: self.adopt,
        }
    }

    /// What the daemon remembers.
    fn store(&self) -> Modules {
        let store = Store::open(&self.dir.path().join("edge")).expect("a store");
        store.modules("test/rt")
    }

    /// An order of one of the guests in `tests/guests`.
    fn order(&self, id: &str, guest: &str) -> Order {
        let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests");
        let guest = guests
            .canonicalize()
            .expect("guests")
            .join(format!("{guest}.wat"));
        let image = format!("file:{}", guest.display());
        let config = json!({"image": image, "stdin": true});
        Order {
            id: id.to_owned(),
            spec: Spec {
                plugin: "wasm".to_owned(),
                config_type: "wasm".to_owned(),
                config: config.as_object().cloned().unwrap_or_else(Map::new),
                image: img_pull::Request {
                    image,
                    ..Default::default()
                },
                ..Spec::default()
            },
            handling: Handling {
                streams: vec![Stream::Stdout, Stream::Stderr],
                stop_timeout: Some(0),
                ..Handling::default()
            },
            note: Value::Null,
        }
    }

    /// The same, with a note.
    fn order_with(&self, id: &str, guest: &str, note: Value) -> Order {
        Order {
            note,
            ..self.order(id, guest)
        }
    }

    fn modules(&self) -> Vec<String> {
        self.plugin
            .call(&list::Request::default())
            .expect("an answer")
            .modules
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for name in self.modules() {
            // What a failed test has left.
            let _ = self
                .plugin
                .call(&shellrt_api::v0::remove::Request { name, force: true });
        }
    }
}

/// The built program `name`, beside the test.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a program knows where it is");
    let dir = test
        .parent()
        .and_then(Path::parent)
        .expect("target/HOST/PROFILE");
    let program = dir.join(name);
    assert!(program.exists(), "{} is not built", program.display());
    program
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < patience, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_reported(heard: &Heard, report: &str) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !heard.reports().iter().any(|said| said == report) {
        assert!(
            Instant::now() < patience,
            "no {report:?} in {:?}",
            heard.reports()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How often that was reported.
fn count(heard: &Heard, report: &str) -> usize {
    heard
        .reports()
        .iter()
        .filter(|said| *said == report)
        .count()
}
