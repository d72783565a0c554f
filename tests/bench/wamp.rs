//! WAMP components: what calls through a router take, how soon many components are there, and what they take,
//! beside the same component under Autobahn-Python.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tests::binaries;
use tests::edged::Edged;
use tests::router::{program, Options, Router};

use super::measure::{finish, median, quantile, Side};
use super::memory;
use super::report::Report;

/// How many calls are one measurement.
const CALLS: usize = 1_000;

/// How many of them are open at a time.
const AT_ONCE: usize = 10;

const ROUNDS: usize = 15;

/// How many components begin together.
const COMPONENTS: usize = 20;

/// So often they begin; Python takes its time.
const BEGINNINGS: usize = 7;

/// How many calls the processor's time of one is taken from: it is counted in hundredths of a second.
const MANY: usize = 10_000;

/// Measures them.
pub fn measure(report: &mut Report) {
    let Some(runner) = program("autobahn", "run_asyncio_components") else {
        return;
    };
    let Some(router) = Router::crossbar(&Options::default()) else {
        return;
    };
    let site = Site::new(&router, runner.with_file_name("python"));
    let (mut ours, mut theirs) = (site.ours(1), site.theirs(1));
    ours.ready();
    theirs.ready();
    let mut caller = Caller::join(&router);
    let mut call = |procedure: &str, calls, at_once| caller.call(procedure, calls, at_once);
    calls(report, &mut call, &ours, &theirs);
    drop((ours, theirs));

    let what = format!("WAMP: {COMPONENTS} components from the start to ready");
    let (our_last, their_last) = (RefCell::new(None), RefCell::new(None));
    let begin = |last: &RefCell<Option<Started>>, mut started: Started| {
        started.ready();
        last.replace(Some(started));
        "ready".to_owned()
    };
    let mut our_side = Side::prepared(
        "shellrt-edged",
        || drop(our_last.take()),
        || begin(&our_last, site.ours(COMPONENTS)),
    );
    let mut their_side = Side::prepared(
        NAME,
        || drop(their_last.take()),
        || begin(&their_last, site.theirs(COMPONENTS)),
    );
    report.compare(&what, Some(1.0), BEGINNINGS, &mut our_side, &mut their_side);
    drop((our_side, their_side));
    let (ours, theirs) = (our_last.take().unwrap(), their_last.take().unwrap());
    let (our_memory, processes) = memory::shares_of(&ours.mark());
    let peers_memory = memory::shares_of(&theirs.mark()).0;
    let what = format!("WAMP: {COMPONENTS} components, {processes} processes");
    report.megabytes(&what, our_memory, Some((NAME, peers_memory)), None);
    let figures = [&ours, &theirs].map(|side| memory::own_shares_of(&side.mark()));
    let what = format!("{what}, without what lies in files");
    report.megabytes(&what, figures[0], Some((NAME, figures[1])), None);
}

const NAME: &str = "Autobahn-Python";

/// Calls of one component each.
fn calls(
    report: &mut Report,
    call: &mut impl FnMut(&str, usize, usize) -> Vec<f64>,
    ours: &Started,
    theirs: &Started,
) {
    let call = RefCell::new(call);
    let made = |procedure: &str| {
        call.borrow_mut()(procedure, CALLS, AT_ONCE)
            .len()
            .to_string()
    };
    let mut our_side = Side::new("shellrt-edged", || made(OURS));
    let mut their_side = Side::new(NAME, || made(THEIRS));
    let what = format!("WAMP: {CALLS} calls through crossbar, {AT_ONCE} at a time");
    let pairs = report.compare(&what, Some(0.9), ROUNDS, &mut our_side, &mut their_side);
    drop((our_side, their_side));
    #[allow(clippy::cast_precision_loss, reason = "a small number")]
    let per_second = |times: &[f64]| CALLS as f64 / median(times);
    report.note(format!(
        "WAMP: {:.0} calls a second through crossbar, {NAME} {:.0}; both wait for the router most of the time.",
        per_second(&pairs.ours),
        per_second(&pairs.peer)
    ));
    let mut call = call.borrow_mut();
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    // In turns, because the machine may have other work now and then.
    for _ in 0..ROUNDS {
        our_times.extend(call(OURS, CALLS / 10, 1));
        their_times.extend(call(THEIRS, CALLS / 10, 1));
    }
    for (part, which) in [(0.5, "median"), (0.99, "99 of 100")] {
        let figures = (quantile(&our_times, part), quantile(&their_times, part));
        let what = format!("WAMP: one call through crossbar, {which}");
        report.times(&what, figures.0, (NAME, figures.1));
    }
    let mut processor = |procedure, started: &Started| {
        let before = memory::processor_time_of(&started.mark());
        call(procedure, MANY, AT_ONCE);
        let took = memory::processor_time_of(&started.mark()) - before;
        #[allow(clippy::cast_precision_loss, reason = "a small number")]
        let each = took / MANY as f64;
        each
    };
    let figures = (processor(OURS, ours), processor(THEIRS, theirs));
    let what = "WAMP: the processor's time of one call, without the router's";
    report.times(what, figures.0, (NAME, figures.1));
}

const OURS: &str = "bench.ours.0";
const THEIRS: &str = "bench.python.0";

/// What both sides begin with.
struct Site {
    files: tempfile::TempDir,
    python: PathBuf,
    url: String,
}

impl Site {
    fn new(router: &Router, python: PathBuf) -> Site {
        let files = tempfile::tempdir().unwrap();
        let mut compile = Command::new("clang");
        compile.args(["--target=wasm32-wasi", "-O2", "-o"]);
        compile.arg(files.path().join("echo.wasm"));
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../shellrt-edge/examples/wamp/echo.c"
        );
        finish(compile.arg(source), "");
        let site = Site {
            files,
            python,
            url: router.url(),
        };
        let mut components = serde_json::Map::new();
        let mut extras = serde_json::Map::new();
        for number in 0..COMPONENTS {
            let component = json!({"plugin": "wasm", "image": "./echo.wasm"});
            components.insert(format!("c{number}"), component);
            let procedure = format!("bench.ours.{number}");
            extras.insert(format!("c{number}"), json!({"procedure": procedure}));
        }
        let settings = json!({
            "edge": {
                "state_dir": site.path("state"),
                "plugins": {"wasm": binaries::program("shellrt-wasm")},
            },
            "components": components,
        });
        std::fs::write(site.path("wamp.yaml"), settings.to_string()).unwrap();
        std::fs::write(site.path("one.json"), extras["c0"].to_string()).unwrap();
        let extras = Value::from(extras).to_string();
        std::fs::write(site.path("all.json"), extras).unwrap();
        site
    }

    fn path(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    /// Our daemon with so many components.
    fn ours(&self, components: usize) -> Started {
        let extras = self.path(if components == 1 {
            "one.json"
        } else {
            "all.json"
        });
        let settings = self.path("wamp.yaml");
        let mut arguments = vec!["wamp", "--config", &settings, "-e", &extras];
        arguments.extend(["-u", &self.url, "-r", "realm1"]);
        let names: Vec<String> = (0..components).map(|number| format!("c{number}")).collect();
        for name in &names {
            arguments.extend(["-c", name]);
        }
        Started::new(
            Edged::command(&arguments),
            "SHELLRT_WASM_ROOT",
            self.path("wasm"),
            components,
        )
    }

    /// The runner with so many components.
    fn theirs(&self, components: usize) -> Started {
        let mut command = Command::new(&self.python);
        command.arg(self.python.with_file_name("run_asyncio_components"));
        command.args(["-u", &self.url, "-r", "realm1"]);
        for _ in 0..components {
            command.args(["-c", "wamp_echo.Echo"]);
        }
        let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/bench");
        command.env("PYTHONPATH", modules);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        Started::new(
            command,
            "SHELLRT_BENCH_PEER",
            self.path("python"),
            components,
        )
    }
}

/// A side that runs.
struct Started {
    child: Child,
    lines: Box<dyn BufRead>,
    mark: (&'static str, String),
    components: usize,
}

impl Started {
    fn new(
        mut command: Command,
        variable: &'static str,
        value: String,
        components: usize,
    ) -> Started {
        let is_ours = variable == "SHELLRT_WASM_ROOT";
        command.env(variable, &value).stdin(Stdio::null());
        let mut child = match is_ours {
            true => command.stdout(Stdio::null()).stderr(Stdio::piped()),
            false => command.stdout(Stdio::piped()).stderr(Stdio::null()),
        }
        .spawn()
        .unwrap();
        let lines: Box<dyn BufRead> = match is_ours {
            true => Box::new(BufReader::new(child.stderr.take().unwrap())),
            false => Box::new(BufReader::new(child.stdout.take().unwrap())),
        };
        Started {
            child,
            lines,
            mark: (variable, value),
            components,
        }
    }

    /// Waits until all its components are ready.
    fn ready(&mut self) {
        let mut ready = 0;
        let mut said = String::new();
        while ready < self.components {
            let mut line = String::new();
            let length = self.lines.read_line(&mut line).unwrap();
            assert!(length > 0, "it has ended: {said}");
            ready += usize::from(line.trim_end() == "ready" || line.contains("is ready"));
            said += &line;
        }
    }

    /// What its processes have in their environment.
    fn mark(&self) -> String {
        format!("{}={}\0", self.mark.0, self.mark.1)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        tests::plugin::signal(self.child.id(), rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A caller that costs next to nothing: a RawSocket with JSON.
struct Caller {
    stream: TcpStream,
    last: u64,
}

impl Caller {
    fn join(router: &Router) -> Caller {
        let address = router.raw_url();
        let stream = TcpStream::connect(address.trim_start_matches("rs://")).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut caller = Caller { stream, last: 0 };
        caller.stream.write_all(&[0x7f, 0xf1, 0, 0]).unwrap();
        let mut answer = [0; 4];
        caller.stream.read_exact(&mut answer).unwrap();
        caller.say(&json!([1, "realm1", {"roles": {"caller": {}}}]));
        assert_eq!(caller.hear()[0], 2);
        caller
    }

    /// Calls so often, and gives the time that each call took.
    fn call(&mut self, procedure: &str, calls: usize, at_once: usize) -> Vec<f64> {
        let mut open = HashMap::new();
        let mut times = Vec::with_capacity(calls);
        while times.len() < calls {
            if open.len() < at_once && times.len() + open.len() < calls {
                self.last += 1;
                open.insert(self.last, Instant::now());
                let text = "temperature=21.5,humidity=40,sensor=roof,unit=celsius";
                self.say(&json!([48, self.last, {}, procedure, [text]]));
                continue;
            }
            let answer = self.hear();
            assert_eq!(answer[0], 50, "{answer}");
            let begun = open.remove(&answer[1].as_u64().unwrap()).unwrap();
            times.push(begun.elapsed().as_secs_f64());
        }
        times
    }

    fn say(&mut self, list: &Value) {
        let message = list.to_string();
        let length = u32::try_from(message.len()).unwrap();
        let frame = [&length.to_be_bytes()[..], message.as_bytes()].concat();
        self.stream.write_all(&frame).unwrap();
    }

    fn hear(&mut self) -> Value {
        loop {
            let mut head = [0; 4];
            self.stream.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes([0, head[1], head[2], head[3]]);
            let mut message = vec![0; length as usize];
            self.stream.read_exact(&mut message).unwrap();
            match head[0] {
                0 => return serde_json::from_slice(&message).unwrap(),
                1 => {
                    let pong = [&[2, head[1], head[2], head[3]], &message[..]].concat();
                    self.stream.write_all(&pong).unwrap();
                }
                _ => {}
            }
        }
    }
}
