//! `wasi:cli/command` components.

use serde_json::json;
use shellrt_api::v0::status;

use super::{exited, from_rust, Trial};

/// A component whose `run` is `body`, which leaves 0 for success or 1 for failure.
fn component(body: &str) -> String {
    format!(
        r#"(component
            (import "wasi:cli/exit@0.2.0" (instance $exit
                (export "exit" (func (param "status" (result))))))
            (core func $exit (canon lower (func $exit "exit")))
            (core module $m
                (import "e" "exit" (func $exit (param i32)))
                (memory (export "memory") 1)
                (func (export "run") (result i32) {body}))
            (core instance $e (export "exit" (func $exit)))
            (core instance $i (instantiate $m (with "e" (instance $e))))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $run (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $run)))"#
    )
}

#[test]
fn ends() {
    for (body, code) in [
        ("i32.const 0", 0),
        ("i32.const 1", 1),
        ("(call $exit (i32.const 0)) i32.const 1", 0),
        ("(call $exit (i32.const 1)) i32.const 0", 1),
    ] {
        let mut trial = Trial::of_text(&component(body), json!({}));
        let end = trial.end();
        assert!(exited(code)(&end), "{body}: {end:?}");
        assert_eq!(trial.stderr(), "");
    }
    let mut trial = Trial::of_text(&component("unreachable"), json!({}));
    let end = trial.end();
    assert_eq!((end.end, end.exit_code), (status::End::Trap, 134));
    assert_eq!(end.description, "trapped: unreachable instruction");
    assert!(
        trial.stderr().contains("wasm backtrace"),
        "{}",
        trial.stderr()
    );
}

#[test]
fn an_exit_code_can_be_said() {
    let wat = component("(call $exit (i32.const 42)) i32.const 0")
        .replace(
            r#"(export "exit" (func (param "status" (result))))"#,
            r#"(export "exit-with-code" (func (param "status-code" u8)))"#,
        )
        .replace(r#"(func $exit "exit")"#, r#"(func $exit "exit-with-code")"#);
    assert!(exited(42)(&Trial::of_text(&wat, json!({})).end()));
}

#[test]
fn limits() {
    let grow = "(block $b (loop $l (br_if $b (i32.eq (memory.grow (i32.const 1)) (i32.const -1))) (br $l)))";
    let mut trial = Trial::of_text(
        &component(&format!("{grow} unreachable")),
        json!({"mem_limit": "2m"}),
    );
    let end = trial.end();
    assert_eq!(
        (end.end, end.exit_code),
        (status::End::Memory, 137),
        "{end:?}"
    );
    let mut trial = Trial::of_text(
        &component(&format!("{grow} i32.const 0")),
        json!({"mem_limit": "2m"}),
    );
    assert!(exited(0)(&trial.end()));
    let mut trial = Trial::of_text(
        &component("(loop $l (br $l)) unreachable"),
        json!({"fuel": 1000}),
    );
    assert_eq!(trial.end().description, "trapped: it used up its fuel");
}

#[test]
fn what_the_linker_lacks_is_found_by_the_compiler() {
    let wat = component("i32.const 0").replace(
        r#""exit" (func (param "status" (result)))"#,
        r#""exit" (func (param "status" u8))"#,
    );
    let wasm = wat::parse_str(wat).unwrap();
    let error = super::compile(&wasm, super::Tuning::default()).unwrap_err();
    assert!(
        matches!(error, crate::engine::ProgramError::WrongImports(_)),
        "{error:?}"
    );
}

/// A program that runs out of memory as Rust programs do.
const HUNGRY: &str = r#"
fn main() {
    let mut kept = Vec::new();
    loop {
        kept.push(vec![1u8; 1 << 20]);
        if std::env::args().len() > 1 { println!("{}", kept.len()); }
    }
}
"#;

#[test]
fn a_rust_program_at_its_limit() {
    for target in ["wasm32-wasip1", "wasm32-wasip2"] {
        let Some(wasm) = from_rust(HUNGRY, target) else {
            return;
        };
        let mut trial = Trial::new(&wasm, json!({"mem_limit": "16m"}));
        let end = trial.end();
        assert_eq!(
            (end.end, end.exit_code),
            (status::End::Memory, 137),
            "{end:?}"
        );
    }
}

/// Echoes stdin line by line, and says when it ended.
const ECHO: &str = r#"
fn main() {
    for line in std::io::stdin().lines() { println!("<{}>", line.unwrap()); }
    println!("end");
}
"#;

#[test]
fn stdin_of_a_component() {
    let Some(wasm) = from_rust(ECHO, "wasm32-wasip2") else {
        return;
    };
    let mut trial = Trial::new(&wasm, json!({"stdin": true}));
    let (reader, mut writer) = std::io::pipe().unwrap();
    trial.stdin = Some(reader.into());
    let feeder = std::thread::spawn(move || {
        use std::io::Write;
        for piece in ["a\nb", "c\n", "d"] {
            writer.write_all(piece.as_bytes()).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    assert!(exited(0)(&trial.end()));
    feeder.join().unwrap();
    assert_eq!(trial.stdout(), "<a>\n<bc>\n<d>\nend\n");
    let mut trial = Trial::new(&wasm, json!({}));
    assert!(exited(0)(&trial.end()));
    assert_eq!(trial.stdout(), "end\n");
}
