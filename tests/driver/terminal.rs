//! The driver on a terminal, which `script` from util-linux plays.

use std::process::Command;

use super::harness::{answers, binary, OK, PLUGIN};

/// Runs the driver with stdin, stdout and stderr on a terminal; what appears on it, and the status.
fn on_a_terminal(line: &str, script: &str) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let command = format!(
        "'{}' {}",
        binary().display(),
        line.replace("PLUGIN", PLUGIN)
    );
    let output = Command::new("script")
        .args([
            "--quiet",
            "--return",
            "--flush",
            "--command",
            &command,
            "/dev/null",
        ])
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .env("SCRIPT", script)
        .env("SENT", folder.path().join("sent"))
        .stdin(std::process::Stdio::null())
        .output()
        .expect("\"script\" from util-linux plays the terminal");
    let text = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    (text, output.status.code())
}

#[test]
fn answers_are_text() {
    let answer = r#"{"_version":"0.1.0","_status":"ok","modules":["a","longer"],"details":{"a":{"status":"running","status_description":"","image_id":"","started_at":0},"longer":{"status":"failed","status_description":"","image_id":"sha256:0123456789abcdef","started_at":1,"exit_code":3}}}"#;
    let (text, status) = on_a_terminal("PLUGIN list --details", &answers(answer));
    assert_eq!(status, Some(0), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "NAME    STATUS   SINCE  EXIT  IMAGE",
            "a       running  -      -     -",
            "longer  failed   -      3     0123456789ab",
        ],
        "{text}"
    );
    let (text, _) = on_a_terminal("PLUGIN start a", &answers(OK));
    assert_eq!(text, "a: started\n");
    let (text, _) = on_a_terminal("PLUGIN start a --output json", &answers(OK));
    assert!(text.starts_with('{'), "{text}");
}

#[test]
fn a_refusal_is_text_only() {
    let answer = r#"{"_version":"0.1.0","_status":"err","code":5,"message":"no module a"}"#;
    let (text, status) = on_a_terminal("PLUGIN status a", &answers(answer));
    assert_eq!(status, Some(1), "{text}");
    assert!(text.starts_with("error: no module a\n"), "{text}");
    assert!(!text.contains('{'), "{text}");
}

/// A pull asks for progress by itself and shows a bar per layer; the bars are gone at the end.
#[test]
fn a_pull_shows_bars() {
    let layer = |digest: &str, current: u32, phase: &str| {
        format!(
            r#"{{"event":"layer","digest":"sha256:{digest}","current":{current},"total":2048,"phase":"{phase}"}}"#
        )
    };
    let first = layer("aaaaaaaaaaaaaaaa", 1024, "download");
    let second = layer("bbbbbbbbbbbbbbbb", 2048, "unpack");
    let script = format!(
        "read -r request <&0; case $request in *'\"progress\":true'*) ;; *) exit 9;; esac; \
         printf '%s\\0%s\\n%s\\n' '{OK}' '{first}' '{second}'; sleep 0.3; \
         printf '%s\\n' '{second}' '{{\"event\":\"done\",\"digest\":\"sha256:d\"}}'"
    );
    let (text, status) = on_a_terminal("PLUGIN img_pull hello", &script);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("aaaaaaaaaaaa download"), "{text}");
    assert!(text.contains("bbbbbbbbbbbb unpack"), "{text}");
    assert!(text.contains("1.00 KiB/2.00 KiB"), "{text}");
    let end = text.rfind("hello: pulled\n").expect("the result is last");
    assert!(!text[end..].contains("download"), "{text}");
}

/// Who leaves an attached module by Ctrl-D leaves its stdin open, as with docker and kubectl.
#[test]
fn the_end_of_typing_does_not_close_the_modules_stdin() {
    for (line, close) in [
        ("--dry-run PLUGIN attach -i a", false),
        ("--dry-run PLUGIN attach -i --close-stdin a", true),
    ] {
        let (text, status) = on_a_terminal(line, "");
        assert_eq!(status, Some(0), "{text}");
        assert!(
            text.contains(&format!("\"close_stdin\":{close}}}\n")),
            "{text}"
        );
    }
}
