//! `shellrt-wasm` with a state directory of its own.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{json, Map, Value};

use super::binaries::program;

/// The plugin, and everything that its modules leave behind. Dropping it removes all of that.
pub struct Wasm {
    root: tempfile::TempDir,
    files: tempfile::TempDir,
    program: PathBuf,
    boot: Option<PathBuf>,
    /// What a shell does in a mount namespace of its own before it becomes the plugin.
    prelude: Option<&'static str>,
    /// Another user than ours.
    user: Option<u32>,
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

impl Wasm {
    /// A plugin that has seen nothing yet.
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a directory for the state");
        let files = tempfile::tempdir().expect("a directory for files");
        Wasm {
            root,
            files,
            program: program("shellrt-wasm"),
            boot: None,
            prelude: None,
            user: None,
        }
    }

    /// A plugin on a machine without any cgroup that it could use.
    pub fn without_cgroups() -> Self {
        let mut wasm = Wasm::new();
        wasm.prelude = Some("mount -t tmpfs -o ro none /sys/fs/cgroup");
        wasm
    }

    /// A plugin that another user runs, one without any rights.
    pub fn of_nobody() -> Self {
        const NOBODY: u32 = 65534;
        let mut wasm = Wasm::new();
        wasm.user = Some(NOBODY);
        // The tree may lie where that user can't look.
        let copy = wasm.files().join("shellrt-wasm");
        std::fs::copy(&wasm.program, &copy).expect("a copy");
        wasm.program = copy;
        for dir in [wasm.root(), wasm.files()] {
            std::os::unix::fs::chown(dir, Some(NOBODY), Some(NOBODY)).expect("root");
        }
        wasm
    }

    /// The state directory.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// A directory for the test's own files.
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    /// The reference of a program that is written as text in `tests/guests`.
    pub fn guest(&self, name: &str) -> String {
        let text = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("guests/{name}.wat"));
        format!("file:{}", text.display())
    }

    /// The plugin's command, ready to start.
    pub fn command(&self) -> Command {
        let mut command = match (&self.boot, self.prelude) {
            (None, None) => Command::new(&self.program),
            (boot, prelude) => {
                let mount = "mount --bind \"$0\" /proc/sys/kernel/random/boot_id";
                let prelude = prelude.unwrap_or(mount);
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
        command
            .env("SHELLRT_WASM_ROOT", self.root())
            .env("SHELLRT_HOSTS_DIR", self.files().join("hosts"))
            .env("DOCKER_CONFIG", self.files().join("docker"))
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

    /// Pulls `image` and creates a module of it with more config.
    pub fn create(&self, name: &str, image: &str, config: Value) {
        self.ok(&json!({"_type": "img_pull", "image": image}));
        let mut whole = json!({ "image": image });
        for (key, value) in config.as_object().expect("an object") {
            whole[key] = value.clone();
        }
        self.ok(&json!({"_type": "create", "name": name, "config_type": "wasm", "config": whole}));
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

    /// From now on the plugin believes that the machine was booted anew: the kernel's boot id is
    /// another one, and nothing of before runs.
    pub fn reboot(&mut self) {
        for (pid, _) in self.processes() {
            signal(pid, rustix::process::Signal::KILL);
        }
        until("everything is gone", || self.processes().is_empty());
        let boot = self.files().join("boot_id");
        let count = std::fs::read(&boot).map_or(0, |bytes| bytes.len());
        let id = "0".repeat(count + 1);
        std::fs::write(&boot, id).expect("a file");
        self.boot = Some(boot);
    }

    /// Every living process that belongs to this state directory, with its name.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let mark = format!("SHELLRT_WASM_ROOT={}\0", self.root().display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").expect("procfs").flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let environment = String::from_utf8_lossy(&environment).into_owned();
            if environment.contains(&mark) {
                let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                found.push((pid, name.trim().to_owned()));
            }
        }
        found
    }

    /// Every file below the state directory, by its path from there.
    pub fn state_files(&self) -> Vec<String> {
        fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => walk(&entry.path(), found),
                    _ => found.push(entry.path()),
                }
            }
        }
        let mut found = Vec::new();
        walk(self.root(), &mut found);
        let mut names: Vec<String> = found
            .iter()
            .filter_map(|path| Some(path.strip_prefix(self.root()).ok()?.display().to_string()))
            .collect();
        names.sort();
        names
    }
}

impl Default for Wasm {
    fn default() -> Self {
        Wasm::new()
    }
}

impl Drop for Wasm {
    fn drop(&mut self) {
        for (pid, _) in self.processes() {
            signal(pid, rustix::process::Signal::KILL);
        }
    }
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
