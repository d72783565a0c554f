//! Programs that nobody here wrote, with arguments, environment, directories and exit codes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tests::wasm::{until, Wasm};

/// A program that `tests/programs/fetch` brings. Without it a test is ignored, except in CI.
fn fetched(name: &str) -> Option<String> {
    let path = tests::binaries::target_dir().join("programs").join(name);
    if path.exists() {
        return Some(format!("file:{}", path.display()));
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "{} is missing: tests/programs/fetch",
        path.display()
    );
    println!(
        "ignored: {} is missing: tests/programs/fetch",
        path.display()
    );
    None
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// A directory that the module may write to, with one file.
fn directory(wasm: &Wasm) -> PathBuf {
    let dir = wasm.files().join("data");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("in.txt"), "two words\n").unwrap();
    dir
}

#[test]
fn a_solver_from_pypi() {
    let wasm = Wasm::new();
    let image = format!("file:{}", programs().join("boolector.wasm").display());
    let mount = json!([{"type": "bind", "source": programs(), "target": "/work"}]);
    wasm.create(
        "a",
        &image,
        json!({"command": ["/work/square.smt2"], "mounts": mount}),
    );
    wasm.module("start", "a");
    assert_eq!(wasm.module("wait", "a")["exit_code"], 10);
    assert_eq!(wasm.logs("a"), b"sat\n");
    wasm.module("remove", "a");
    // It writes nothing without the right to.
    let command = json!(["-o", "/work/model", "--model-gen", "/work/square.smt2"]);
    wasm.create("a", &image, json!({"command": command, "mounts": mount}));
    wasm.module("start", "a");
    assert_eq!(wasm.module("wait", "a")["exit_code"], 1);
    assert!(!programs().join("model").exists());
}

#[test]
fn a_c_program_with_wasi_libc() {
    let wasm = Wasm::new();
    let program = wasm.files().join("word_count.wasm");
    let built = Command::new("clang")
        .args(["--target=wasm32-wasi", "--sysroot=/usr", "-O1", "-o"])
        .arg(&program)
        .arg(programs().join("word_count.c"))
        .status();
    if !built.is_ok_and(|status| status.success()) {
        assert!(
            std::env::var_os("CI").is_none(),
            "clang with wasi-libc is needed"
        );
        println!("ignored: clang with wasi-libc is not installed");
        return;
    }
    let image = format!("file:{}", program.display());
    let mount = json!([{"type": "bind", "source": directory(&wasm), "target": "/data"}]);
    let command = json!(["/data/in.txt", "/data/none", "/etc/passwd"]);
    wasm.create("a", &image, json!({"command": command, "mounts": mount}));
    wasm.module("start", "a");
    assert_eq!(wasm.module("wait", "a")["exit_code"], 1);
    let logs = String::from_utf8(wasm.logs("a")).unwrap();
    let mut lines = logs.lines();
    assert_eq!(lines.next(), Some("1 2 10 /data/in.txt"));
    assert!(lines.next().unwrap().starts_with("/data/none: "), "{logs}");
    // Nothing of the host's is there.
    assert!(lines.next().unwrap().starts_with("/etc/passwd: "), "{logs}");
    let config = json!({"image": image});
    wasm.ok(
        &json!({"_type": "create", "name": "b", "config_type": "wasm", "config": config,
        "env": {"EXIT_WITH": "42"}}),
    );
    wasm.module("start", "b");
    assert_eq!(wasm.module("wait", "b")["exit_code"], 42);
}

#[test]
fn cpython_from_npm() {
    let wasm = Wasm::new();
    let Some(image) = fetched("python.wasm") else {
        return;
    };
    wasm.ok(&json!({"_type": "img_pull", "image": image}));
    let script = "import json, os, sys\n\
        print(json.dumps([sys.version_info[:2], sys.argv[1:], os.environ['GREETING'], \
        open('/data/in.txt').read()]))\n\
        open('/data/out.txt', 'w').write('written')\n\
        print('to stderr', file=sys.stderr)\n\
        sys.exit(5)";
    let data = directory(&wasm);
    let mount = json!([{"type": "bind", "source": data, "target": "/data", "read_only": false}]);
    let config =
        json!({"image": image, "command": ["-c", script, "one", "two words"], "mounts": mount});
    wasm.ok(
        &json!({"_type": "create", "name": "a", "config_type": "wasm", "config": config,
        "env": {"GREETING": "hello"}}),
    );
    wasm.module("start", "a");
    assert_eq!(wasm.module("wait", "a")["exit_code"], 5);
    let only = |stream: &str| {
        let answer = wasm.ask(&json!({"_type": "logs", "name": "a", "streams": [stream]}));
        String::from_utf8(answer.stream.unwrap()).unwrap()
    };
    assert_eq!(
        only("stdout"),
        "[[3, 12], [\"one\", \"two words\"], \"hello\", \"two words\\n\"]\n"
    );
    assert_eq!(only("stderr"), "to stderr\n");
    assert_eq!(
        std::fs::read_to_string(data.join("out.txt")).unwrap(),
        "written"
    );

    // It takes 64 MB and is given 32.
    let config = json!({"image": image, "mem_limit": "32m",
        "command": ["-c", "x = [bytearray(1 << 20) for _ in range(64)]"]});
    wasm.ok(&json!({"_type": "create", "name": "b", "config_type": "wasm", "config": config}));
    wasm.module("start", "b");
    let status = wasm.module("wait", "b");
    assert_ne!(status["exit_code"], 0, "{status}");
}

#[test]
fn a_component_from_pypi() {
    let wasm = Wasm::new();
    let Some(image) = fetched("app.wasm") else {
        return;
    };
    let mount = json!([{"type": "bind", "source": directory(&wasm), "target": "/data"}]);
    let config = json!({"command": ["one", "two"], "mounts": mount, "stdin": true});
    wasm.create("a", &image, config);
    let mut attach = wasm.open(&json!({
        "_type": "attach", "name": "a", "stdin": true, "close_stdin": true,
    }));
    attach
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"\0a line\n")
        .unwrap();
    assert_eq!(attach.object()["_status"], "ok");
    wasm.module("start", "a");
    let answer = attach_text(&mut attach);
    assert_eq!(answer, "3 ['one', 'two'] None\n['in.txt']\nheard a line\n");
    let status = wasm.module("wait", "a");
    assert_eq!(
        (&status["exit_code"], &status["status"]),
        (&json!(0), &json!("stopped"))
    );

    wasm.create("b", &image, json!({"command": ["fail"], "mounts": mount}));
    wasm.module("start", "b");
    let status = wasm.module("wait", "b");
    assert_eq!(status["status"], "failed", "{status}");
    let logs = String::from_utf8(wasm.logs("b")).unwrap();
    assert!(logs.contains("RuntimeError: as told"), "{logs}");
}

fn attach_text(attach: &mut tests::wasm::Open) -> String {
    drop(attach.stdin.take());
    let mut text = String::new();
    attach.stdout.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn an_http_component_from_pypi() {
    let wasm = Wasm::new();
    let Some(image) = fetched("web.wasm") else {
        return;
    };
    // The port is free at this moment, and nobody else's business.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let listen = format!("127.0.0.1:{port}");
    wasm.create("a", &image, json!({"network": {"listen": listen}}));
    wasm.module("start", "a");
    for path in ["/", "/one/two?three"] {
        let mut stream = TcpStream::connect(&listen).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {listen}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains(&format!("hello {path}\n")), "{answer}");
    }
    wasm.module("stop", "a");
    let status = wasm.module("status", "a");
    assert_eq!(
        (&status["status"], &status["exit_code"]),
        (&json!("stopped"), &json!(0))
    );
    until("nothing runs", || wasm.processes().is_empty());
    assert_eq!(wasm.logs("a"), b"asked for /\nasked for /one/two?three\n");
}
