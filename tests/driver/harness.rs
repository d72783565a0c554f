//! One run of the driver: what goes in, what comes out, with a deadline.

use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// No run takes longer; a driver that hangs fails its test.
const DEADLINE: Duration = Duration::from_secs(30);

/// The plugin: a shell script that evaluates `$SCRIPT`.
pub const PLUGIN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../shellrt-api/examples/scripted.sh"
);

/// The bare answer of success.
pub const OK: &str = r#"{"_version":"0.1.0","_status":"ok"}"#;

/// The driver's executable.
pub fn binary() -> PathBuf {
    // The test stands in `target/<host>/<profile>/deps`.
    let test = std::env::current_exe().expect("the test has a path");
    let binary = test
        .ancestors()
        .nth(2)
        .map(|folder| folder.join("shellrt-driver"));
    let binary = binary.expect("the test stands in a folder");
    assert!(
        binary.exists(),
        "{binary:?} is missing; run \"cargo build\" first"
    );
    binary
}

/// A script that takes the request, saves it to `$SENT` and answers `answer`, in which `\0` is a
/// NUL.
pub fn answers(answer: &str) -> String {
    format!(
        "cat >\"$SENT\"; printf '%b' '{}'",
        answer.replace('\'', "'\\''")
    )
}

/// A run that is being prepared.
pub struct Run {
    pub command: Command,
    line: Vec<String>,
    stdin: Vec<u8>,
    folder: tempfile::TempDir,
}

/// What came out of a run.
pub struct Ran {
    line: Vec<String>,
    pub status: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
    /// What the script saved to `$SENT`.
    pub sent: Option<Vec<u8>>,
    pub took: Duration,
}

/// The driver with `line` as its arguments, split at white space; `PLUGIN` is the scripted one.
pub fn driver(line: &str, script: &str) -> Run {
    let line: Vec<_> = line
        .split_whitespace()
        .map(|word| if word == "PLUGIN" { PLUGIN } else { word }.to_owned())
        .collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    // It ends the driver and what that started even where the test itself hangs on them.
    let mut command = Command::new("timeout");
    command
        .args(["--signal=KILL", &DEADLINE.as_secs().to_string()])
        .arg(binary())
        .args(&line)
        .env("SCRIPT", script)
        .env("SENT", folder.path().join("sent"))
        .env("FOLDER", folder.path());
    Run {
        command,
        line,
        stdin: Vec::new(),
        folder,
    }
}

impl Run {
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    /// One more argument, white space and all.
    pub fn arg(mut self, argument: &str) -> Self {
        self.line.push(argument.to_owned());
        self.command.arg(argument);
        self
    }

    /// A folder of this run's own; `$FOLDER` in the script.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it and leaves stdout to the test.
    pub fn spawn(&mut self) -> Child {
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the driver starts")
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Ran {
        let began = Instant::now();
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the driver starts");
        let mut stdin = child.stdin.take().expect("it was piped");
        let input = std::mem::take(&mut self.stdin);
        // From a thread, so that neither side waits for the other; who does not read it, need not.
        thread::spawn(move || drop(stdin.write_all(&input)));
        let stdout = collect(child.stdout.take().expect("it was piped"));
        let stderr = collect(child.stderr.take().expect("it was piped"));
        let status = finish(&mut child, DEADLINE + Duration::from_secs(5));
        let join = |reader: thread::JoinHandle<Vec<u8>>| reader.join().expect("it only reads");
        Ran {
            line: self.line,
            status,
            stdout: join(stdout),
            stderr: String::from_utf8_lossy(&join(stderr)).into_owned(),
            sent: std::fs::read(self.folder.path().join("sent")).ok(),
            took: began.elapsed(),
        }
    }
}

/// Waits for the end and kills at the deadline; the exit code, where there is one.
pub fn finish(child: &mut Child, within: Duration) -> Option<i32> {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status.code();
        }
        thread::sleep(Duration::from_millis(1));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Waits until `condition` holds; false at the deadline.
pub fn eventually(condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        thread::sleep(Duration::from_millis(1));
    }
    false
}

fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before a failure is shown, and the test fails by it.
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

impl Ran {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        let value = serde_json::from_slice(&self.stdout);
        value.unwrap_or_else(|error| panic!("stdout is not JSON: {error}\n{self}"))
    }

    pub fn sent(&self) -> String {
        match &self.sent {
            Some(sent) => String::from_utf8_lossy(sent).into_owned(),
            None => panic!("the plugin was not started\n{self}"),
        }
    }

    #[track_caller]
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self}");
        self
    }

    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "stderr lacks {word:?}\n{self}");
        }
        self
    }
}

/// Everything that there is to know about a run.
impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        writeln!(f, "shellrt-driver {}", self.line.join(" "))?;
        writeln!(f, "status: {:?} after {:?}", self.status, self.took)?;
        writeln!(f, "stdout: {}", text(&self.stdout))?;
        writeln!(f, "stderr: {}", self.stderr)?;
        writeln!(f, "sent:   {:?}", self.sent.as_deref().map(text))
    }
}
