//! Single requests to `shellrt-containerd`, bare and through the driver.

use std::process::Command;

use serde_json::{json, Value};
use tests::shellrt::Shellrt;

use super::floor;
use super::measure::{busybox, printed, Side};
use super::report::Report;

const ROUNDS: usize = 200;

/// How many modules a device has whose list is asked for.
const MANY: usize = 50;

/// What is asked, what it is called, what the peer does, and how the driver is told.
const REQUESTS: [(&str, &str, &[&str], &[&str]); 3] = [
    (
        r#"{"_version":"0.1.0","_type":"version"}"#,
        "version",
        &["version"],
        &["version"],
    ),
    (
        r#"{"_version":"0.1.0","_type":"list"}"#,
        "list",
        &["c", "ls"],
        &["list"],
    ),
    (
        r#"{"_version":"0.1.0","_type":"status","name":"m0"}"#,
        "status",
        &["t", "ls"],
        &["status", "m0"],
    ),
];

/// Measures them.
pub fn measure(report: &mut Report) {
    let Some((shellrt, image)) = busybox() else {
        return;
    };
    let config = json!({"command": ["sleep", "100000"], "network": "none"});
    let run = |number: usize| {
        shellrt.create_only(&format!("m{number}"), &image, config.clone());
        shellrt.module("start", &format!("m{number}"));
    };
    (0..3).for_each(run);
    let empty = floor::program(shellrt.files(), "empty", "return 0;");
    for (request, name, ctr, driven) in REQUESTS {
        // Three of each; and what the peer prints is what we say.
        let did = match name {
            "version" => shellrt.ok(&json!({"_type": "version"}))["runtime_version"].clone(),
            "list" => json!(3),
            _ => json!("running"),
        };
        let peer_did = did.clone();
        let bare_did = did.to_string();
        let peer = || {
            Side::new(&format!("ctr {}", ctr.join(" ")), || {
                let text = printed(&mut shellrt.containerd.ctr_command(ctr), "");
                said_by_ctr(name, &text, &peer_did).to_string()
            })
        };
        let ours = || {
            Side::new("shellrt-containerd", || {
                said(name, &printed(&mut shellrt.command(), request)).to_string()
            })
        };
        let mut through_driver = Side::new("shellrt-driver", || {
            said(name, &printed(&mut driver(&shellrt, driven), "")).to_string()
        });
        report.compare(
            &format!("`{name}`"),
            Some(0.20),
            ROUNDS,
            &mut ours(),
            &mut peer(),
        );
        let mut nothing = floor::empty(&empty, &bare_did);
        report.compare(
            &format!("`{name}`"),
            Some(3.0),
            ROUNDS,
            &mut ours(),
            &mut nothing,
        );
        let what = format!("`{name}` through `shellrt-driver`");
        report.compare(&what, Some(0.30), ROUNDS, &mut through_driver, &mut peer());
    }
    (3..MANY).for_each(run);
    let details = r#"{"_version":"0.1.0","_type":"list","details":true}"#;
    let mut ours = Side::new("shellrt-containerd", || {
        let answer: Value =
            serde_json::from_str(&printed(&mut shellrt.command(), details)).unwrap();
        let details = answer["details"].as_object().expect("details");
        let running = details
            .values()
            .filter(|module| module["status"] == "running");
        format!("{} of {}", running.count(), details.len())
    });
    let mut peer = Side::new("ctr c ls, ctr t ls", || {
        let containers = printed(&mut shellrt.containerd.ctr_command(&["c", "ls"]), "");
        let tasks = printed(&mut shellrt.containerd.ctr_command(&["t", "ls"]), "");
        let running = tasks.lines().filter(|line| line.ends_with("RUNNING"));
        format!("{} of {}", running.count(), containers.lines().count() - 1)
    });
    let what = format!("`list` with details of {MANY} modules");
    report.compare(&what, Some(0.35), ROUNDS / 2, &mut ours, &mut peer);
}

/// What one of our answers says.
fn said(name: &str, answer: &str) -> Value {
    let answer: Value = serde_json::from_str(answer).unwrap();
    assert!(answer.get("code").is_none(), "{answer}");
    match name {
        "version" => answer["runtime_version"].clone(),
        "list" => json!(answer["modules"].as_array().expect("modules").len()),
        _ => answer["status"].clone(),
    }
}

/// The same, by what `ctr` prints.
fn said_by_ctr(name: &str, text: &str, version: &Value) -> Value {
    match name {
        "version" => {
            assert!(
                text.contains(version.as_str().expect("a version")),
                "{text}"
            );
            version.clone()
        }
        "list" => json!(text.lines().count() - 1),
        _ => {
            let is_running = |line: &str| line.starts_with("m0 ") && line.ends_with("RUNNING");
            assert!(text.lines().any(is_running), "{text}");
            json!("running")
        }
    }
}

fn driver(shellrt: &Shellrt, arguments: &[&str]) -> Command {
    let mut command = Command::new(tests::binaries::program("shellrt-driver"));
    command.arg("containerd").args(arguments);
    for (name, value) in &shellrt.environment {
        command.env(name, value.as_deref().unwrap_or_default());
    }
    command
}
