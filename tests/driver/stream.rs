//! What follows an answer, and what goes in.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Duration;

use super::harness::{answers, driver, eventually, finish, OK};

/// The first bytes after the NUL are the module's, whatever they are.
#[test]
fn logs_are_raw_bytes() {
    let script = format!("cat >/dev/null; printf '%s\\0a\\0\\377\\033[2J no line end' '{OK}'");
    for form in ["auto", "text", "json"] {
        let ran = driver(&format!("PLUGIN logs a -o {form}"), &script)
            .run()
            .expect(0);
        assert_eq!(ran.stdout, b"a\0\xff\x1b[2J no line end", "{ran}");
    }
    let script = format!("cat >/dev/null; printf '%s\\0' '{OK}'; head -c 3000000 /dev/zero");
    let ran = driver("PLUGIN logs a", &script).run().expect(0);
    assert_eq!(ran.stdout, vec![0; 3_000_000]);
}

/// A prompt has no line end and must be seen all the same.
#[test]
fn bytes_come_when_they_are_written() {
    for message in ["logs -f a", "raw"] {
        let script = format!("cat >/dev/null; printf '%s\\0one' '{OK}'; exec sleep 1000");
        let mut run = driver(&format!("PLUGIN {message}"), &script);
        let mut child = run.spawn();
        let mut stdout = child.stdout.take().expect("it was piped");
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"one") {
            let mut byte = [0];
            stdout.read_exact(&mut byte).expect("three bytes");
            bytes.extend(byte);
        }
        drop(stdout);
        assert_eq!(finish(&mut child, Duration::from_secs(10)), Some(0));
    }
}

/// `| head` is no failure, while something is written and while nothing is; and the plugin does not
/// live on.
#[test]
fn a_reader_that_goes_away_ends_it_silently() {
    let ok = format!("cat >/dev/null; echo $$ >\"$PID\"; printf '%s\\0one\\n' '{OK}'; ");
    // A plugin that watches its stdout: it writes, and ends by the broken pipe.
    let busy = "while printf 'more\\n'; do sleep 0.01; done";
    let idle = "exec sleep 20";
    for (message, script) in [
        ("logs -f a", busy),
        ("logs -f a", idle),
        ("attach a", idle),
        ("raw", busy),
        ("raw", idle),
    ] {
        let mut run = driver(&format!("PLUGIN {message}"), &format!("{ok}{script}"));
        let pid = run.folder().join("pid");
        run.command.env("PID", &pid);
        let mut child = run.spawn();
        let mut first = [0; 1];
        let mut stdout = child.stdout.take().expect("it was piped");
        stdout.read_exact(&mut first).expect("a byte");
        drop(stdout);
        assert_eq!(
            finish(&mut child, Duration::from_secs(10)),
            Some(0),
            "{message}"
        );
        let mut stderr = String::new();
        let mut pipe = child.stderr.take().expect("it was piped");
        if script == busy {
            let pid = std::fs::read_to_string(&pid).expect("the plugin wrote it");
            let process = std::path::PathBuf::from(format!("/proc/{}", pid.trim()));
            assert!(
                eventually(|| !process.exists()),
                "{message}: the plugin lives on"
            );
            pipe.read_to_string(&mut stderr).expect("text");
            assert!(!stderr.contains("error"), "{message}: {stderr}");
        }
    }
    // An answer that nobody reads is no failure either.
    let mut run = driver("PLUGIN start a", &format!("sleep 0.2; {}", answers(OK)));
    let mut child = run.spawn();
    drop(child.stdout.take());
    assert_eq!(finish(&mut child, Duration::from_secs(10)), Some(0));
}

/// The request, one NUL, then the bytes; the module's stdin ends with the pipe.
#[test]
fn attach_feeds_a_pipe_and_closes_it() {
    let script = format!("printf '%s\\0' '{OK}'; cat >\"$SENT\"; printf 'echo'");
    let request = |close: bool| {
        format!(
            r#"{{"_version":"0.1.0","_type":"attach","name":"a","stdin":true,"close_stdin":{close}}}"#
        )
    };
    for (line, close) in [
        ("PLUGIN attach -i a", true),
        ("PLUGIN attach a --stdin --close-stdin", true),
        ("PLUGIN attach a -i --close-stdin=false", false),
    ] {
        let ran = driver(line, &script)
            .stdin(b"in\0\xff\n".to_vec())
            .run()
            .expect(0);
        let mut expected = request(close).into_bytes();
        expected.extend(b"\0in\0\xff\n");
        assert_eq!(ran.sent.as_deref(), Some(expected.as_slice()), "{ran}");
        assert_eq!(ran.stdout, b"echo", "{ran}");
    }
    // Without -i nothing is taken from stdin: `while read` around it must not lose its lines.
    let script = format!("cat >\"$SENT\"; printf '%s\\0' '{OK}'");
    let ran = driver("PLUGIN attach a", &script)
        .stdin("mine")
        .run()
        .expect(0);
    assert!(!ran.sent().contains("mine"), "{ran}");
}

/// A module that ends ends the driver, also while its stdin is open.
#[test]
fn attach_ends_with_the_module() {
    let script = format!("head -c 10 >/dev/null; printf '%s\\0bye' '{OK}'");
    let mut run = driver("PLUGIN attach -i a", &script);
    run.command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = run.command.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("it was piped");
    // It may be gone already.
    let _ = stdin.write_all(b"x");
    assert_eq!(finish(&mut child, Duration::from_secs(10)), Some(0));
    let mut text = String::new();
    let mut stdout = child.stdout.take().expect("it was piped");
    stdout.read_to_string(&mut text).expect("text");
    assert_eq!(text, "bye");
}

#[test]
fn events_are_lines() {
    let lines = "{\"time\":1700000000000000000,\"name\":\"a\",\"event\":\"exited\",\"exit_code\":3,\"new\":1}\n\
                 {\"time\":1,\"name\":\"b\",\"event\":\"thawed\"}\n";
    let script = answers(&format!("{OK}\\0{}", lines.replace('\n', "\\n")));
    let ran = driver("PLUGIN events", &script).run().expect(0);
    assert_eq!(ran.text(), lines, "{ran}");
    let ran = driver("PLUGIN events -o text", &script).run().expect(0);
    let expected = "2023-11-14T22:13:20Z  exited    a (3)\n1970-01-01T00:00:00Z  other     b\n";
    assert_eq!(ran.text(), expected, "{ran}");
}

const LAYER: &str =
    r#"{"event":"layer","digest":"sha256:abc","current":1,"total":2,"phase":"download"}"#;

#[test]
fn a_pull_with_progress() {
    let done = r#"{"event":"done","digest":"sha256:d","bytes_fetched":2}"#;
    let script = answers(&format!("{OK}\\0{LAYER}\\n{done}\\n"));
    let ran = driver("PLUGIN img_pull a --progress", &script)
        .run()
        .expect(0);
    assert_eq!(ran.text(), format!("{LAYER}\n{done}\n"), "{ran}");
    let ran = driver("PLUGIN img_pull a --progress -o text", &script)
        .run()
        .expect(0);
    assert!(ran.text().starts_with("a: pulled\n"), "{ran}");
    assert!(ran.text().contains("sha256:d"), "{ran}");

    let error = r#"{"event":"error","code":14,"message":"digest mismatch","detail":{}}"#;
    let script = answers(&format!("{OK}\\0{LAYER}\\n{error}\\n"));
    let ran = driver("PLUGIN img_pull a --progress", &script)
        .run()
        .expect(1);
    assert_eq!(ran.text(), format!("{LAYER}\n{error}\n"), "{ran}");
    ran.says(&["digest mismatch", "14 (image_invalid)"]);

    let script = answers(&format!("{OK}\\0{LAYER}\\n"));
    driver("PLUGIN img_pull a --progress", &script)
        .run()
        .expect(2)
        .says(&["middle of its work"]);

    // A plugin that is older than progress answers as it always did.
    let ran = driver("PLUGIN img_pull a --progress", &answers(OK))
        .run()
        .expect(0);
    assert_eq!(ran.json()["_status"], "ok", "{ran}");
}
