//! A plugin as a client sees it: a process for each request.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{json, Map, Value};

use super::binaries::program;

/// How a plugin is started.
pub struct Plugin {
    /// Its executable.
    pub program: PathBuf,
    /// What it finds in its environment; `None` is not there.
    pub environment: Vec<(String, Option<String>)>,
    /// The kernel's boot id, where it is another one than the machine's.
    pub boot: Option<PathBuf>,
    /// What a shell does in a mount namespace of its own before it becomes the plugin.
    pub prelude: Option<String>,
    /// Another user than ours.
    pub user: Option<u32>,
}

impl Plugin {
    /// The built program `name` in an environment.
    pub fn new(name: &str, environment: &[(&str, &Path)]) -> Self {
        let text = |path: &Path| Some(path.to_str().expect("text").to_owned());
        let environment = environment.iter();
        Plugin {
            program: program(name),
            environment: environment
                .map(|(name, value)| ((*name).to_owned(), text(value)))
                .collect(),
            boot: None,
            prelude: None,
            user: None,
        }
    }

    /// The plugin's command, ready to start.
    pub fn command(&self) -> Command {
        let mut command = match (&self.boot, &self.prelude) {
            (None, None) => Command::new(&self.program),
            (boot, prelude) => {
                let prelude = prelude.as_deref().unwrap_or(BOOT);
                let mut command = Command::new("unshare");
                command.args(["-m", "sh", "-c"]);
                command.arg(format!("{prelude} && exec \"$1\""));
                command.arg(boot.as_deref().unwrap_or(Path::new("sh")));
                command.arg(&self.program);
                command
            }
        };
        if let Some(user) = self.user {
            command.uid(user).gid(user).current_dir("/");
        }
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
            .env_remove("REGISTRY_AUTH_FILE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts a request and leaves its stdin open.
    pub fn open(&self, request: &Value) -> Open {
        let mut child = self.command().spawn().expect("the plugin starts");
        let mut request = request.clone();
        if request.get("_version").is_none() {
            request["_version"] = json!("0.1.0");
        }
        let mut stdin = child.stdin.take().expect("a pipe");
        // A plugin that died has something to say about it, later.
        let _ = stdin.write_all(request.to_string().as_bytes());
        let stdout = child.stdout.take().expect("a pipe");
        Open {
            child,
            stdin: Some(stdin),
            stdout,
        }
    }

    /// Sends bytes and gives back the bytes that came.
    pub fn send(&self, request: &str) -> String {
        let mut child = self.command().spawn().expect("the plugin starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(request.as_bytes()).expect("it is read");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        String::from_utf8(output.stdout).expect("text")
    }

    /// One request and its whole answer.
    pub fn ask(&self, request: &Value) -> Answer {
        self.open(request).finish()
    }

    /// A request that succeeds.
    pub fn ok(&self, request: &Value) -> Value {
        let answer = self.ask(request);
        assert_eq!(answer.object["_status"], "ok", "{request} => {answer:?}");
        assert_eq!(answer.status, 0, "{request} => {answer:?}");
        Value::Object(answer.object)
    }

    /// A request that fails, and its code.
    pub fn err(&self, request: &Value) -> u64 {
        let answer = self.ask(request);
        assert_eq!(answer.object["_status"], "err", "{request} => {answer:?}");
        answer.object["code"].as_u64().expect("a number")
    }

    /// Asks for one thing of a module.
    pub fn module(&self, kind: &str, name: &str) -> Value {
        self.ok(&json!({"_type": kind, "name": name}))
    }

    /// Everything that a module wrote.
    pub fn logs(&self, name: &str) -> Vec<u8> {
        self.ask(&json!({"_type": "logs", "name": name}))
            .stream
            .expect("a stream")
    }

    /// Waits until a module's status has `value` at `key`.
    pub fn wait_until(&self, name: &str, key: &str, value: &Value) -> Value {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let status = self.module("status", name);
            if status[key] == *value {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{key} never became {value}: {status}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Puts the file `$0` in the place of the kernel's boot id.
pub const BOOT: &str = "mount --bind \"$0\" /proc/sys/kernel/random/boot_id";

/// Writes another boot id than all before to `file`.
pub fn next_boot(file: &Path) {
    let count = std::fs::read(file).map_or(0, |bytes| bytes.len());
    std::fs::write(file, "0".repeat(count + 1)).expect("a file");
}

/// Every living process whose environment has `mark`, with its name.
pub fn processes_with(mark: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for pid in pids() {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if String::from_utf8_lossy(&environment).contains(mark) {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            found.push((pid, name.trim().to_owned()));
        }
    }
    found
}

/// The ids of all processes.
pub fn pids() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("procfs").flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// What the plugin answered.
#[derive(Debug)]
pub struct Answer {
    /// The object.
    pub object: Map<String, Value>,
    /// What followed the NUL, where there was one.
    pub stream: Option<Vec<u8>>,
    /// The exit status.
    pub status: i32,
}

/// A request that is going on.
pub struct Open {
    /// The plugin.
    pub child: Child,
    /// Its stdin, until it is taken.
    pub stdin: Option<std::process::ChildStdin>,
    /// Its stdout.
    pub stdout: ChildStdout,
}

impl Open {
    /// Reads the object and its NUL; the stream follows.
    pub fn object(&mut self) -> Value {
        let mut bytes = Vec::new();
        let mut byte = [0];
        while self.stdout.read(&mut byte).expect("stdout") == 1 && byte[0] != 0 {
            bytes.push(byte[0]);
        }
        serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            panic!("{error}: {:?}", String::from_utf8_lossy(&bytes));
        })
    }

    /// Reads one line of the stream.
    pub fn line(&mut self) -> String {
        let mut bytes = Vec::new();
        let mut byte = [0];
        while self.stdout.read(&mut byte).expect("stdout") == 1 {
            bytes.push(byte[0]);
            if byte[0] == b'\n' {
                break;
            }
        }
        String::from_utf8(bytes).expect("text")
    }

    /// Closes stdin and reads what is left of the stream, to its end.
    pub fn rest(mut self) -> Vec<u8> {
        drop(self.stdin.take());
        let mut bytes = Vec::new();
        self.stdout.read_to_end(&mut bytes).expect("stdout");
        self.child.wait().expect("an end");
        bytes
    }

    /// Closes stdin and reads everything.
    pub fn finish(mut self) -> Answer {
        drop(self.stdin.take());
        let mut bytes = Vec::new();
        self.stdout.read_to_end(&mut bytes).expect("stdout");
        let output = self.child.wait_with_output().expect("an end");
        let (object, stream) = match bytes.iter().position(|&byte| byte == 0) {
            Some(nul) => (&bytes[..nul], Some(bytes[nul + 1..].to_vec())),
            None => (&bytes[..], None),
        };
        let object = serde_json::from_slice(object).unwrap_or_else(|error| {
            panic!(
                "{error}: {:?}, {}, stderr: {}",
                String::from_utf8_lossy(object),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )
        });
        let status = output
            .status
            .code()
            .or(output.status.signal().map(|signal| 128 + signal));
        Answer {
            object,
            stream,
            status: status.unwrap_or(-1),
        }
    }
}

/// Sends a signal to a process, which may be gone.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Waits for a condition.
///
/// # Panics
/// After twenty seconds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
