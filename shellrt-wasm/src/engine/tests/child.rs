//! The process that compiles. This test's own executable plays its part.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use shellrt_api::v0::Code;

use crate::engine::child::{child_main, run};
use crate::engine::{CompileRequest, Limits, ProgramError, Tuning};

/// Not a test by itself: what the child runs in the tests below.
#[test]
fn plays_the_child() {
    if std::env::var_os("PLAY_THE_CHILD").is_some() {
        let code = child_main();
        std::process::exit(if code == std::process::ExitCode::SUCCESS {
            0
        } else {
            1
        });
    }
}

fn compile(
    folder: &Path,
    wat: &str,
    limits: Limits,
    patience: Option<Duration>,
) -> Result<crate::engine::Inspection, ProgramError> {
    let (wasm, output) = (folder.join("p.wasm"), folder.join("p.cwasm"));
    std::fs::write(&wasm, wat::parse_str(wat).unwrap()).unwrap();
    let mut command = Command::new("/proc/self/exe");
    command.args([
        "engine::tests::child::plays_the_child",
        "--exact",
        "--nocapture",
    ]);
    command.env("PLAY_THE_CHILD", "1");
    let deadline = patience.map(|patience| Instant::now() + patience);
    let (wasm, output) = (wasm.as_path(), output.as_path());
    run(
        command,
        &CompileRequest {
            wasm,
            output,
            tuning: Tuning::default(),
            limits,
            deadline,
        },
    )
}

/// A program that takes a while: so many functions that each do something.
fn large(functions: usize) -> String {
    let body = "(local.set 0 (i64.mul (i64.add (local.get 0) (i64.const 3)) (i64.rotl (local.get 0) (i64.const 7))))".repeat(60);
    let function = format!("(func (param i64) (result i64) {body} (local.get 0))");
    format!(
        "(module {} (func (export \"_start\")))",
        function.repeat(functions)
    )
}

#[test]
fn compiles_into_a_file_that_nobody_changes() {
    let folder = tempfile::tempdir().unwrap();
    let found = compile(
        folder.path(),
        "(module (func (export \"_start\")))",
        Limits::default(),
        None,
    );
    assert_eq!(found.unwrap().kind, crate::engine::Kind::Core);
    let output = folder.path().join("p.cwasm");
    assert_eq!(
        output.metadata().unwrap().permissions().mode() & 0o777,
        0o444
    );
    assert!(std::fs::read(&output).unwrap().starts_with(b"\x7fELF"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn what_is_wrong_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let error = compile(
        folder.path(),
        "(module (import \"a\" \"b\" (func)) (func (export \"_start\")))",
        Limits::default(),
        None,
    );
    let error = error.unwrap_err();
    assert_eq!(error.code(), Code::IMAGE_INVALID);
    assert_eq!(
        error.to_string(),
        "the program needs what is not there: a.b"
    );
    let error = compile(
        folder.path(),
        "(module (func (export \"_start\") (drop)))",
        Limits::default(),
        None,
    );
    let error = shellrt_api::v0::Error::new(Code::IMAGE_INVALID, &error.unwrap_err());
    assert!(error.caused_by().count() > 0, "{error:?}");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left"
    );
}

#[test]
fn too_large() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        program: 20,
        ..Limits::default()
    };
    let error = compile(
        folder.path(),
        "(module (func (export \"_start\")))",
        limits,
        None,
    )
    .unwrap_err();
    assert!(
        matches!(error, ProgramError::TooLarge { limit: 20, .. }),
        "{error:?}"
    );
}

#[test]
fn killed_at_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    let patience = Some(Duration::from_millis(300));
    let error = compile(folder.path(), &large(4000), Limits::default(), patience).unwrap_err();
    assert!(matches!(error, ProgramError::CompileTimeout), "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert!(!folder.path().join("p.cwasm").exists());
}

#[test]
fn bounded_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        memory: 48 << 20,
        ..Limits::default()
    };
    let error = compile(folder.path(), &large(4000), limits, None).unwrap_err();
    assert_eq!(error.code(), Code::OUT_OF_RESOURCES, "{error:?}");
    assert!(!folder.path().join("p.cwasm").exists());
}

#[test]
fn nowhere_to_write() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("p.cwasm")).unwrap();
    let error = compile(
        folder.path(),
        "(module (func (export \"_start\")))",
        Limits::default(),
        None,
    );
    let error = error.unwrap_err();
    assert!(error.to_string().starts_with("can't write"), "{error}");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        2,
        "nothing is left"
    );
}
