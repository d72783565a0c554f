//! `shellrt-edged edgeless` with directories of its own, and the node of `tests/programs/edgeless`, which
//! grpcio makes.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};
use serde_json::{json, Value};
use tempfile::TempDir;

use super::binaries::{program, target_dir};

/// How long anything here may take; compiling a large program on a busy machine takes long.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// What a program says, line by line.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Heard>, Condvar)>);

#[derive(Default)]
struct Heard {
    lines: Vec<Value>,
    is_over: bool,
}

impl Lines {
    fn of(stream: impl std::io::Read + Send + 'static) -> Lines {
        let lines = Lines::default();
        let into = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                into.0 .0.lock().unwrap().lines.push(line);
                into.0 .1.notify_all();
            }
            into.0 .0.lock().unwrap().is_over = true;
            into.0 .1.notify_all();
        });
        lines
    }

    /// The next line that fits, which is taken away.
    ///
    /// # Panics
    /// Where it does not come in time.
    pub fn take(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = self.0 .0.lock().unwrap();
        loop {
            if let Some(place) = heard.lines.iter().position(&fits) {
                return heard.lines.remove(place);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !heard.is_over,
                "there is no {what} in {:#?}",
                heard.lines
            );
            heard = self.0 .1.wait_timeout(heard, left).unwrap().0;
        }
    }

    /// How many lines fit that came until now.
    pub fn count(&self, fits: impl Fn(&Value) -> bool) -> usize {
        let heard = self.0 .0.lock().unwrap();
        heard.lines.iter().filter(|line| fits(line)).count()
    }
}

/// The daemon.
pub struct Edged {
    child: Child,
    /// The ports of its functions, in their order.
    pub ports: Vec<u16>,
    /// Its log.
    pub log: Lines,
    /// Directories of its own.
    pub root: TempDir,
}

impl Edged {
    /// The daemon with these arguments, and functions at free ports.
    pub fn start(arguments: &[&str]) -> Edged {
        Edged::start_in(arguments, &[])
    }

    /// The same in an environment, as a plugin of the tests' has it.
    pub fn start_in(arguments: &[&str], environment: &[(String, Option<String>)]) -> Edged {
        let functions = arguments.iter().filter(|it| **it == "--function").count();
        let port: &[&str] = if functions == 0 {
            &["--port", "0"]
        } else {
            &[]
        };
        let arguments = [port, arguments].concat();
        Edged::with(&arguments, functions.max(1), None, environment)
    }

    /// The daemon with a settings file of this many functions.
    pub fn configured(settings: &Value, functions: usize) -> Edged {
        Edged::with(&[], functions, Some(settings), &[])
    }

    fn with(
        arguments: &[&str],
        functions: usize,
        settings: Option<&Value>,
        environment: &[(String, Option<String>)],
    ) -> Edged {
        let root = tempfile::tempdir().expect("a directory");
        let binary = program("shellrt-edged");
        let plugins = program("shellrt-wasm");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(binary);
        command.arg("edgeless");
        command.arg("--state-dir").arg(root.path().join("state"));
        if let Some(settings) = settings {
            let file = root.path().join("settings.yaml");
            // JSON is YAML.
            std::fs::write(&file, settings.to_string()).expect("a file");
            command.arg("--config").arg(file);
        }
        for (name, value) in environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut child = command
            .args(arguments)
            .env(
                "PATH",
                format!("{}:{path}", plugins.parent().unwrap().display()),
            )
            .env("SHELLRT_WASM_ROOT", root.path().join("wasm"))
            .env("LOG_LEVEL", "DEBUG")
            .env_remove("PORT")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon");
        let log = Lines::of(child.stderr.take().expect("stderr"));
        let ports = (0..functions).map(|_| {
            let is_served = |line: &Value| text(&line["message"]).contains("is served at port");
            let line = log.take("port", is_served);
            let message = text(&line["message"]);
            let port = message.rsplit(' ').next().and_then(|it| it.parse().ok());
            port.expect("a port")
        });
        Edged {
            ports: ports.collect(),
            child,
            log,
            root,
        }
    }

    /// Waits for a line of the log.
    pub fn logs(&self, part: &str) {
        self.log
            .take(part, |line| text(&line["message"]).contains(part));
    }

    /// Ends it as a service manager does, and waits for that.
    pub fn end(mut self) -> ExitStatus {
        self.terminate()
    }

    fn terminate(&mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        self.child.wait().expect("its status")
    }
}

impl Drop for Edged {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.terminate();
        }
    }
}

/// A node for one function.
pub struct Node {
    child: Child,
    stdin: ChildStdin,
    /// What it says.
    pub lines: Lines,
    /// Where its host is.
    pub port: u16,
    scheme: &'static str,
    last_id: u64,
}

impl Node {
    /// A node for the function at `port`; nothing, after saying why, where grpcio is not installed.
    ///
    /// # Panics
    /// With `CI=true` where it is not installed.
    pub fn start(port: u16) -> Option<Node> {
        Node::with(port, None)
    }

    /// The same with the certificates in a folder.
    pub fn with(port: u16, tls: Option<&Path>) -> Option<Node> {
        let host = if tls.is_some() {
            "localhost"
        } else {
            "127.0.0.1"
        };
        let mut command = grpc_python("node.py")?;
        command
            .args(["--function", &format!("{host}:{port}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(tls) = tls {
            command.arg("--tls").arg(tls);
        }
        let mut child = command.spawn().expect("python");
        let lines = Lines::of(child.stdout.take().expect("stdout"));
        let port = lines.take("port", |line| line["port"].is_u64());
        Some(Node {
            stdin: child.stdin.take().expect("stdin"),
            child,
            lines,
            port: port["port"]
                .as_u64()
                .and_then(|it| it.try_into().ok())
                .unwrap(),
            scheme: if tls.is_some() { "https" } else { "http" },
            last_id: 0,
        })
    }

    /// From now on the function at `port` is called.
    pub fn turn_to(&mut self, port: u16) {
        self.say(&json!({"function": format!("127.0.0.1:{port}")}));
    }

    /// Has the node call the function. Gives the name of the call.
    pub fn begin(&mut self, method: &str, message: Value) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        self.say(&json!({"id": id, "call": method, "message": message}));
        id
    }

    /// The end of a call.
    pub fn end(&self, id: u64) -> Value {
        let mut end = self.lines.take("answer", |line| line["id"] == json!(id));
        end.as_object_mut().expect("an object").remove("id");
        end
    }

    /// A call and its end.
    pub fn call(&mut self, method: &str, message: Value) -> Value {
        let id = self.begin(method, message);
        self.end(id)
    }

    /// Boots the function as `function`.
    pub fn boot(&mut self, function: &str) -> Value {
        let host = self.host();
        let id = json!({"node_id": "n", "function_id": function});
        self.call(
            "Boot",
            json!({"guest_api_host_endpoint": host, "instance_id": id}),
        )
    }

    /// Boots and inits the function as `f`.
    ///
    /// # Panics
    /// Where it does not succeed.
    pub fn run(&mut self) {
        assert_eq!(self.boot("f"), ok());
        assert_eq!(self.call("Init", json!({})), ok());
    }

    /// A cast of some text.
    ///
    /// # Panics
    /// Where it does not succeed.
    pub fn cast(&mut self, message: &str) {
        let message = input(message.as_bytes());
        assert_eq!(self.call("Cast", message), ok());
    }

    /// A call with some text.
    pub fn ask(&mut self, message: &str) -> Value {
        let message = input(message.as_bytes());
        self.call("Call", message)["ok"].take()
    }

    /// What the host was called with.
    pub fn heard(&self, method: &str) -> Value {
        let mut heard = self.lines.take(method, |line| line["heard"] == method);
        heard["message"].take()
    }

    /// The URL of the host.
    pub fn host(&self) -> String {
        let name = if self.scheme == "https" {
            "localhost"
        } else {
            "127.0.0.1"
        };
        format!("{}://{name}:{}/", self.scheme, self.port)
    }

    /// The host goes away, or comes back.
    pub fn switch(&mut self, what: &str) {
        self.say(&json!({ "host": what }));
        let done = format!(
            "host {}",
            if what == "stop" { "stopped" } else { "started" }
        );
        self.lines
            .take(&done, |line| line["heard"] == done.as_str());
    }

    fn say(&mut self, line: &Value) {
        writeln!(self.stdin, "{line}").expect("python listens");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A script of `tests/programs/edgeless` with grpcio; nothing, after saying why, where that is not installed.
///
/// # Panics
/// With `CI=true` where it is not installed.
#[allow(
    clippy::print_stderr,
    reason = "that is where a test says why it did not run"
)]
pub fn grpc_python(script: &str) -> Option<Command> {
    let folder = target_dir().join("programs/grpc");
    if !folder.join("edgeless_api_pb2_grpc.py").exists() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "grpcio is missing: run tests/programs/fetch"
        );
        eprintln!("ignored: grpcio is missing, which tests/programs/fetch brings");
        return None;
    }
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/edgeless");
    let mut command = Command::new(folder.join("bin/python"));
    command.arg(scripts.join(script)).env("PYTHONPATH", &folder);
    Some(command)
}

/// What a call without an answer is answered with.
pub fn ok() -> Value {
    json!({"ok": {}})
}

/// Something for a function, from somebody.
pub fn input(message: &[u8]) -> Value {
    let src = json!({"node_id": "other", "function_id": "sender"});
    json!({"src": src, "msg": base64(message)})
}

/// A reply with some text.
pub fn reply(text: &str) -> Value {
    json!({"type": "CALL_RET_REPLY", "msg": base64(text.as_bytes())})
}

/// An answer without one.
pub fn answer(kind: &str) -> Value {
    json!({"type": kind, "msg": ""})
}

/// RFC 4648, section 4.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let three = [
            group[0],
            *group.get(1).unwrap_or(&0),
            *group.get(2).unwrap_or(&0),
        ];
        let number = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for digit in 0..4 {
            text.push(match digit <= group.len() {
                true => char::from(DIGITS[(number >> (18 - 6 * digit)) as usize & 63]),
                false => '=',
            });
        }
    }
    text
}

/// A JSON text, or nothing.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Where the example functions are.
pub fn examples() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the workspace")
        .join("shellrt-edge/examples")
}
