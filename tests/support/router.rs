//! Real WAMP routers (`crossbar` and `xconn` from PyPI) for one test: own configuration, own ports, ended by
//! their process ids; and a peer in Autobahn-Python.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{mpsc, Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{kill_process_group, Pid, Signal};
use serde_json::{json, Value};
use tempfile::TempDir;

use super::binaries::target_dir;

/// How long anything here may take: crossbar needs a quarter of a minute on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a crossbar is set up with besides plain WebSockets for everybody.
#[derive(Default)]
pub struct Options {
    /// The certificate and key of a WebSocket and a RawSocket with TLS, as PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// A public key, in hexadecimal digits, that may join by cryptosign.
    pub public_key: Option<String>,
}

/// A router with the realm `realm1`. It runs until it is killed.
pub struct Router {
    dir: TempDir,
    program: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
    ports: Vec<u16>,
}

impl Router {
    /// A crossbar; `None`, after saying why, where it is not installed. WebSockets are at [`Router::url`]
    /// for everybody and at `auth` beside it for joe (ticket `secret!`), peter (WAMP-CRA `secret1`), salt
    /// (the same, salted) and the public key.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn crossbar(options: &Options) -> Option<Router> {
        let program = program("crossbar", "crossbar")?;
        let dir = tempfile::tempdir().expect("a directory");
        let ports: Vec<u16> = (0..4).map(|_| free_port()).collect();
        let node = dir.path().join(".crossbar");
        std::fs::create_dir(&node).expect("a directory");
        let config = configuration(&ports, options);
        std::fs::write(node.join("config.json"), config.to_string()).expect("its configuration");
        let arguments = vec!["start".into(), "--cbdir".into(), node.display().to_string()];
        let used = if options.tls.is_some() { 4 } else { 2 };
        let mut router = Router {
            dir,
            program,
            arguments,
            child: None,
            ports: ports[..used].to_vec(),
        };
        router.start();
        Some(router)
    }

    /// An xconn; `None`, after saying why, where it is not installed. It keeps the registrations of a session
    /// whose connection broke, so that nobody can register these again.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn xconn() -> Option<Router> {
        const PROGRAM: &str = "
import asyncio, sys
from xconn import Router, Server
async def main():
    router = Router()
    router.add_realm('realm1')
    await Server(router).start('127.0.0.1', int(sys.argv[1]))
    await asyncio.Event().wait()
asyncio.run(main())
";
        let program = program("xconn", "python")?;
        let port = free_port();
        let mut router = Router {
            dir: tempfile::tempdir().expect("a directory"),
            program,
            arguments: vec!["-c".into(), PROGRAM.into(), port.to_string()],
            child: None,
            ports: vec![port],
        };
        router.start();
        Some(router)
    }

    /// The port of its WebSocket.
    pub fn port(&self) -> u16 {
        self.ports[0]
    }

    /// Its WebSocket, for everybody.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/ws", self.ports[0])
    }

    /// Its WebSocket for those who prove who they are.
    pub fn auth_url(&self) -> String {
        format!("ws://127.0.0.1:{}/auth", self.ports[0])
    }

    /// Its RawSocket.
    pub fn raw_url(&self) -> String {
        format!("rs://127.0.0.1:{}", self.ports[1])
    }

    /// Its WebSocket and RawSocket with TLS.
    pub fn tls_urls(&self) -> [String; 2] {
        let [web, raw] = [self.ports[2], self.ports[3]];
        [
            format!("wss://localhost:{web}/ws"),
            format!("rss://localhost:{raw}"),
        ]
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    /// Where it does not.
    pub fn start(&mut self) {
        let log = std::fs::File::create(self.dir.path().join("log")).expect("a log");
        let errors = log.try_clone().expect("a log");
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .env("HOME", self.dir.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // With its workers.
            .process_group(0)
            .spawn()
            .expect("the router starts");
        self.child = Some(child);
        let begin = Instant::now();
        for port in &self.ports {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err() {
                assert!(begin.elapsed() < PATIENCE, "no router: {}", self.log());
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// Ends it at once, with all that it has started.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            // It may have ended.
            let _ = kill_process_group(group.expect("a process"), Signal::KILL);
            let _ = child.wait();
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.kill();
    }
}

fn configuration(ports: &[u16], options: &Options) -> Value {
    let everybody = json!({"anonymous": {"type": "static", "role": "anonymous"}});
    let salted = json!({
        "secret": "secret1", "salt": "salt123", "iterations": 100, "keylen": 16, "role": "anonymous",
    });
    let mut proofs = json!({
        "ticket": {"type": "static", "principals": {"joe": {"ticket": "secret!", "role": "anonymous"}}},
        "wampcra": {"type": "static", "users": {
            "peter": {"secret": "secret1", "role": "anonymous"}, "salt": salted,
        }},
    });
    if let Some(key) = &options.public_key {
        proofs["cryptosign"] = json!({"type": "static", "principals": {
            "key": {"authorized_keys": [key], "role": "anonymous"},
        }});
    }
    let serializers = json!(["cbor", "msgpack", "json"]);
    let socket =
        |auth: &Value| json!({"type": "websocket", "serializers": serializers, "auth": auth});
    let endpoint = |port: u16| json!({"type": "tcp", "interface": "127.0.0.1", "port": port});
    let web = |endpoint: Value| {
        json!({"type": "web", "endpoint": endpoint, "paths": {
            "/": {"type": "json", "value": {}}, "ws": socket(&everybody), "auth": socket(&proofs),
        }})
    };
    let raw = |endpoint: Value| json!({"type": "rawsocket", "endpoint": endpoint, "serializers": serializers, "auth": everybody});
    let mut transports = vec![web(endpoint(ports[0])), raw(endpoint(ports[1]))];
    if let Some((certificate, key)) = &options.tls {
        let secure = |port: u16| {
            let mut endpoint = endpoint(port);
            endpoint["tls"] = json!({"certificate": certificate, "key": key});
            endpoint
        };
        transports.push(web(secure(ports[2])));
        transports.push(raw(secure(ports[3])));
    }
    let allowed = json!({"call": true, "register": true, "publish": true, "subscribe": true});
    let permission = json!({
        "uri": "", "match": "prefix", "allow": allowed,
        "disclose": {"caller": false, "publisher": false}, "cache": true,
    });
    json!({"version": 2, "controller": {}, "workers": [{
        "type": "router",
        "realms": [{"name": "realm1", "roles": [{"name": "anonymous", "permissions": [permission]}]}],
        "transports": transports,
    }]})
}

/// An installed program of an environment that `tests/programs/fetch` makes; `None`, after saying why, where
/// it is not.
///
/// # Panics
/// With `CI=true` where it is not.
pub fn program(environment: &str, name: &str) -> Option<PathBuf> {
    let program = target_dir()
        .join("programs")
        .join(environment)
        .join("bin")
        .join(name);
    if program.exists() {
        return Some(program);
    }
    let why = format!(
        "{} is not there; tests/programs/fetch brings it",
        program.display()
    );
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln_ignored(&why);
    None
}

#[allow(clippy::print_stderr, reason = "a test that is not run says why")]
fn eprintln_ignored(why: &str) {
    eprintln!("ignored: {why}");
}

/// A port on which nobody listens now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("its address").port()
}

/// A session of Autobahn-Python, told what to do line by line (`tests/edge_wamp/peer.py`).
pub struct Peer {
    child: Child,
    input: ChildStdin,
    answers: mpsc::Receiver<Value>,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Peer {
    /// Joins `realm1` at `url`.
    ///
    /// # Panics
    /// Where it can't, or is not installed beside the routers.
    pub fn join(url: &str) -> Peer {
        let python = program("autobahn", "python").expect("installed with the routers");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("edge_wamp/peer.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("python starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, answers) = mpsc::channel();
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&events);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let Ok(value) = serde_json::from_str::<Value>(&line) else {
                    continue;
                };
                if value.get("event").is_some() {
                    heard.lock().expect("no panic").push(value["event"].clone());
                } else if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let peer = Peer {
            child,
            input,
            answers,
            events,
        };
        assert_eq!(peer.answer(), json!({"joined": true}), "joining {url}");
        peer
    }

    /// Has it do something, and returns its answer.
    pub fn ask(&mut self, what: &Value) -> Value {
        self.tell(what);
        self.answer()
    }

    /// Has it do something. [`Peer::answer`] has the answer.
    pub fn tell(&mut self, what: &Value) {
        writeln!(self.input, "{what}").expect("it listens");
    }

    /// The next answer.
    ///
    /// # Panics
    /// Where none comes.
    pub fn answer(&self) -> Value {
        self.answers.recv_timeout(PATIENCE).expect("an answer")
    }

    /// Calls a procedure.
    pub fn call(&mut self, procedure: &str, args: Value) -> Value {
        self.ask(&json!({"do": "call", "procedure": procedure, "args": args}))
    }

    /// Calls until it succeeds with this result.
    ///
    /// # Panics
    /// Where it does not.
    pub fn call_until(&mut self, procedure: &str, args: &Value, result: &Value) {
        let call = json!({"do": "call", "procedure": procedure, "args": args});
        self.ask_until(&call, |answer| answer["result"] == *result);
    }

    /// Has it do something until the answer is right.
    ///
    /// # Panics
    /// Where it never is.
    pub fn ask_until(&mut self, what: &Value, is_right: impl Fn(&Value) -> bool) {
        let begin = Instant::now();
        loop {
            let answer = self.ask(what);
            if is_right(&answer) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{what}: {answer}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What was heard of subscriptions: `[topic, args, kwargs]`.
    pub fn events(&self) -> Vec<Value> {
        self.events.lock().expect("no panic").clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
