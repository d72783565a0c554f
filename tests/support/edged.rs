//! `shellrt-edged` as a service manager runs it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::binaries::program;
use super::plugin::{signal, until};

/// A daemon. Dropping it kills it.
pub struct Edged {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Edged {
    /// The program with `arguments`; nothing of this process's environment sways it but `PATH` and `HOME`.
    pub fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(program("shellrt-edged"));
        for variable in [
            "LOG_LEVEL",
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
            "WATCHDOG_PID",
        ] {
            command.env_remove(variable);
        }
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Starts it.
    pub fn start(mut command: Command) -> Edged {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                heard.lock().expect("no panic").push(line);
            }
        });
        Edged {
            child,
            lines,
            reader: Some(reader),
        }
    }

    /// What it has logged so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no panic").clone()
    }

    /// The messages of that.
    pub fn messages(&self) -> Vec<String> {
        let lines = self.lines();
        let messages = lines.iter().map(|line| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            line["message"].as_str().unwrap_or_default().to_owned()
        });
        messages.collect()
    }

    /// Waits for a message that begins so, and answers the rest of it.
    pub fn wait_for(&self, beginning: &str) -> String {
        let mut found = None;
        until(&format!("{beginning:?} in {:?}", self.lines()), || {
            let messages = self.messages();
            let rest = messages.iter().find_map(|it| it.strip_prefix(beginning));
            found = rest.map(str::to_owned);
            found.is_some()
        });
        found.expect("it was just found")
    }

    /// Sends it a signal.
    pub fn signal(&self, which: Signal) {
        signal(self.child.id(), which);
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end: the exit status, or 128 and the signal's number.
    pub fn end(&mut self) -> i32 {
        let deadline = Instant::now() + Duration::from_secs(20);
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                break status;
            }
            assert!(Instant::now() < deadline, "it goes on: {:?}", self.lines());
            std::thread::sleep(Duration::from_millis(5));
        };
        if let Some(reader) = self.reader.take() {
            reader.join().expect("no panic");
        }
        let signal = status.signal().map(|signal| 128 + signal);
        status.code().or(signal).expect("an end")
    }
}

impl Drop for Edged {
    fn drop(&mut self) {
        // It may have ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What an HTTP server answers.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head in lower case, as it came.
    pub head: String,
    /// The body.
    pub body: String,
}

/// Sends a request to where a daemon says that it serves its status, and reads to the end.
pub fn ask(url: &str, request: &str) -> Answer {
    let mut connection = connect(url);
    connection
        .write_all(request.as_bytes())
        .expect("it is read");
    let mut answer = String::new();
    // What was not read of the request makes the end of the connection a rough one.
    let _ = connection.read_to_string(&mut answer);
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{request:?} => {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Answer {
        status: status.expect("a status"),
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

/// `GET path`.
pub fn get(url: &str, path: &str) -> Answer {
    ask(
        url,
        &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    )
}

/// A connection.
pub trait Connection: Read + Write + Send {}

impl<T: Read + Write + Send> Connection for T {}

/// Connects to `unix:` and a path, or `http://` and an address.
pub fn connect(url: &str) -> Box<dyn Connection> {
    let patience = Some(Duration::from_secs(20));
    match url.strip_prefix("unix:") {
        Some(path) => {
            let stream = UnixStream::connect(Path::new(path)).expect("it listens");
            stream.set_read_timeout(patience).expect("a time");
            Box::new(stream)
        }
        None => {
            let address = url.trim_start_matches("http://").trim_end_matches('/');
            let stream = TcpStream::connect(address).expect("it listens");
            stream.set_read_timeout(patience).expect("a time");
            Box::new(stream)
        }
    }
}
