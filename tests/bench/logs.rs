//! Reading large logs.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use tests::wasm::Wasm;

use super::measure::Side;
use super::report::Report;

/// What a module writes at once: 640 lines of 100 bytes.
const CHUNK: u64 = 64_000;

const GIGABYTE: u64 = 1_000_000_000;

const ROUNDS: usize = 15;

/// Measures it.
pub fn measure(report: &mut Report) {
    let wasm = Wasm::new();
    for (name, bytes) in [
        ("large", GIGABYTE),
        ("huge", 10 * GIGABYTE),
        ("small", 10_000),
    ] {
        write(&wasm, name, bytes);
    }
    let files = files(&wasm.root().join("modules/large"));
    let size: u64 = files
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    let mut ours = Side::new("shellrt-wasm", || {
        into_null(
            &mut wasm.command(),
            r#"{"_version":"0.1.0","_type":"logs","name":"large"}"#,
        )
    });
    let mut peer = Side::new("cat", || into_null(Command::new("cat").args(&files), ""));
    report.compare("`logs` of 1 GB", Some(2.0), ROUNDS, &mut ours, &mut peer);
    #[allow(clippy::cast_precision_loss, reason = "it is printed with two digits")]
    let overhead = size as f64 / GIGABYTE as f64;
    report.note(format!("The file of the 1 GB log has {overhead:.2} GB."));
    let tail = |name: &'static str, side: &str| {
        let request = json!({"_type": "logs", "name": name, "tail": 10});
        let wasm = &wasm;
        Side::new(side, move || {
            let text = wasm.ask(&request).stream.expect("a stream");
            assert_eq!(text.len(), 1000);
            String::from_utf8(text).unwrap()
        })
    };
    let (mut ours, mut peer) = (
        tail("huge", "shellrt-wasm"),
        tail("small", "of a 10 kB log"),
    );
    report.compare(
        "the last 10 lines of a 10 GB log",
        Some(1.5),
        100,
        &mut ours,
        &mut peer,
    );
}

/// Has a module write so many bytes.
fn write(wasm: &Wasm, name: &str, bytes: u64) {
    let program = wasm.files().join(format!("{name}.wat"));
    let chunk = CHUNK.min(bytes);
    let line = format!(
        "{:<99}\\n",
        "a line as programs write them, with a level, a place and some words"
    );
    let text = format!(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 2)
          (data (i32.const 1024) "{line}")
          (func (export "_start") (local $n i32)
            ;; Copying forwards over itself repeats the line.
            (loop $fill
              (i32.store (i32.add (i32.const 1124) (local.get $n))
                (i32.load (i32.add (i32.const 1024) (local.get $n))))
              (local.set $n (i32.add (local.get $n) (i32.const 4)))
              (br_if $fill (i32.lt_u (local.get $n) (i32.const {chunk}))))
            (local.set $n (i32.const 0))
            (loop $write
              (i32.store (i32.const 0) (i32.const 1024))
              (i32.store (i32.const 4) (i32.const {chunk}))
              (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
              (local.set $n (i32.add (local.get $n) (i32.const 1)))
              (br_if $write (i32.lt_u (local.get $n) (i32.const {}))))))"#,
        bytes / chunk
    );
    fs::write(&program, text).unwrap();
    let image = format!("file:{}", program.display());
    wasm.create(
        name,
        &image,
        json!({"log": {"max_size": "100g", "max_files": 1}}),
    );
    wasm.module("start", name);
    wasm.module("wait", name);
}

/// The large files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let about = entry.metadata().unwrap();
        if about.is_dir() {
            found.extend(files(&entry.path()));
        } else if about.len() > GIGABYTE / 100 {
            found.push(entry.path());
        }
    }
    found
}

/// Runs a command to its end; what it prints goes nowhere.
fn into_null(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(File::create("/dev/null").unwrap())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait().unwrap().to_string()
}
