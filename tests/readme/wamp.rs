//! The transcript of a WAMP component, typed into a shell line by line.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::router::{free_port, program};
use tests::wasm::Wasm;

/// How long anything may take: a router begins within a quarter of a minute on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What stands before the first command that is typed: what it installs and builds is here.
const PREPARED: [&str; 5] = [
    "apt-get ",
    "cargo ",
    "export PATH=",
    "python3 -m venv router",
    "python3 -m venv caller",
];

#[test]
fn a_wamp_component_does_what_the_readme_shows() {
    let Some((crossbar, python)) =
        program("crossbar", "crossbar").zip(program("autobahn", "python"))
    else {
        return;
    };
    let wasm = Wasm::new();
    let port = free_port();
    prepare(wasm.files(), port, &crossbar, &python);
    let mut shell = Shell::start(&wasm, port);
    let shown = super::block("console", "$ shellrt-edged wamp");
    let mut commands = 0;
    for part in shown
        .split("$ ")
        .skip(1)
        .filter(|part| !part.trim().is_empty())
    {
        // A `$` inside a line is not one that begins it.
        let (line, wanted) = part.split_once('\n').unwrap_or((part, ""));
        if PREPARED.iter().any(|begin| line.starts_with(begin)) {
            continue;
        }
        shell.type_in(&line.replace("8080", &port.to_string()));
        commands += 1;
        if line.contains("crossbar start") {
            eventually("the router", || {
                TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
            });
        }
        shell.wait_for(&wanted.replace("8080", &port.to_string()));
    }
    assert_eq!(commands, 10, "{shown}");
    assert!(shell.end(), "{}", shell.errors());
}

/// What the first commands of the transcript would have made in `dir`.
fn prepare(dir: &Path, port: u16, crossbar: &Path, python: &Path) {
    let examples = dir.join("shellrt-edge/examples/wamp");
    fs::create_dir_all(&examples).unwrap();
    for name in ["echo.c", "call.py", "crossbar.json"] {
        let text = fs::read_to_string(super::root().join("shellrt-edge/examples/wamp").join(name));
        let text = text.unwrap().replace("8080", &port.to_string());
        fs::write(examples.join(name), text).unwrap();
    }
    symlink(python.ancestors().nth(2).unwrap(), dir.join("caller")).unwrap();
    // An environment that was copied to another place has scripts that name the old one.
    let bin = dir.join("router/bin");
    fs::create_dir_all(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\nexec '{}' '{}' \"$@\"\n",
        crossbar.with_file_name("python").display(),
        crossbar.display()
    );
    fs::write(bin.join("crossbar"), script).unwrap();
    fs::set_permissions(bin.join("crossbar"), PermissionsExt::from_mode(0o755)).unwrap();
}

/// A shell with jobs, as a person has it.
struct Shell {
    child: Child,
    out: PathBuf,
    errors: PathBuf,
    /// How many lines of its output and of the log were awaited.
    heard: [usize; 2],
}

impl Shell {
    fn start(wasm: &Wasm, port: u16) -> Shell {
        let dir = wasm.files();
        let (out, errors) = (dir.join("out"), dir.join("errors"));
        let programs = tests::binaries::program("shellrt-edged");
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", programs.parent().unwrap().display());
        let mut command = Command::new("bash");
        command
            .current_dir(dir)
            .env("PATH", path)
            .env("HOME", dir)
            .env("WAMP_URL", format!("ws://127.0.0.1:{port}/ws"))
            .stdin(Stdio::piped())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&errors).unwrap());
        for (name, value) in &wasm.environment {
            command.env(name, value.as_ref().unwrap());
        }
        let mut shell = Shell {
            child: command.spawn().unwrap(),
            out,
            errors,
            heard: [0; 2],
        };
        // Each job has a group of its own, as at a terminal.
        shell.type_in("set -m");
        shell
    }

    fn type_in(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    /// Waits for lines of a program's output and of the daemon's log, in any order, but behind those that
    /// were awaited before.
    fn wait_for(&mut self, wanted: &str) {
        let mut heard = self.heard;
        for wanted in wanted.lines() {
            let is_log = ["INFO  ", "WARN  "].iter().any(|it| wanted.starts_with(it));
            let which = usize::from(is_log);
            let wanted = if is_log { &wanted[6..] } else { wanted };
            eventually(&format!("{wanted:?} in {}", self.errors.display()), || {
                let lines = match is_log {
                    true => self.messages(),
                    false => fs::read_to_string(&self.out).unwrap(),
                };
                let mut lines = lines.lines().enumerate().skip(self.heard[which]);
                let found = lines.find(|(_, line)| is_as(line, wanted));
                heard[which] = found.map_or(0, |(number, _)| number + 1).max(heard[which]);
                found.is_some()
            });
        }
        self.heard = heard;
    }

    fn messages(&self) -> String {
        let lines = self.errors();
        let messages = lines.lines().filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some(format!("{}\n", line["message"].as_str()?))
        });
        messages.collect()
    }

    fn errors(&self) -> String {
        fs::read_to_string(&self.errors).unwrap_or_default()
    }

    /// Nothing more is typed. Answers whether all went well.
    fn end(&mut self) -> bool {
        self.type_in("wait");
        drop(self.child.stdin.take());
        self.child.wait().unwrap().success()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.child.stdin.take() {
            let _ = writeln!(stdin, "kill -KILL %router; kill %shellrt-edged; wait");
        }
        let _ = self.child.wait();
    }
}

/// Waits for something that a router takes its time for.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The number of a module differs with the port.
fn is_as(line: &str, wanted: &str) -> bool {
    let without = |line: &str| match line.split_once("-wasm-0-") {
        Some((begin, rest)) => format!("{begin}{}", rest.get(8..).unwrap_or_default()),
        None => line.to_owned(),
    };
    without(line) == without(wanted)
}
