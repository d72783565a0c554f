//! `shellrt-edged linux-minimal` below a manager that is nothing but a Unix socket and the bytes of the
//! protocol's description.

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;
use tests::binaries::program;
use tests::wasm::Wasm;

use crate::frames::Connection;
use crate::process::Process;

/// A program that writes twelve bytes, as the one did whose bytes were seen.
const HELLO: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\0c\00\00\00hello world\n")
  (func (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))))"#;

/// What a manager sends for a hello module, member by member as it was seen.
const CREATE: &str = r#"{"type": "module", "index": 0, "uuid": "77aa3b1e-4c59-4b3e-8a0e-7c1d2f3a4b5c", "name": "hello", "parent": "9c02", "file": "wasm/hello.wasm", "apis": ["wasm", "wasi"], "args": {"argv": ["x"], "env": ["A=1"], "limit": 60.0}, "channels": [], "status": "A"}"#;

/// The manager's side.
struct Manager {
    wasm: Wasm,
    dir: tempfile::TempDir,
    listener: UnixListener,
    header: usize,
}

impl Manager {
    /// Listens where the runtime of index 10 looks for it.
    fn new(header: usize) -> Manager {
        let wasm = Wasm::new();
        let dir = tempfile::tempdir().unwrap();
        let programs = dir.path().join("wasm");
        std::fs::create_dir(&programs).unwrap();
        let hello = wat::parse_str(HELLO).unwrap();
        std::fs::write(programs.join("hello.wasm"), hello).unwrap();
        for guest in ["ticks", "echo", "args", "both", "forever", "exit_7", "env"] {
            let text = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("guests/{guest}.wat"));
            std::fs::copy(text, programs.join(format!("{guest}.wat"))).unwrap();
        }
        let listener = UnixListener::bind(dir.path().join("0a.s")).unwrap();
        Manager {
            wasm,
            dir,
            listener,
            header,
        }
    }

    /// Starts the runtime as a manager does, the index last.
    fn start(&self, options: &[&str]) -> (Process, Connection) {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let mut command = Command::new(program("shellrt-edged"));
        command.arg("linux-minimal");
        command.args(["--socket-dir", &path(self.dir.path())]);
        command.args(["--files", &path(self.dir.path())]);
        command.args(["--state-dir", &path(&self.dir.path().join("state"))]);
        command.args(["--plugin", &path(&program("shellrt-wasm"))]);
        command.args(options).arg("10");
        for (name, value) in &self.wasm.environment {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let process = Process::start(command);
        self.listener.set_nonblocking(true).unwrap();
        let mut connected = None;
        tests::plugin::until("the runtime connects", || {
            connected = self.listener.accept().ok();
            connected.is_some()
        });
        let (stream, _) = connected.unwrap();
        stream.set_nonblocking(false).unwrap();
        (process, Connection::new(stream, self.header))
    }

    /// Nothing of the runtime is left.
    fn is_clean(&self) {
        assert_eq!(
            self.wasm.ok(&json!({"_type": "list"}))["modules"],
            json!([])
        );
        assert_eq!(self.wasm.processes(), []);
    }
}

fn create(manager: &mut Connection, index: u8, uuid: &str, file: &str) {
    let data = json!({"index": index, "uuid": uuid, "name": uuid, "file": file, "args": []});
    manager.send(0x80 | index, 0, data.to_string().as_bytes());
}

fn open(manager: &mut Connection, index: u8) {
    manager.expect(0x80 | index, 3, b"\x00\x03$SL/proc/stdio");
}

fn hello(header: usize, options: &[&str]) {
    let manager = Manager::new(header);
    let (mut process, mut connection) = manager.start(options);
    for _ in 0..2 {
        connection.send(0x80, 0, CREATE.as_bytes());
        // 16 bytes, then 12, then the JSON.
        connection.expect(0x80, 3, b"\x00\x03$SL/proc/stdio");
        connection.expect(0x00, 0, b"hello world\n");
        let exited = connection.next().unwrap();
        assert_eq!((exited.0, exited.1), (0x80, 2));
        assert_eq!(exited.json()["status"], "exited");
        assert_eq!(exited.json()["exit_code"], 0);
    }
    connection.send(0x80, 2, b"");
    assert_eq!(connection.next(), None);
    assert_eq!(process.end(), Some(0));
    manager.is_clean();
}

#[test]
fn a_hello_module_is_the_bytes_that_were_seen() {
    hello(6, &[]);
}

#[test]
fn the_older_header_says_the_same() {
    hello(4, &["--header", "4"]);
}

#[test]
fn output_comes_while_the_program_runs_and_a_delete_ends_it() {
    let manager = Manager::new(6);
    let (_process, mut connection) = manager.start(&[]);
    create(&mut connection, 0, "m-1", "wasm/ticks.wat");
    open(&mut connection, 0);
    for _ in 0..3 {
        let frame = connection.next().unwrap();
        assert_eq!((frame.0, frame.1), (0, 0));
        assert!(frame.2.starts_with(b"tick\n"), "{frame:?}");
    }
    connection.send(0x80, 1, b"");
    let exited = connection.until(0x80, 2).json();
    assert_eq!(exited["status"], "exited");
    assert_eq!(exited["reason"], "deleted");
    // The index is free again.
    create(&mut connection, 0, "m-2", "wasm/hello.wasm");
    open(&mut connection, 0);
    connection.expect(0, 0, b"hello world\n");
}

#[test]
fn several_modules_keep_their_own_input_and_output() {
    let manager = Manager::new(6);
    let (_process, mut connection) = manager.start(&[]);
    for index in [0, 7, 127] {
        create(
            &mut connection,
            index,
            &format!("m-{index}"),
            "wasm/echo.wat",
        );
        open(&mut connection, index);
    }
    for index in [127, 0, 7] {
        let text = format!("for {index}\n");
        // What comes before the program has begun is not lost.
        connection.send(index, 0, text.as_bytes());
        connection.expect(index, 0, text.as_bytes());
    }
    connection.send(0x87, 1, b"");
    assert_eq!(connection.until(0x87, 2).json()["reason"], "deleted");
    connection.send(0, 0, b"again\n");
    connection.expect(0, 0, b"again\n");
}

#[test]
fn arguments_environment_and_exit_codes() {
    let manager = Manager::new(6);
    let (_process, mut connection) = manager.start(&[]);
    let data =
        json!({"index": 0, "uuid": "m", "file": "wasm/args.wat", "args": {"argv": ["a", "b c"]}});
    connection.send(0x80, 0, data.to_string().as_bytes());
    open(&mut connection, 0);
    connection.expect(0, 0, b"a\nb c\n");
    connection.until(0x80, 2);
    create(&mut connection, 1, "seven", "wasm/exit_7.wat");
    open(&mut connection, 1);
    assert_eq!(connection.until(0x81, 2).json()["exit_code"], 7);
    // What a module writes to stderr is its log: a level of 20, and text.
    create(&mut connection, 2, "both", "wasm/both.wat");
    let log = connection.until(0x82, 5);
    assert_eq!(log.2[0], 0x80 | 20);
    assert!(log.2[1..].starts_with(b"err 1"), "{log:?}");
}

#[test]
fn a_module_that_can_not_run_is_reported_and_nothing_else_suffers() {
    let manager = Manager::new(6);
    let (_process, mut connection) = manager.start(&[]);
    for (file, words) in [
        ("wasm/none.wasm", "there is no file"),
        ("../../etc/passwd", "is not below"),
        ("/etc/passwd", "is not below"),
        ("0a.s", ""),
    ] {
        create(&mut connection, 3, "m", file);
        let log = connection.until(0x83, 5);
        assert_eq!(log.2[0], 0x80 | 40);
        let exited = connection.until(0x83, 2).json();
        assert_eq!(exited["status"], "exited");
        let error = exited["error"].as_str().unwrap();
        assert!(error.contains(words), "{error}");
    }
    // What is no message is answered in the log.
    connection.send(0x80, 0, b"{");
    assert_eq!(connection.until(0x80, 1).2[0], 0x80 | 40);
    connection.send(0x80, 9, b"");
    assert_eq!(connection.until(0x80, 1).2[0], 0x80 | 40);
    // A delete for nobody, and input for nobody.
    connection.send(0x85, 1, b"");
    connection.send(0x05, 0, b"x");
    connection.send(0x80, 0, CREATE.as_bytes());
    open(&mut connection, 0);
    connection.expect(0, 0, b"hello world\n");
}

#[test]
fn a_keepalive_lists_the_modules() {
    let manager = Manager::new(6);
    let (_process, mut connection) = manager.start(&["--keepalive", "1"]);
    create(&mut connection, 0, "m-1", "wasm/echo.wat");
    open(&mut connection, 0);
    let idle = loop {
        let keepalive = connection.until(0x80, 0).json();
        // The first may come before the module runs.
        if keepalive["children"][0]["mem_usage"].is_u64() {
            break keepalive;
        }
    };
    let child = &idle["children"][0];
    assert_eq!(child["uuid"], "m-1");
    assert_eq!(child["active"], -1);
    assert!(child["cpu_usage_percent"].is_f64(), "{idle}");
    connection.send(0, 0, b"x\n");
    connection.expect(0, 0, b"x\n");
    let keepalive = connection.until(0x80, 0).json();
    let active = keepalive["children"][0]["active"].as_str().unwrap();
    assert!(
        active.starts_with("20") && active.ends_with('Z'),
        "{active}"
    );
}

#[test]
fn a_signal_ends_the_modules_and_reports_them() {
    let manager = Manager::new(6);
    let (mut process, mut connection) = manager.start(&[]);
    for index in 0..3 {
        create(
            &mut connection,
            index,
            &format!("m-{index}"),
            "wasm/ticks.wat",
        );
    }
    connection.until(2, 0);
    process.signal(Signal::TERM);
    let mut ended: Vec<u8> = (0..3)
        .map(|_| loop {
            let frame = connection.next().unwrap();
            if frame.1 == 2 {
                break frame.0;
            }
        })
        .collect();
    ended.sort();
    assert_eq!(ended, [0x80, 0x81, 0x82]);
    assert_eq!(process.end(), Some(0));
    manager.is_clean();
}

#[test]
fn without_its_manager_it_ends_and_so_do_its_modules() {
    let manager = Manager::new(6);
    let (mut process, mut connection) = manager.start(&[]);
    create(&mut connection, 0, "m", "wasm/ticks.wat");
    connection.until(0, 0);
    drop(connection);
    assert_eq!(process.end(), Some(1));
    assert!(process.log().contains("the manager has gone"));
    manager.is_clean();
}

#[test]
fn headers_that_differ_are_told() {
    let manager = Manager::new(6);
    let (mut process, mut connection) = manager.start(&[]);
    // What is the text of a message for one is a length for the other.
    connection.stream.write_all(CREATE.as_bytes()).unwrap();
    assert_eq!(connection.next(), None);
    assert_eq!(process.end(), Some(1));
    let log = process.log();
    assert!(
        log.contains("do both sides use a header of 6 bytes?"),
        "{log}"
    );
}

#[test]
fn after_a_kill_the_same_module_runs_again() {
    let manager = Manager::new(6);
    let (mut process, mut connection) = manager.start(&[]);
    create(&mut connection, 0, "m-1", "wasm/ticks.wat");
    create(&mut connection, 1, "m-2", "wasm/ticks.wat");
    connection.until(1, 0);
    process.signal(Signal::KILL);
    assert_eq!(process.end(), None);
    let (mut process, mut connection) = manager.start(&[]);
    create(&mut connection, 5, "m-1", "wasm/hello.wasm");
    connection.expect(0x85, 3, b"\x00\x03$SL/proc/stdio");
    connection.expect(5, 0, b"hello world\n");
    assert_eq!(connection.next().unwrap().json()["exit_code"], 0);
    // The other one is nobody's, and goes.
    tests::plugin::until("nothing is left", || {
        manager.wasm.ok(&json!({"_type": "list"}))["modules"] == json!([])
    });
    connection.send(0x80, 2, b"");
    assert_eq!(process.end(), Some(0));
    manager.is_clean();
}

#[test]
fn without_a_manager_it_says_so() {
    let manager = Manager::new(6);
    let mut command = Command::new(program("shellrt-edged"));
    command.args(["linux-minimal", "3", "--socket-dir"]);
    command.arg(manager.dir.path());
    command.arg("--state-dir").arg(manager.dir.path());
    let mut process = Process::start(command);
    assert_eq!(process.end(), Some(1));
    let log = process.log();
    assert!(
        log.contains("no manager listens at") && log.contains("03.s"),
        "{log}"
    );
}
