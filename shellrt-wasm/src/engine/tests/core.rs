//! Preview1 commands.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use shellrt_api::v0::{status, Code};

use super::{exited, StartError, Trial};

/// A module around the body of `_start`, with what a small program needs.
fn module(body: &str) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (table $t 1 1 funcref)
            (type $void (func))
            (type $number (func (result i32)))
            (func $deep (call $deep))
            (elem declare func $deep)
            (data (i32.const 64) "hello\n")
            (func (export "_start") {body}))"#
    )
}

fn run(body: &str, config: Value) -> (super::End, Trial) {
    let mut trial = Trial::of_text(&module(body), config);
    (trial.end(), trial)
}

#[test]
fn exit_codes() {
    for (body, code) in [
        ("", 0),
        ("(call $exit (i32.const 0))", 0),
        ("(call $exit (i32.const 7))", 7),
        ("(call $exit (i32.const 126))", 126),
        ("(call $exit (i32.const 255))", 255),
        ("(call $exit (i32.const -1))", 255),
        ("(call $exit (i32.const 256))", 0),
    ] {
        let (end, trial) = run(body, json!({}));
        assert!(exited(code)(&end), "{body}: {end:?}");
        assert_eq!(trial.stderr(), "", "{body}");
    }
}

#[test]
fn traps_have_words() {
    for (body, words) in [
        ("unreachable", "trapped: unreachable instruction"),
        ("(drop (i32.load (i32.const -1)))", "trapped: memory access out of bounds"),
        ("(drop (i32.div_s (i32.const 1) (i32.load (i32.const 0))))", "trapped: integer division by zero"),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", "trapped: conversion of a number that no integer can hold"),
        ("(call_indirect (type $void) (i32.const 0))", "trapped: call of a function that is not there"),
        ("(call_indirect (type $void) (i32.const 9))", "trapped: table access out of bounds"),
        (
            "(table.set $t (i32.const 0) (ref.func $deep)) (drop (call_indirect (type $number) (i32.const 0)))",
            "trapped: call of a function of another type",
        ),
        ("(call $deep)", "trapped: its calls are nested too deeply (stack overflow)"),
    ] {
        let (end, trial) = run(body, json!({}));
        assert_eq!((end.end, end.exit_code), (status::End::Trap, 134), "{body}");
        assert_eq!(end.description, words, "{body}");
        // Who wrote the program finds the place.
        assert!(trial.stderr().contains("wasm backtrace"), "{}", trial.stderr());
    }
}

#[test]
fn an_exception_that_nobody_catches() {
    let wat =
        r#"(module (tag $t) (memory (export "memory") 1) (func (export "_start") (throw $t)))"#;
    let end = Trial::of_text(wat, json!({})).end();
    assert_eq!(
        end.description,
        "trapped: an exception that it does not catch"
    );
    assert_eq!((end.end, end.exit_code), (status::End::Trap, 134));
}

#[test]
fn output_is_passed_as_it_was_written() {
    let body = r#"
        (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 3))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.store (i32.const 4) (i32.const 0))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.store (i32.const 4) (i32.const 6))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"#;
    let (end, trial) = run(body, json!({}));
    assert!(exited(0)(&end), "{end:?}");
    let kept = trial.output.0.lock().unwrap();
    let kept: Vec<&[u8]> = kept.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    assert_eq!(kept, [&b"hel"[..], b"hel", b"hello\n"]);
}

#[test]
fn a_write_of_several_buffers_is_one_write() {
    // Three buffers, one of them empty, and then 5000 bytes at once.
    let body = r#"
        (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 3))
        (i32.store (i32.const 8) (i32.const 64)) (i32.store (i32.const 12) (i32.const 0))
        (i32.store (i32.const 16) (i32.const 67)) (i32.store (i32.const 20) (i32.const 3))
        (if (call $write (i32.const 1) (i32.const 0) (i32.const 3) (i32.const 32)) (then unreachable))
        (if (i32.ne (i32.load (i32.const 32)) (i32.const 6)) (then unreachable))
        (i32.store (i32.const 0) (i32.const 1000)) (i32.store (i32.const 4) (i32.const 5000))
        (if (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 32)) (then unreachable))
        (if (i32.ne (i32.load (i32.const 32)) (i32.const 5000)) (then unreachable))"#;
    let (end, trial) = run(body, json!({}));
    assert!(exited(0)(&end), "{end:?}");
    let kept = trial.output.0.lock().unwrap();
    let lengths: Vec<usize> = kept.iter().map(|(_, bytes)| bytes.len()).collect();
    assert_eq!(lengths, [6, 5000]);
    assert_eq!(kept[0].1, b"hello\n");
}

#[test]
fn wrong_addresses_are_the_programs_fault() {
    for buffers in [
        "(i32.const -8) (i32.const 1)",
        "(i32.const 1) (i32.const 1)",
    ] {
        let body = format!(
            "(i32.store (i32.const 4) (i32.const 3)) (drop (call $write (i32.const 1) {buffers} (i32.const 32)))"
        );
        let (end, trial) = run(&body, json!({}));
        assert_eq!(end.end, status::End::Trap, "{buffers}");
        assert_eq!(trial.stdout(), "");
    }
    // Where the length can't be told, nothing is written.
    let body = "(i32.store (i32.const 4) (i32.const 3)) (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const -4)))";
    let (_, trial) = run(body, json!({}));
    assert!(trial.stdout().len() <= 3, "{}", trial.stdout());
}

#[test]
fn a_full_disk_is_the_programs_to_handle() {
    struct Full;
    impl super::Output for Full {
        fn write(&self, _: super::Stream, _: &[u8]) -> std::io::Result<()> {
            Err(std::io::Error::from_raw_os_error(libc::ENOSPC))
        }
    }
    // It exits with what its write says: 51 is preview1's `nospc`.
    let body = r#"
        (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 6))
        (call $exit (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"#;
    let trial = Trial::of_text(&module(body), json!({}));
    let program = super::Program {
        cwasm: &trial.cwasm,
        kind: trial.kind,
        tuning: super::Tuning::default(),
        name: "p",
    };
    let settings = super::Settings {
        config: &trial.config,
        env: &trial.env,
        args: &[],
        stdin: None,
        memory_gauge: None,
    };
    let end = super::run(program, settings, std::sync::Arc::new(Full), || Ok(())).unwrap();
    assert!(exited(51)(&end), "{end:?}");
}

/// Grows until it is refused, then does `then`.
fn grow(then: &str) -> String {
    format!("(block $b (loop $l (br_if $b (i32.eq (memory.grow (i32.const 1)) (i32.const -1))) (br $l))) {then}")
}

#[test]
fn memory_that_is_refused() {
    let limit = || json!({"mem_limit": "1m"});
    // A program that aborts because of it has been ended by it.
    let (end, _) = run(&grow("unreachable"), limit());
    assert_eq!((end.end, end.exit_code), (status::End::Memory, 137));
    assert!(
        end.description
            .starts_with("reached its memory limit of 1 MiB: it asked for"),
        "{end:?}"
    );
    // One that copes has not.
    let (end, _) = run(&grow(""), limit());
    assert_eq!(
        (end.end, end.exit_code, end.description.as_str()),
        (status::End::Exited, 0, "exited with code 0")
    );
    // One that gives up in its own way has exited, and the reason is named.
    let (end, _) = run(&grow("(call $exit (i32.const 3))"), limit());
    assert!(exited(3)(&end), "{end:?}");
    assert!(
        end.description
            .contains("its memory limit of 1 MiB refused it"),
        "{end:?}"
    );
    // A trap that has nothing to do with memory is a trap.
    let (end, _) = run(
        &grow("(drop (i32.div_s (i32.const 1) (i32.load (i32.const 0))))"),
        limit(),
    );
    assert_eq!(end.end, status::End::Trap);
    // And so is one after a growth that worked.
    let after =
        "(drop (memory.grow (i32.const 1000))) (drop (memory.grow (i32.const 1))) unreachable";
    let (end, _) = run(after, limit());
    assert_eq!(end.end, status::End::Trap);
    // Its own maximum is not the limit.
    let own = r#"(module (memory (export "memory") 1 2)
        (func (export "_start") (drop (memory.grow (i32.const 9))) unreachable))"#;
    assert_eq!(Trial::of_text(own, limit()).end().end, status::End::Trap);
}

#[test]
fn memory_is_summed_over_memories_and_shown() {
    static GAUGE: AtomicU64 = AtomicU64::new(0);
    let wat = r#"(module (memory (export "memory") 8) (memory $b 4)
        (func (export "_start") (if (i32.eq (memory.grow $b (i32.const 4)) (i32.const -1)) (then unreachable))))"#;
    // 16 pages are 1 MiB.
    let mut trial = Trial::of_text(wat, json!({"mem_limit": 1 << 20}));
    trial.gauge = Some(&GAUGE);
    assert!(exited(0)(&trial.end()));
    let mut trial = Trial::of_text(wat, json!({"mem_limit": (1 << 20) - 1}));
    assert_eq!(trial.end().end, status::End::Memory);
    let mut trial = Trial::of_text(wat, json!({"mem_limit": 11 << 16}));
    let error = trial.error();
    assert!(
        matches!(
            error,
            StartError::MemoryLimit {
                needed: 786_432,
                limit: 720_896
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.code(), Code::INVALID_CONFIG);
    assert_eq!(GAUGE.load(Ordering::Relaxed), 0, "the instance is gone");
}

#[test]
fn fuel_runs_out() {
    let (end, _) = run("(loop $l (br $l))", json!({"fuel": 100_000}));
    assert_eq!((end.end, end.exit_code), (status::End::Trap, 134));
    assert_eq!(end.description, "trapped: it used up its fuel");
    let (end, _) = run("", json!({"fuel": 100_000}));
    assert!(exited(0)(&end), "{end:?}");
}

#[test]
fn code_that_runs_at_the_start_is_the_programs() {
    let wat = r#"(module (memory (export "memory") 1) (func $s unreachable) (start $s) (func (export "_start")))"#;
    assert_eq!(Trial::of_text(wat, json!({})).end().end, status::End::Trap);
}

#[test]
fn a_stale_program_is_told_apart() {
    let mut trial = Trial::of_text(&module(""), json!({}));
    // Compiled without fuel, and run with it.
    trial.config.fuel = Some(1);
    let error = trial.error();
    assert!(matches!(error, StartError::Stale(_)), "{error:?}");
    std::fs::write(&trial.cwasm, b"what is left after a power loss").unwrap();
    assert!(matches!(trial.error(), StartError::Stale(_)));
    std::fs::remove_file(&trial.cwasm).unwrap();
    let error = trial.error();
    assert!(matches!(error, StartError::Unreadable { .. }), "{error:?}");
}

/// Copies stdin to stdout until the end of file.
const CAT: &str = r#"
    (loop $l
        (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 4096))
        (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then (call $exit (i32.const 9))))
        (if (i32.load (i32.const 8)) (then
            (i32.store (i32.const 4) (i32.load (i32.const 8)))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br $l))))"#;

#[test]
fn stdin_is_read_as_it_comes() {
    let mut trial = Trial::of_text(&module(CAT), json!({"stdin": true}));
    let (reader, mut writer) = std::io::pipe().unwrap();
    trial.stdin = Some(reader.into());
    let feeder = std::thread::spawn(move || {
        for piece in ["one ", "two ", "three"] {
            std::thread::sleep(Duration::from_millis(20));
            writer.write_all(piece.as_bytes()).unwrap();
        }
    });
    assert!(exited(0)(&trial.end()));
    feeder.join().unwrap();
    assert_eq!(trial.stdout(), "one two three");
    // Nothing was waited for in a loop: one write for each piece.
    assert_eq!(trial.output.0.lock().unwrap().len(), 3);
}

#[test]
fn closed_stdin_is_the_end_of_the_file() {
    let mut trial = Trial::of_text(&module(CAT), json!({}));
    assert!(exited(0)(&trial.end()));
    assert_eq!(trial.stdout(), "");
}

/// Waits for stdin and a timer of 200 ms, and exits with the type of the first event (0 clock, 1
/// read), then reads once.
const POLL: &str = r#"
    (i32.store8 (i32.const 208) (i32.const 0))
    (i32.store (i32.const 216) (i32.const 1))
    (i64.store (i32.const 224) (i64.const 200000000))
    (i32.store8 (i32.const 256) (i32.const 1))
    (i32.store (i32.const 264) (i32.const 0))
    (if (call $poll (i32.const 200) (i32.const 400) (i32.const 2) (i32.const 600)) (then (call $exit (i32.const 9))))
    (if (i32.load8_u (i32.const 410)) (then
        (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 4096))
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.store (i32.const 4) (i32.load (i32.const 8)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

#[test]
fn stdin_can_be_waited_for_beside_a_timer() {
    let twice = format!("{POLL} {POLL} (call $exit (i32.load8_u (i32.const 410)))");
    let mut trial = Trial::of_text(&module(&twice), json!({"stdin": true}));
    let (reader, mut writer) = std::io::pipe().unwrap();
    trial.stdin = Some(reader.into());
    writer.write_all(b"x").unwrap();
    let begin = Instant::now();
    // The first wait ends with the byte, the second with the timer: what was read is not there again.
    let end = trial.end();
    assert!(exited(0)(&end), "{end:?}");
    assert_eq!(trial.stdout(), "x");
    assert!(begin.elapsed() >= Duration::from_millis(190));
    drop(writer);
}
