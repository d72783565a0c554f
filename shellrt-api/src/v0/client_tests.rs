//! Plugins of every good and bad kind, played by `/bin/sh`.

use std::io::{Read, Write};
use std::time::Duration;

use super::super::{
    attach, create, img_pull, img_remove, list, logs, remove, restart, start, status, stop,
    version, Message, Secret,
};
use super::{Error, Plugin};

/// A plugin that is a shell script. It is not written to disk: the shell reads it from `$SCRIPT`.
fn plugin(script: &str) -> Plugin {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/scripted.sh");
    Plugin::new(path).env("SCRIPT", script)
}

const OK: &str = r#"{"_version":"0.1.0","_status":"ok"}"#;

/// What a v0 program writes, byte for byte, for every message that it knows.
#[test]
fn requests_are_what_v0_programs_sent() {
    fn check<M: Message>(request: M, expected: &str) {
        let payload = Plugin::new("x").payload(&request).unwrap();
        assert_eq!(String::from_utf8(payload).unwrap(), expected);
    }
    let name = || "web".to_owned();
    let mut pull = img_pull::Request {
        image: "a".to_owned(),
        ..Default::default()
    };
    check(
        pull.clone(),
        r#"{"_version":"0.1.0","_type":"img_pull","image":"a","credentials":{}}"#,
    );
    for (key, value) in [("username", "u"), ("password", "p")] {
        pull.credentials.insert(key.to_owned(), Secret::new(value));
    }
    check(
        pull,
        concat!(
            r#"{"_version":"0.1.0","_type":"img_pull","image":"a","#,
            r#""credentials":{"password":"p","username":"u"}}"#
        ),
    );
    check(
        img_remove::Request {
            image: "a".to_owned(),
            force: false,
        },
        r#"{"_version":"0.1.0","_type":"img_remove","image":"a"}"#,
    );
    check(
        create::Request {
            name: name(),
            env: [("K".to_owned(), "V".to_owned())].into(),
            config_type: "t".to_owned(),
            config: serde_json::json!({"image": "a"}),
        },
        concat!(
            r#"{"_version":"0.1.0","_type":"create","name":"web","env":{"K":"V"},"#,
            r#""config_type":"t","config":{"image":"a"}}"#
        ),
    );
    check(
        start::Request { name: name() },
        r#"{"_version":"0.1.0","_type":"start","name":"web"}"#,
    );
    check(
        restart::Request { name: name() },
        r#"{"_version":"0.1.0","_type":"restart","name":"web"}"#,
    );
    check(
        remove::Request {
            name: name(),
            force: false,
        },
        r#"{"_version":"0.1.0","_type":"remove","name":"web"}"#,
    );
    check(
        stop::Request {
            name: name(),
            timeout: Some(3),
        },
        r#"{"_version":"0.1.0","_type":"stop","name":"web","timeout":3}"#,
    );
    check(
        stop::Request {
            name: name(),
            timeout: None,
        },
        r#"{"_version":"0.1.0","_type":"stop","name":"web"}"#,
    );
    check(
        list::Request::default(),
        r#"{"_version":"0.1.0","_type":"list"}"#,
    );
    check(
        status::Request { name: name() },
        r#"{"_version":"0.1.0","_type":"status","name":"web"}"#,
    );
    check(
        logs::Request {
            name: name(),
            follow: true,
            tail: Some(5),
            since: Some(-1),
            ..Default::default()
        },
        concat!(
            r#"{"_version":"0.1.0","_type":"logs","name":"web","#,
            r#""follow":true,"tail":5,"since":-1}"#
        ),
    );
    check(
        logs::Request {
            name: name(),
            ..Default::default()
        },
        concat!(
            r#"{"_version":"0.1.0","_type":"logs","name":"web","#,
            r#""follow":false,"tail":null,"since":null}"#
        ),
    );
    check(
        version::Request {},
        r#"{"_version":"0.1.0","_type":"version"}"#,
    );
}

#[test]
fn a_deadline_is_an_addition() {
    let plugin = Plugin::new("x").deadline(Duration::from_secs(2));
    let payload = plugin.payload(&list::Request::default()).unwrap();
    assert_eq!(
        String::from_utf8(payload).unwrap(),
        r#"{"_version":"0.1.0","_type":"list","_deadline_ms":2000}"#
    );
}

#[test]
fn an_answer() {
    let modules = plugin(
        r#"cat >/dev/null; printf '{"_version":"0.1.0","_status":"ok","modules":["a"],"new":1}'"#,
    )
    .call(&list::Request::default())
    .unwrap();
    assert_eq!(modules.modules, ["a"]);
}

#[test]
fn a_plugin_that_does_not_read_is_heard() {
    let big = img_pull::Request {
        image: "x".repeat(1 << 20),
        ..Default::default()
    };
    plugin(&format!("printf '{OK}'")).call(&big).unwrap();
}

#[test]
fn an_old_plugins_error() {
    let script = r#"printf '{"_version":"0.1.0","_status":"err","code":999,"message":"no","detail":null}'; exit 1"#;
    let error = plugin(script)
        .call(&start::Request {
            name: "a".to_owned(),
        })
        .unwrap_err();
    match error {
        Error::Plugin(error) => {
            assert_eq!((error.code.0, error.message.as_str()), (999, "no"));
            assert_eq!(error.code.kind(), None);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream() {
    let script = format!("printf '{OK}'; printf '\\0one\\0two'");
    let request = logs::Request {
        name: "a".to_owned(),
        ..Default::default()
    };
    let (_, mut stream) = plugin(&script).open(&request).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"one\0two");
}

#[test]
fn input_follows_the_request() {
    // The script answers first and then sends back what it reads.
    let script = format!("printf '{OK}'; printf '\\0'; cat");
    let request = attach::Request {
        name: "a".to_owned(),
        stdin: true,
        ..Default::default()
    };
    let (_, mut input, mut stream) = plugin(&script).open_with_input(&request).unwrap();
    input.write_all(b"hello").unwrap();
    drop(input);
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("}\0hello"), "{text:?}");
}

/// As an event loop does it: what came with the answer, then what comes by the pipe.
#[cfg(unix)]
#[test]
fn the_pipes_can_be_read_and_written_by_others() {
    let script = format!("printf '{OK}'; printf '\\0first '; cat | tr -d '\\000'");
    let request = attach::Request {
        name: "a".to_owned(),
        stdin: true,
        ..Default::default()
    };
    let (_, input, mut stream) = plugin(&script).open_with_input(&request).unwrap();
    let mut input = std::fs::File::from(std::os::fd::OwnedFd::from(input));
    input.write_all(b" second").unwrap();
    drop(input);
    let (pipe, read) = stream.pipe().unwrap();
    let mut text = String::from_utf8(read.to_vec()).unwrap();
    let mut pipe = std::fs::File::from(pipe.try_clone_to_owned().unwrap());
    pipe.read_to_string(&mut text).unwrap();
    assert!(
        text.starts_with("first ") && text.ends_with("} second"),
        "{text:?}"
    );
    // What was read already is read once more, and then it is at its end.
    text.clear();
    stream.read_to_string(&mut text).unwrap();
    assert!(stream.pipe().is_none());
}

#[test]
fn a_stream_that_says_nothing_is_ended_from_outside() {
    let script = format!("printf '{OK}'; printf '\\0'; exec sleep 60");
    let request = logs::Request {
        name: "a".to_owned(),
        ..Default::default()
    };
    let (_, mut stream) = plugin(&script).open(&request).unwrap();
    let ender = stream.ender();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).map(|_| bytes)
    });
    ender.end();
    assert_eq!(reader.join().unwrap().unwrap(), b"");
    ender.end();
}

#[test]
fn progress_and_its_end() {
    let request = img_pull::Request {
        image: "a".to_owned(),
        ..Default::default()
    };
    let line = r#"{"event":"layer","digest":"d","current":1,"total":2,"phase":"download"}"#;
    let pull = |last: &str| {
        let mut seen = 0;
        let script = format!(
            "printf '{OK}'; printf '\\0'; echo '{line}'; echo '{{\"event\":\"new\"}}'; {last}"
        );
        (plugin(&script).pull(&request, |_| seen += 1), seen)
    };
    let (done, seen) = pull(r#"echo '{"event":"done","digest":"d","bytes_total":2}'"#);
    assert_eq!((done.unwrap().bytes_total, seen), (Some(2), 2));
    let (failed, _) = pull(r#"echo '{"event":"error","code":13,"message":"gone"}'"#);
    assert!(matches!(failed, Err(Error::Plugin(error)) if error.code.0 == 13));
    let quiet = plugin(&format!("printf '{OK}'")).pull(&request, |_| panic!("no progress"));
    assert_eq!(quiet.unwrap(), img_pull::Response::default());
    let (cut, _) = pull("true");
    assert!(matches!(cut, Err(Error::CutOff)));
}

#[test]
fn no_valid_answer() {
    let ask = |script: &str| plugin(script).call(&list::Request::default()).unwrap_err();
    match ask("echo last words >&2; exit 3") {
        Error::NoAnswer { end, stderr } => {
            assert_eq!(stderr, "last words\n");
            assert!(end.contains('3'), "{end}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(ask("kill -9 $$"), Error::NoAnswer { end, .. } if end.contains('9')));
    for script in [
        "echo hello".to_owned(),
        "printf '[]'".to_owned(),
        "printf '{}'".to_owned(),
        format!("printf '{OK}{OK}'"),
        format!("printf '{}'", OK.replace("0.1.0", "0.2.0")),
        format!("printf '{}'", OK.replace("ok", "maybe")),
        // `list` must have `modules`.
        format!("printf '{OK}'"),
        r#"printf '{"_version":"0.1.0","_status":"err","code":5,"message":""}\0'"#.to_owned(),
    ] {
        assert!(matches!(ask(&script), Error::Malformed { .. }), "{script}");
    }
    let missing = Plugin::new("/no/such/plugin")
        .call(&list::Request::default())
        .unwrap_err();
    assert!(matches!(missing, Error::Start { .. }));
}

#[test]
fn a_plugin_that_hangs_is_killed() {
    let patient = plugin("exec sleep 1000").timeout(Duration::from_millis(50));
    let error = patient.call(&list::Request::default()).unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
}

#[test]
fn a_chatty_stderr_does_not_block() {
    let script = format!(
        "head -c 1000000 /dev/zero >&2; printf '{}'",
        r#"{"_version":"0.1.0","_status":"ok","modules":[]}"#
    );
    plugin(&script).call(&list::Request::default()).unwrap();
}

#[test]
fn a_stream_that_hangs_is_an_error() {
    let script = format!("printf '{OK}'; printf '\\0one'; exec sleep 1000");
    let request = logs::Request {
        name: "a".to_owned(),
        ..Default::default()
    };
    let patient = plugin(&script).timeout(Duration::from_millis(300));
    let (_, mut stream) = patient.open(&request).unwrap();
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(bytes, b"one");
}
