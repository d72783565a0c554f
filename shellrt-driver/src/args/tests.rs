//! What can be typed, and what can't.

use std::ffi::OsString;

use super::{command_line, parse, Args, Asked, Message};

fn args(line: &str) -> Args {
    match parse(words(line)) {
        Ok(Asked::Message(args)) => *args,
        Ok(other) => panic!("{line}: {other:?}"),
        Err(error) => panic!("{line}: {error}"),
    }
}

fn words(line: &str) -> Vec<OsString> {
    let program = std::iter::once("shellrt-driver");
    program
        .chain(line.split_whitespace())
        .map(Into::into)
        .collect()
}

#[test]
fn the_command_line_is_consistent() {
    command_line().debug_assert();
}

/// A subcommand for each `_type`, and no other but these two.
#[test]
fn every_message_is_a_subcommand() {
    let command = command_line();
    let mut typed: Vec<_> = command
        .get_subcommands()
        .map(clap::Command::get_name)
        .collect();
    typed.sort_unstable();
    let mut known = shellrt_api::v0::Request::TYPES.to_vec();
    known.extend(["raw", "completions"]);
    known.sort_unstable();
    assert_eq!(typed, known);
}

#[test]
fn common_options_stand_anywhere() {
    for line in [
        "--verbose --output json x status web",
        "x --verbose --output json status web",
        "x status --verbose web --output json",
        "x status web -v -o json",
    ] {
        let args = args(line);
        assert!(args.options.verbose, "{line}");
        assert_eq!(args.options.output, super::Form::Json, "{line}");
    }
}

#[test]
fn the_timeout_before_the_message_is_the_drivers() {
    let Args {
        timeout, message, ..
    } = args("--timeout 1m30s x wait web --timeout 5");
    assert_eq!(timeout.unwrap().0.as_secs(), 90);
    let Message::Wait(super::Lazy(super::Wait { timeout, .. })) = message else {
        panic!("{message:?}");
    };
    assert_eq!(timeout, Some(5));
}

#[test]
fn credentials_stand_before_and_after_the_message() {
    let before = args("-u me -p -x1 x img_pull a");
    assert_eq!(before.credentials.password.unwrap().expose(), "-x1");
    for line in ["x img_pull -u me -p x1 a", "x img_pull a -u me -p x1"] {
        let Message::ImgPull(super::Lazy(pull)) = args(line).message else {
            panic!("{line}");
        };
        assert_eq!(pull.credentials.password.unwrap().expose(), "x1", "{line}");
    }
}

/// What `--help` and errors print must not repeat a password, and neither must `Debug`.
#[test]
fn a_password_is_never_repeated() {
    let text = format!("{:?}", args("x img_pull a -u me -p hunter2"));
    assert!(!text.contains("hunter2"), "{text}");
    let error = parse(words("x img_pull a -p hunter2 --bogus")).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn what_is_not_a_command_line() {
    for line in [
        "",
        "x",
        "status web",
        "x status",
        "x status web more",
        "x bogus",
        "x stop web soon",
        "x logs web -n -1",
        "x logs web --stream both",
        "x img_pull a --policy never",
        "x img_pull a -u me -p x --password-stdin",
        "x img_pull a -u me --token-stdin",
        "x attach web --close-stdin",
        "x exec web",
        "x create wasm",
        "x create wasm web a --mount /data",
        "x create wasm web a --memory lots",
        "x create wasm web a --restart never",
        "x create wasm web a --timeout soon",
        "x create wasm web a --log-max-files 0",
        "x create wasm web a b",
        "x create containerd web a --volume /data",
        "x create containerd web a --mount type=disk,target=/a",
        "x create containerd web a --device dev/x",
        "x create containerd web a --ulimit nofile",
        "x create containerd web a --sysctl a",
        "x create containerd web a --memory-swap -2",
        "x create containerd web a --stop-signal SIGSTOPP",
        "x create containerd web a --security-opt x",
        "x create containerd web a --pid container:b",
        "--timeout -1 x list",
        "completions",
        "completions tcsh",
    ] {
        let error = parse(words(line)).expect_err(line);
        assert!(error.use_stderr(), "{line}: {error}");
    }
}
