//! What programs are, and why some are refused.

use crate::engine::inspect::PROVIDED;
use crate::engine::{compile, inspect, Kind, ProgramError, Tuning};

fn look(wat: &str) -> Result<Kind, ProgramError> {
    inspect(&wat::parse_str(wat).unwrap()).map(|inspection| inspection.kind)
}

#[test]
fn kinds() {
    assert_eq!(
        look("(module (func (export \"_start\")))").unwrap(),
        Kind::Core
    );
    for (export, kind) in [
        ("wasi:cli/run@0.2.0", Kind::Command),
        ("wasi:cli/run@0.2.12", Kind::Command),
        ("wasi:http/incoming-handler@0.2.3", Kind::Http),
    ] {
        let wat = format!("(component (instance $i) (export \"{export}\" (instance $i)))");
        assert_eq!(look(&wat).unwrap(), kind, "{export}");
    }
}

#[test]
fn imports_and_exports_of_inner_parts_do_not_count() {
    let wat = r#"(component
        (core module (import "env" "f" (func)) (func (export "_start")))
        (component (import "wasi:nn/graph@0.2.0" (instance)) (export "a" (instance 0)))
        (instance $i)
        (export "wasi:cli/run@0.2.0" (instance $i)))"#;
    let found = inspect(&wat::parse_str(wat).unwrap()).unwrap();
    assert_eq!(found.kind, Kind::Command);
    assert_eq!(found.imports, [""; 0]);
    assert_eq!(found.exports, ["wasi:cli/run@0.2.0"]);
}

#[test]
fn missing_imports_are_listed_in_full() {
    let error = look(
        r#"(module
            (import "env" "two" (func))
            (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "no_such" (func))
            (import "env" "one" (memory 1))
            (func (export "_start")))"#,
    );
    let Err(ProgramError::MissingImports { names }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        names,
        ["env.one", "env.two", "wasi_snapshot_preview1.no_such"]
    );
    let error = look(
        r#"(component
            (import "wasi:cli/environment@0.2.7" (instance))
            (import "wasi:nn/graph@0.2.0-rc-2024-10-28" (instance))
            (import "wasi:keyvalue/store@0.2.0" (instance))
            (import "wasi:cli/environment@0.1.0" (instance $i))
            (export "wasi:cli/run@0.2.0" (instance $i)))"#,
    );
    let Err(ProgramError::MissingImports { names }) = error else {
        panic!("{error:?}")
    };
    let missing = [
        "wasi:cli/environment@0.1.0",
        "wasi:keyvalue/store@0.2.0",
        "wasi:nn/graph@0.2.0-rc-2024-10-28",
    ];
    assert_eq!(names, missing);
}

#[test]
fn every_provided_interface_is_accepted() {
    for interface in PROVIDED {
        let wat = format!(
            "(component (import \"{interface}@0.2.0\" (instance $i)) (export \"wasi:cli/run@0.2.0\" (instance $i)))"
        );
        assert_eq!(look(&wat).unwrap(), Kind::Command, "{interface}");
    }
}

#[test]
fn no_place_to_begin() {
    let reactor = look("(module (func (export \"_initialize\")) (func (export \"add\")))");
    assert!(matches!(reactor, Err(ProgramError::Reactor)), "{reactor:?}");
    let library = look("(module (func (export \"add\")))");
    assert!(matches!(library, Err(ProgramError::NoStart)), "{library:?}");
    let library = look("(component (instance $i) (export \"a:b/c@1.0.0\" (instance $i)))");
    let Err(ProgramError::NoEntry { exports }) = library else {
        panic!("{library:?}")
    };
    assert_eq!(exports, "a:b/c@1.0.0");
}

#[test]
fn later_versions_of_wasi_are_refused_by_name() {
    for wat in [
        r#"(component (instance $i) (export "wasi:cli/run@0.3.0" (instance $i)))"#,
        r#"(component (instance $i) (export "wasi:http/handler@0.3.0-rc-2025-09-16" (instance $i)))"#,
        r#"(component (import "wasi:clocks/types@0.3.0" (instance $i)) (export "wasi:cli/run@0.2.0" (instance $i)))"#,
    ] {
        let error = look(wat).unwrap_err();
        assert!(
            error.to_string().contains("wasi 0.3 is not supported yet"),
            "{error}"
        );
    }
}

#[test]
fn native_code_is_refused() {
    let module = wat::parse_str("(module (func (export \"_start\")))").unwrap();
    let compiled = compile(&module, Tuning::default()).unwrap();
    let error = inspect(&compiled).unwrap_err();
    assert!(error.to_string().contains(".cwasm"), "{error}");
    let elf = std::fs::read("/proc/self/exe").unwrap();
    let error = inspect(&elf).unwrap_err();
    assert!(error.to_string().contains("an ELF file"), "{error}");
    assert_eq!(error.code(), shellrt_api::v0::Code::IMAGE_INVALID);
}

#[test]
fn everything_else_is_refused() {
    for bytes in [
        &b""[..],
        b"\0asm",
        b"\0asm\x01\0\0",
        b"(module)",
        b"#!/bin/sh",
        b"PK\x03\x04",
        b"\0asm\x02\0\0\0",
    ] {
        let error = inspect(bytes).unwrap_err();
        assert!(matches!(error, ProgramError::NotWasm { .. }), "{error:?}");
    }
    let whole = wat::parse_str("(module (func (export \"_start\") (nop)))").unwrap();
    for length in 9..whole.len() {
        let error = inspect(&whole[..length]).unwrap_err();
        let named = matches!(error, ProgramError::Malformed(_) | ProgramError::NoStart);
        assert!(named, "{length}: {error:?}");
    }
}

#[test]
fn the_compiler_finds_the_rest() {
    let body = "(module (func (export \"_start\") (result i32)))";
    let error = compile(&wat::parse_str(body).unwrap(), Tuning::default()).unwrap_err();
    assert!(matches!(error, ProgramError::Compile(_)), "{error:?}");
    let import = r#"(module (import "wasi_snapshot_preview1" "fd_close" (func (param i64)))
        (func (export "_start")))"#;
    let error = compile(&wat::parse_str(import).unwrap(), Tuning::default()).unwrap_err();
    assert!(matches!(error, ProgramError::WrongImports(_)), "{error:?}");
}
