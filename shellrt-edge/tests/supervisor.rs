//! The supervisor over the real `shellrt-wasm`: what a link hears of modules.

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
use shellrt_edge::store::Store;
use shellrt_edge::supervisor::{Context, Drain, Link, Refused, Reported, Stage, Supervisor};
use tokio::runtime::Runtime;

/// What a link has heard, as words.
#[derive(Default)]
struct Heard {
    reports: Mutex<Vec<String>>,
    output: Mutex<Vec<u8>>,
    ends: Mutex<Vec<End>>,
}

impl Heard {
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
        self.output
            .lock()
            .expect("no panic")
            .extend_from_slice(&bytes);
        Box::pin(async {})
    }

    async fn ended(&self, order: &Order, end: &End) {
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
}

impl Machine {
    fn new() -> Machine {
        let dir = tempfile::tempdir().expect("a directory");
        let plugin = Plugin::new(program("shellrt-wasm"));
        let plugin = plugin.env("SHELLRT_WASM_ROOT", dir.path().join("wasm"));
        Machine { dir, plugin }
    }

    fn context(&self, link: &Arc<Heard>) -> Context<Heard> {
        let store = Store::open(&self.dir.path().join("edge")).expect("a store");
        Context {
            link: Arc::clone(link),
            plugins: Plugins::new([("wasm".to_owned(), self.plugin.clone())], 4),
            modules: store.modules("test/rt"),
            owner: "test/rt".to_owned(),
            max_modules: 0,
            adopt: true,
        }
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

#[test]
fn a_life_from_the_order_to_nothing() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        supervisor
            .create(machine.order("m-1", "lines"))
            .await
            .expect("room");
        until_reported(&heard, "m-1 gone").await;
        assert_eq!(supervisor.modules().await.len(), 0);
    });
    assert_eq!(
        heard.reports(),
        ["m-1 started", "m-1 ended Some(0)", "m-1 gone"]
    );
    assert_eq!(heard.text(), "one\ntwo\nthree\n");
    assert_eq!(machine.modules(), [""; 0]);
    assert!(machine.context(&heard).modules.names().is_empty());
}

#[test]
fn many_modules_whose_output_nobody_wants() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        // More than may be asked something at the same time.
        let ids: Vec<String> = (0..12).map(|number| format!("m{number}")).collect();
        for id in &ids {
            let guest = if id == "m0" { "exit_7" } else { "ticks" };
            let mut order = machine.order(id, guest);
            order.handling.streams.clear();
            supervisor.create(order).await.expect("room");
        }
        until_reported(&heard, "m0 ended Some(7)").await;
        for id in &ids[1..] {
            until_reported(&heard, &format!("{id} started")).await;
            supervisor
                .delete(id, Value::Null)
                .await
                .expect("it is there");
        }
        for id in &ids {
            until_reported(&heard, &format!("{id} gone")).await;
        }
    });
    assert_eq!(heard.text(), "");
}

#[test]
fn deleted_while_it_runs() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        supervisor
            .create(machine.order("m", "ticks"))
            .await
            .expect("room");
        until("output", || heard.text().contains("tick")).await;
        supervisor
            .delete("m", json!("note"))
            .await
            .expect("it is there");
        until_reported(&heard, "m gone").await;
        assert_eq!(
            supervisor.delete("m", Value::Null).await,
            Err(Refused::Unknown("m".to_owned()))
        );
    });
    let ends = heard.ends.lock().expect("no panic");
    assert_eq!(ends[0].reason, Reason::Deleted(json!("note")));
    assert_eq!(
        ends[0].status.as_ref().and_then(|status| status.exit_code),
        Some(137)
    );
}

#[test]
fn input_comes_back() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        supervisor
            .create(machine.order("m", "echo"))
            .await
            .expect("room");
        until_reported(&heard, "m started").await;
        for line in ["one\n", "two\n"] {
            supervisor
                .input("m", Bytes::from(line))
                .await
                .expect("it reads");
        }
        until("both lines", || heard.text() == "one\ntwo\n").await;
        supervisor.drain(Drain::Stop).await;
    });
    assert_eq!(
        heard.ends.lock().expect("no panic")[0].reason,
        Reason::Shutdown
    );
    assert_eq!(machine.modules(), [""; 0]);
}

#[test]
fn what_can_not_be_started_says_in_which_step() {
    let machine = Machine::new();
    let heard = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&heard));
        let mut refused = machine.order("prepare", "lines");
        refused.note = json!({"refuse": "no file"});
        let missing = machine.order("pull", "there-is-no-such-guest");
        let mut wrong = machine.order("create", "lines");
        wrong.spec.config.insert("memory".to_owned(), json!(1));
        for order in [refused, missing, wrong] {
            supervisor.create(order).await.expect("room");
        }
        for id in ["prepare", "pull", "create"] {
            until("a report", || {
                heard
                    .reports()
                    .iter()
                    .any(|said| said.starts_with(&format!("{id} failed ")))
            })
            .await;
        }
        until("all gone", || {
            machine.context(&heard).modules.names().is_empty()
        })
        .await;
    });
    let reports = heard.reports();
    let said = |start: &str| reports.iter().any(|said| said.starts_with(start));
    assert!(said("prepare failed Prepare: no file"), "{reports:?}");
    assert!(said("pull failed Pull: "), "{reports:?}");
    assert!(said("create failed Create: "), "{reports:?}");
}

#[test]
fn the_next_daemon_goes_on_where_this_one_was_killed() {
    let machine = Machine::new();
    let first = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&first));
        for id in ["runs", "ends"] {
            supervisor
                .create(machine.order(id, "ticks"))
                .await
                .expect("room");
        }
        until_reported(&first, "runs started").await;
        until_reported(&first, "ends started").await;
        until("output", || first.text().len() > 100).await;
    });
    // The runtime is gone with everything in it, as after kill -9.
    let stop = shellrt_api::v0::stop::Request {
        name: "ends".to_owned(),
        timeout: Some(0),
    };
    machine.plugin.call(&stop).expect("it runs");
    let second = Arc::new(Heard::default());
    runtime().block_on(async {
        let supervisor = Supervisor::start(machine.context(&second));
        until_reported(&second, "ends gone").await;
        until("output", || second.text().contains("tick")).await;
        let again = supervisor.create(machine.order("runs", "ticks")).await;
        assert_eq!(again, Err(Refused::Exists("runs".to_owned())));
        let views = supervisor.modules().await;
        let stages: Vec<(&str, Stage)> = views
            .iter()
            .map(|view| (view.order.id.as_str(), view.stage))
            .collect();
        assert_eq!(stages, [("runs", Stage::Running)]);
        supervisor.drain(Drain::Stop).await;
    });
    let reports = second.reports();
    assert_eq!(reports[..2], ["ends ended Some(137)", "ends gone"]);
    assert!(!reports.contains(&"runs started".to_owned()), "{reports:?}");
}
