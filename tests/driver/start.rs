//! Which plugin is started, with what, and what nobody may see.

use std::os::unix::fs::symlink;
use std::process::Command;

use super::harness::{answers, binary, driver, OK, PLUGIN};

/// Says which file was started; `$0` is the name by which it was called.
const WHO: &str =
    r#"cat >/dev/null; printf '{"_version":"0.1.0","_status":"ok","info":"%s"}' "$0""#;

#[test]
fn a_short_name_is_found_beside_the_driver_then_on_path() {
    let driver = binary();
    // On the same file system as the driver, so that a hard link will do: a symbolic one is no
    // place of its own.
    let folder = tempfile::tempdir_in(driver.parent().expect("it stands in a folder"));
    let folder = folder.expect("a temporary folder");
    let (beside, path) = (folder.path().join("beside"), folder.path().join("path"));
    for folder in [&beside, &path] {
        std::fs::create_dir(folder).expect("our folder");
    }
    std::fs::hard_link(&driver, beside.join("driver")).expect("the same file system");
    let who = |plugin: &str| {
        let output = Command::new(beside.join("driver"))
            .args(["-o", "text", plugin, "version"])
            .env("SCRIPT", WHO)
            .env("PATH", format!("{}:/usr/bin:/bin", path.display()))
            .output()
            .expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (text, output.status.code(), stderr)
    };
    let place = |folder: &std::path::Path, name: &str| {
        let file = folder.join(name);
        symlink(PLUGIN, &file).expect("our folder");
        file.display().to_string()
    };

    let (_, status, stderr) = who("short");
    assert_eq!(status, Some(64));
    for tried in ["beside/shellrt-short", "path/shellrt-short", "path/short"] {
        assert!(stderr.contains(tried), "{stderr}");
    }
    // Each one hides the one before it.
    let expected = place(&path, "short");
    assert_eq!(who("short").0, expected);
    let expected = place(&path, "shellrt-short");
    assert_eq!(who("short").0, expected);
    assert_eq!(who("shellrt-short").0, expected);
    let expected = place(&beside, "shellrt-short");
    assert_eq!(who("short").0, expected);
    assert_eq!(who("shellrt-short").0, expected);
    // A path is a path.
    let expected = format!("{}/short", path.display());
    assert_eq!(who(&expected).0, expected);
}

/// Writes everything that a process can be seen by to `$SENT`, then answers.
fn seen() -> String {
    format!(
        "cat >/dev/null; {{ cat /proc/$$/cmdline /proc/$PPID/environ; env; }} >\"$SENT\"; \
         echo 'it is hunter2' >&2; printf '%s' \"$ANSWER\"; : '{OK}'"
    )
}

#[test]
fn a_password_is_seen_nowhere() {
    let lines = [
        ("PLUGIN img_pull a -u me -p hunter2 --verbose", ""),
        ("-u me -p hunter2 PLUGIN -v img_pull a", ""),
        ("PLUGIN img_pull a -u me --password-stdin -v", "hunter2\n"),
        ("PLUGIN img_pull a --token-stdin -v", "hunter2\n"),
    ];
    let refused = r#"{"_version":"0.1.0","_status":"err","code":11,"message":"hunter2 is wrong","detail":{"caused_by":["hunter2"]}}"#;
    for (line, stdin) in lines {
        for (answer, status) in [(OK, 0), (refused, 1), ("hunter2", 2), ("", 2)] {
            let run = driver(line, &seen()).env("ANSWER", answer).stdin(stdin);
            let ran = run.arg("--output").arg("text").run().expect(status);
            // The script itself and the answer stand in the environment of this test's making.
            let sent = ran.sent().replace(answer, "").replace("it is hunter2", "");
            assert!(!sent.contains("hunter2"), "{ran}");
            assert!(!ran.stderr.contains("hunter2"), "{ran}");
            assert!(!ran.text().contains("hunter2"), "{ran}");
            let ran = ran.says(&["> {", "[redacted]"]);
            assert_eq!(
                ran.stderr.contains("--password-stdin\""),
                line.contains("-p "),
                "{ran}"
            );
        }
    }
}

#[test]
fn verbose_shows_both_payloads_without_secrets() {
    let answer = r#"{"_version":"0.1.0","_status":"ok","apiToken":"mine"}"#;
    let line = "PLUGIN create x NAME IMAGE -e DATABASE=postgres://me:mine@host -v";
    let ran = driver(line, &answers(answer)).run().expect(0);
    assert!(ran.sent().contains("postgres"), "{ran}");
    assert!(!ran.stderr.contains("mine"), "{ran}");
    ran.says(&["> {", "\"NAME\"", "DATABASE", "< {", "apiToken"]);

    // What is sent through raw is seen no better.
    let request = r#"{"_type":"img_pull","credentials":{"password":"mine"}}"#;
    let ran = driver("PLUGIN raw -v", &answers(OK))
        .stdin(request)
        .run()
        .expect(0);
    assert!(!ran.stderr.contains("mine"), "{ran}");
    ran.says(&["> {", "img_pull", "< {"]);
}

#[test]
fn secrets_from_stdin() {
    for (line, stdin, expected) in [
        (
            "-u me --password-stdin",
            "a b\n",
            r#"{"password":"a b","username":"me"}"#,
        ),
        (
            "-u me --password-stdin",
            "a\r\n",
            r#"{"password":"a","username":"me"}"#,
        ),
        (
            "-u me --password-stdin",
            " a\n\n",
            "{\"password\":\" a\\n\",\"username\":\"me\"}",
        ),
        ("--token-stdin", "abc", r#"{"token":"abc"}"#),
    ] {
        let line = format!("PLUGIN img_pull a {line}");
        let ran = driver(&line, &answers(OK)).stdin(stdin).run().expect(0);
        let expected = format!("\"credentials\":{expected}}}");
        assert!(ran.sent().ends_with(&expected), "{ran}");
    }
    for (line, stdin) in [
        ("PLUGIN img_pull a -u me --password-stdin", ""),
        ("PLUGIN img_pull a -u me --password-stdin", "\n"),
        ("PLUGIN img_pull a --password-stdin", "a"),
        ("PLUGIN img_pull a -p a", ""),
        ("-u me PLUGIN img_pull a -u you", ""),
        ("-u me -p a PLUGIN list", ""),
    ] {
        let ran = driver(line, &answers(OK)).stdin(stdin).run().expect(64);
        assert!(ran.sent.is_none(), "{ran}");
    }
}

/// A dry run is asked for to see the payload, so it shows all of it, and says so.
#[test]
fn a_dry_run_warns() {
    let line = "--dry-run PLUGIN img_pull a -u me -p hunter2";
    let ran = driver(line, "").run().expect(0);
    assert!(ran.text().contains("\"password\":\"hunter2\""), "{ran}");
    let ran = ran.says(&["warning", "contains the credentials"]);
    assert!(!ran.stderr.contains("hunter2"), "{ran}");
}
