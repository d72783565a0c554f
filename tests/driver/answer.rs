//! What the driver makes of an answer: the exit status, stdout and stderr.

use std::time::Duration;

use super::harness::{answers, driver, eventually, OK};

const NO: &str = r#"{"_version":"0.1.0","_status":"err","code":13,"message":"no route to \"r\"; try <plugin>","detail":{"kind":"registry_unreachable","retryable":true,"retry_after_ms":2500,"caused_by":["first cause","second cause"],"path":"/image"}}"#;

#[test]
fn into_a_pipe_the_whole_object_is_json() {
    let object = r#"{"_version":"0.1.7","_status":"ok","modules":["a"],"new":{"field":[1.5]}}"#;
    for line in [
        "PLUGIN list",
        "PLUGIN list --output json",
        "-o json PLUGIN list",
    ] {
        let ran = driver(line, &answers(object)).run().expect(0);
        let expected: serde_json::Value = serde_json::from_str(object).expect("it is JSON");
        assert_eq!(ran.json(), expected, "{ran}");
        assert_eq!(ran.text().matches('\n').count(), 1, "{ran}");
        assert!(ran.stderr.is_empty(), "{ran}");
    }
    let ran = driver("PLUGIN list -o text", &answers(object))
        .run()
        .expect(0);
    assert_eq!(ran.text(), "a\n", "{ran}");
}

#[test]
fn a_refusal_is_1_with_causes_and_hints() {
    // The plugin's own exit status is not what counts.
    for end in ["", "; exit 0", "; exit 1", "; exit 77"] {
        let script = answers(&NO.replace('\\', "\\\\")) + end;
        let ran = driver("PLUGIN img_pull a", &script).run().expect(1);
        assert_eq!(ran.json()["code"], 13, "{ran}");
        assert_eq!(ran.json()["_status"], "err", "{ran}");
        assert_eq!(ran.json()["detail"]["path"], "/image", "{ran}");
        ran.says(&[
            "error: no route to \"r\"; try /",
            "caused by: first cause",
            "caused by: second cause",
            "path: /image",
            "13 (registry_unreachable)",
            "succeed after 3 s",
        ]);
    }
    let script = answers(&NO.replace('\\', "\\\\"));
    let ran = driver("PLUGIN list -o text", &script).run().expect(1);
    assert!(ran.stdout.is_empty(), "{ran}");
    // `logs > file` must not leave an error in the file.
    let ran = driver("PLUGIN logs a", &script)
        .run()
        .expect(1)
        .says(&["no route"]);
    assert!(ran.stdout.is_empty(), "{ran}");
    let ran = driver("PLUGIN logs a -o json", &script).run().expect(1);
    assert_eq!(ran.json()["code"], 13, "{ran}");
}

#[test]
fn what_is_no_answer_is_2() {
    for (line, script, word) in [
        (
            "list",
            "cat >/dev/null; echo boom >&2; exit 3".to_owned(),
            "boom",
        ),
        ("list", "exit 0".to_owned(), "without an answer"),
        ("list", "kill -9 $$".to_owned(), "without an answer"),
        ("list", answers("nonsense"), "malformed"),
        ("list", answers(&OK[..20]), "malformed"),
        ("list", answers("[]"), "malformed"),
        ("version", answers(&format!("{OK}{OK}")), "malformed"),
        ("start a", answers(&OK.replace("0.1.0", "0.2.0")), "0.2.0"),
        ("start a", answers(r#"{"_status":"ok"}"#), "_version"),
        ("start a", answers(r#"{"_version":"0.1.0"}"#), "_status"),
        (
            "start a",
            answers(r#"{"_version":"0.1.0","_status":"fine"}"#),
            "_status",
        ),
        ("list", answers(OK), "modules"),
        (
            "list",
            answers(r#"{"_version":"0.1.0","_status":"err","code":"x","message":""}"#),
            "malformed",
        ),
        (
            "logs a",
            answers(r#"{"_version":"0.1.0","_status":"err","code":5,"message":"m"}\0"#),
            "malformed",
        ),
        ("logs a", answers(OK), "no stream"),
        ("attach a", answers(OK), "no stream"),
        // The input stays open, so the plugin must not wait for its end.
        (
            "attach -i a",
            format!("head -c 10 >/dev/null; printf '%s' '{OK}'"),
            "no stream",
        ),
        ("events", answers(OK), "no stream"),
        ("events", answers(&format!("{OK}\\0{{\"time\"")), "an event"),
        (
            "img_pull --progress a",
            answers(&format!("{OK}\\0")),
            "middle of its work",
        ),
        (
            "img_pull --progress a",
            answers(&format!("{OK}\\0nonsense\\n")),
            "progress",
        ),
        ("raw", answers("nonsense"), "malformed"),
        ("raw", "exit 0".to_owned(), "empty"),
    ] {
        for form in ["text", "json"] {
            let line = format!("PLUGIN {line} --output {form}");
            let ran = driver(&line, &script)
                .run()
                .expect(2)
                .says(&["error: ", word]);
            if !line.contains("raw") && !line.contains("progress") {
                assert!(ran.stdout.is_empty(), "{ran}");
            }
        }
    }
}

#[test]
fn raw_tells_a_refusal_too() {
    let script = answers(&NO.replace('\\', "\\\\"));
    let ran = driver("PLUGIN raw", &script).run().expect(1);
    assert_eq!(ran.text(), NO, "{ran}");
    assert!(ran.stderr.is_empty(), "{ran}");
}

#[test]
fn a_program_that_cannot_run_is_2_and_one_that_is_not_there_64() {
    let run = driver("", "");
    let odd = run.folder().join("odd");
    std::fs::write(&odd, "\u{7f}ELF").expect("it is our folder");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&odd, mode).expect("it is our file");
    let path = odd.to_string_lossy().into_owned();
    driver("", "")
        .arg(&path)
        .arg("list")
        .run()
        .expect(2)
        .says(&["can't be started"]);

    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&odd, mode).expect("it is our file");
    driver("", "")
        .arg(&path)
        .arg("list")
        .run()
        .expect(64)
        .says(&[&path, "not executable"]);
    driver("./nothing list", "")
        .run()
        .expect(64)
        .says(&["./nothing", "not there"]);
}

/// The plugin hears the deadline and gets two seconds more to say so.
#[test]
fn silence_ends_at_the_timeout() {
    for (line, script) in [
        ("list", ""),
        ("raw", ""),
        ("logs a", "printf '%s\\0some' \"$OK\"; "),
        ("img_pull a --progress", "printf '%s\\0' \"$OK\"; "),
    ] {
        let line = format!("--timeout 0.1 PLUGIN {line}");
        let script = format!("echo $$ >\"$PID\"; {script}exec sleep 1000");
        let run = driver(&line, &script);
        let pid = run.folder().join("pid");
        let keep = tempfile::tempdir().expect("a temporary folder");
        let kept = keep.path().join("pid");
        let ran = run
            .env("PID", &kept.to_string_lossy())
            .env("OK", OK)
            .run()
            .expect(2)
            .says(&["within 2.1 s", "killed"]);
        drop(pid);
        assert!(ran.took < Duration::from_secs(10), "{ran}");
        let pid = std::fs::read_to_string(&kept).expect("the plugin wrote it");
        let process = std::path::PathBuf::from(format!("/proc/{}", pid.trim()));
        assert!(
            eventually(|| !process.exists()),
            "the plugin lives on\n{ran}"
        );
    }
    let script = answers(r#"{"_version":"0.1.0","_status":"err","code":20,"message":"too slow"}"#);
    driver("--timeout 1 PLUGIN list", &script)
        .run()
        .expect(1)
        .says(&["20 (timeout)"]);
}

/// A script wants to know what the command said, as with docker and kubectl.
#[test]
fn exec_passes_on_what_the_command_did() {
    let answer = |code: i64| {
        answers(&format!(
            r#"{{"_version":"0.1.0","_status":"ok","exit_code":{code},"stdout":"out","stderr":"err","truncated":true}}"#
        ))
    };
    for (code, status) in [(0, 0), (7, 7), (255, 255), (256, 255), (-1, 255)] {
        let ran = driver("-o text PLUGIN exec a b", &answer(code))
            .run()
            .expect(status);
        assert_eq!(ran.text(), "out", "{ran}");
        ran.says(&["err", "was cut"]);
        let ran = driver("PLUGIN exec a b", &answer(code))
            .run()
            .expect(status);
        assert_eq!(ran.json()["exit_code"], code, "{ran}");
        assert!(ran.stderr.is_empty(), "{ran}");
    }
    driver("PLUGIN exec a b", &answers("x")).run().expect(2);
}

/// `wait` is about the driver's own success; the module's is in the answer.
#[test]
fn wait_succeeds_whatever_the_module_did() {
    let answer = r#"{"_version":"0.1.0","_status":"ok","status":"failed","status_description":"it trapped","image_id":"","started_at":1,"finished_at":2,"exit_code":134}"#;
    let ran = driver("PLUGIN wait a", &answers(answer)).run().expect(0);
    assert_eq!(ran.json()["exit_code"], 134, "{ran}");
    let ran = driver("PLUGIN wait a -o text", &answers(answer))
        .run()
        .expect(0);
    assert!(ran.text().starts_with("a: failed\n"), "{ran}");
    assert!(ran.text().contains("it trapped"), "{ran}");
}

#[test]
fn wrong_usage_is_64_and_help_0() {
    for line in [
        "",
        "PLUGIN",
        "PLUGIN bogus",
        "PLUGIN start",
        "list",
        "completions",
        "--bogus",
    ] {
        let ran = driver(line, &answers(OK)).run().expect(64);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{ran}");
        assert!(ran.sent.is_none(), "{ran}");
    }
    for line in [
        "--help",
        "-h",
        "--version",
        "create --help",
        "PLUGIN logs --help",
    ] {
        let ran = driver(line, "").run().expect(0);
        assert!(!ran.stdout.is_empty() && ran.stderr.is_empty(), "{ran}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = driver(&format!("completions {shell}"), "").run().expect(0);
        assert!(ran.text().contains("img_pull"), "{ran}");
    }
}
