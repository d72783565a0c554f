//! Output and input, byte by byte.

use std::io::{Read, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tests::wasm::{until, Wasm};

#[test]
fn a_followed_line_is_seen_within_100_ms_of_its_writing() {
    let wasm = Wasm::new();
    wasm.create("a", &wasm.guest("ticks"), json!({}));
    wasm.module("start", "a");
    let mut follow =
        wasm.open(&json!({"_type": "logs", "name": "a", "follow": true, "timestamps": true}));
    assert_eq!(follow.object()["_status"], "ok");
    let mut delays = Vec::new();
    for _ in 0..10 {
        let line = follow.line();
        let seen = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let (time, _) = line.split_once(' ').unwrap();
        let written = nanoseconds(time);
        delays.push(i128::try_from(seen.as_nanos()).unwrap() - written);
    }
    // The first lines were written before anybody looked. Of the others the median counts: what the
    // machine's other work does to a single one says nothing about this program.
    let mut fresh = delays.split_off(3);
    fresh.sort_unstable();
    assert!(fresh[fresh.len() / 2] < 100_000_000, "{fresh:?}");
    wasm.ok(&json!({"_type": "stop", "name": "a", "timeout": 0}));
    let answer = read_to_end(&mut follow);
    assert!(answer.len() < 1 << 20);
}

fn read_to_end(open: &mut tests::wasm::Open) -> Vec<u8> {
    let mut bytes = Vec::new();
    open.stdout.read_to_end(&mut bytes).unwrap();
    bytes
}

/// `2026-01-02T03:04:05.000000006Z`, in nanoseconds since the epoch.
fn nanoseconds(time: &str) -> i128 {
    let number = |range: std::ops::Range<usize>| time[range].parse::<i128>().unwrap();
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Days from the civil date, counted from March, so that the leap day is the last one.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    let seconds = days * 86400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19);
    seconds * 1_000_000_000 + number(20..29)
}

#[test]
fn bytes_out_are_bytes_written() {
    let wasm = Wasm::new();
    let program = wasm.files().join("cat.wat");
    std::fs::write(&program, CAT).unwrap();
    let image = format!("file:{}", program.display());
    wasm.create(
        "a",
        &image,
        json!({"stdin": true, "log": {"max_size": "1m", "max_files": 20}}),
    );
    // Every byte there is, lines of many lengths, and no newline at the end.
    let mut bytes: Vec<u8> = (0..=255).collect();
    for length in [0, 1, 16_383, 16_384, 16_385, 100_000] {
        bytes.extend(std::iter::repeat_n(b'x', length));
        bytes.push(b'\n');
    }
    let mut random = 88_172_645_463_325_252_u64;
    for _ in 0..1_000_000 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        bytes.push(random.to_le_bytes()[0]);
    }
    bytes.extend(b"no end");
    let mut attach = wasm.open(&json!({
        "_type": "attach", "name": "a", "stdin": true, "close_stdin": true,
    }));
    let mut stdin = attach.stdin.take().unwrap();
    stdin.write_all(&[0]).unwrap();
    assert_eq!(attach.object()["_status"], "ok");
    wasm.module("start", "a");
    let follow = wasm.open(&json!({"_type": "logs", "name": "a", "follow": true}));
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let live = read_to_end(&mut attach);
    writer.join().unwrap();
    let followed = follow.finish().stream.unwrap();
    assert_eq!(wasm.module("wait", "a")["exit_code"], 0);
    assert!(
        live == bytes,
        "attach: {} of {} bytes",
        live.len(),
        bytes.len()
    );
    assert!(
        followed == bytes,
        "logs -f: {} of {} bytes",
        followed.len(),
        bytes.len()
    );
    assert!(wasm.logs("a") == bytes);
}

/// Copies stdin to stdout.
const CAT: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (loop $again
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 50000))
      (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (if (i32.load (i32.const 8)) (then
        (loop $rest
          (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)) (then unreachable))
          (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.load (i32.const 12))))
          (i32.store (i32.const 4) (i32.sub (i32.load (i32.const 4)) (i32.load (i32.const 12))))
          (br_if $rest (i32.load (i32.const 4))))
        (br $again))))))"#;

#[test]
fn stdin_stays_open_from_one_attach_to_the_next() {
    let wasm = Wasm::new();
    wasm.create("a", &wasm.guest("echo"), json!({"stdin": true}));
    let request = json!({"_type": "attach", "name": "a", "stdin": true});
    let mut first = wasm.open(&request);
    first.stdin.as_mut().unwrap().write_all(b"\0one\n").unwrap();
    assert_eq!(first.object()["_status"], "ok");
    wasm.module("start", "a");
    assert_eq!(first.line(), "one\n");
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let mut second = wasm.open(&request);
    second
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"\0two\n")
        .unwrap();
    assert_eq!(second.object()["_status"], "ok");
    assert_eq!(second.line(), "two\n");
    assert_eq!(wasm.logs("a"), b"one\ntwo\n");
    drop(second.stdin.take());
    wasm.module("stop", "a");
    assert_eq!(read_to_end(&mut second), b"");
}

#[test]
fn a_slow_reader_slows_the_module_and_loses_nothing() {
    let wasm = Wasm::new();
    wasm.create(
        "a",
        &wasm.guest("large"),
        json!({"log": {"streams": ["stderr"]}}),
    );
    let mut attach = wasm.open(&json!({"_type": "attach", "name": "a"}));
    assert_eq!(attach.object()["_status"], "ok");
    wasm.module("start", "a");
    std::thread::sleep(Duration::from_millis(200));
    // It can't end before its output has been taken.
    assert_eq!(wasm.module("status", "a")["status"], "running");
    let live = read_to_end(&mut attach);
    wasm.module("wait", "a");
    assert_eq!(wasm.logs("a"), b"");
    wasm.create("b", &wasm.guest("large"), json!({}));
    wasm.module("start", "b");
    wasm.module("wait", "b");
    assert!(wasm.logs("b") == live, "{} bytes", live.len());
}

#[test]
fn an_idle_stream_ends_when_its_reader_goes() {
    let wasm = Wasm::new();
    wasm.create("a", &wasm.guest("forever"), json!({}));
    wasm.module("start", "a");
    for request in [
        json!({"_type": "logs", "name": "a", "follow": true}),
        json!({"_type": "attach", "name": "a"}),
        json!({"_type": "events", "follow": true}),
        json!({"_type": "wait", "name": "a"}),
    ] {
        let mut open = wasm.open(&request);
        if request["_type"] != "wait" {
            assert_eq!(open.object()["_status"], "ok");
        }
        drop(open.stdout);
        let begun = Instant::now();
        until("it ended", || open.child.try_wait().unwrap().is_some());
        assert!(begun.elapsed() < Duration::from_secs(5), "{request}");
    }
}
