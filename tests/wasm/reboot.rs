//! A machine that goes down.

use serde_json::json;
use tests::wasm::{until, Wasm};

use crate::is_root;

#[test]
fn what_ran_is_lost_and_can_be_started_again() {
    if !is_root() {
        return;
    }
    let mut wasm = Wasm::new();
    wasm.create("ran", &wasm.guest("forever"), json!({}));
    wasm.create("ended", &wasm.guest("exit_7"), json!({}));
    wasm.create("never", &wasm.guest("exit_7"), json!({"restart": "always"}));
    wasm.module("start", "ran");
    wasm.module("start", "ended");
    wasm.module("wait", "ended");
    wasm.reboot();
    let ran = wasm.module("status", "ran");
    assert_eq!(ran["status"], "failed");
    assert_eq!(ran["exit_code"], 255);
    assert_eq!(ran["end"], "lost");
    assert_eq!(
        wasm.module("status", "ran")["finished_at"],
        ran["finished_at"]
    );
    assert_eq!(wasm.module("status", "ended")["exit_code"], 7);
    assert_eq!(wasm.module("status", "never")["status"], "unknown");
    wasm.logs("ran");
    wasm.module("start", "ran");
    assert_eq!(wasm.module("status", "ran")["status"], "running");
    wasm.ok(&json!({"_type": "remove", "name": "ran", "force": true}));
    wasm.module("remove", "ended");
}

#[test]
fn the_first_request_starts_what_is_due() {
    if !is_root() {
        return;
    }
    let mut wasm = Wasm::new();
    for (name, policy) in [
        ("no", "no"),
        ("on-failure", "on-failure"),
        ("on-failure-stopped", "on-failure"),
        ("always", "always"),
        ("always-stopped", "always"),
        ("unless-stopped", "unless-stopped"),
        ("unless-stopped-stopped", "unless-stopped"),
    ] {
        wasm.create(name, &wasm.guest("forever"), json!({"restart": policy}));
        wasm.module("start", name);
        if name.ends_with("stopped-stopped")
            || name == "always-stopped"
            || name == "on-failure-stopped"
        {
            wasm.module("stop", name);
        }
    }
    wasm.create(
        "on-failure-ended",
        &wasm.guest("exit_0"),
        json!({"restart": "on-failure"}),
    );
    wasm.module("start", "on-failure-ended");
    wasm.module("wait", "on-failure-ended");
    wasm.create(
        "never-started",
        &wasm.guest("forever"),
        json!({"restart": "always"}),
    );
    wasm.reboot();

    // Any request does it, even one that fails.
    assert_eq!(wasm.err(&json!({"_type": "status", "name": "nobody"})), 5);
    let running = || {
        let list = wasm.ok(&json!({"_type": "list", "details": true}));
        let details = list["details"].as_object().unwrap().clone();
        let running = details
            .into_iter()
            .filter(|(_, status)| status["status"] == "running");
        running.map(|(name, _)| name).collect::<Vec<_>>()
    };
    let expected = ["always", "always-stopped", "on-failure", "unless-stopped"];
    until("the due modules run", || running() == expected);
    let boot = wasm.files().join("boot_id");
    let boot = std::fs::read_to_string(boot).unwrap();
    until("it was noted", || {
        std::fs::read_to_string(wasm.root().join("boot")).is_ok_and(|seen| seen == boot)
    });
    assert_eq!(running(), expected);
    for name in expected {
        assert_eq!(wasm.module("status", name)["restart_count"], 1, "{name}");
    }

    // An explicit stop is not undone by the second request after the boot.
    wasm.module("stop", "always");
    assert_eq!(running(), &expected[1..]);
}

#[test]
fn a_stop_after_the_boot_holds_although_it_is_the_first_request() {
    if !is_root() {
        return;
    }
    let mut wasm = Wasm::new();
    for name in ["stopped", "witness"] {
        wasm.create(name, &wasm.guest("forever"), json!({"restart": "always"}));
        wasm.module("start", name);
    }
    wasm.reboot();
    wasm.module("stop", "stopped");
    // The names are seen to in order.
    wasm.wait_until("witness", "status", &json!("running"));
    let status = wasm.module("status", "stopped");
    assert_eq!(status["state"], "exited", "{status}");
    assert_eq!(status["end"], "lost", "{status}");
}

#[test]
fn a_machine_that_goes_down_in_order_is_not_a_stop() {
    if !is_root() {
        return;
    }
    let mut wasm = Wasm::new();
    wasm.create(
        "a",
        &wasm.guest("forever"),
        json!({"restart": "on-failure"}),
    );
    wasm.module("start", "a");
    // As init does it: everybody is asked to end.
    for (pid, _) in wasm.processes() {
        tests::wasm::signal(pid, rustix::process::Signal::TERM);
    }
    until("everybody ended", || wasm.processes().is_empty());
    assert_eq!(wasm.module("status", "a")["state"], "exited");
    wasm.reboot();
    wasm.ok(&json!({"_type": "list"}));
    wasm.wait_until("a", "status", &json!("running"));
}

#[test]
fn what_is_due_and_can_not_be_started_says_why() {
    if !is_root() {
        return;
    }
    let mut wasm = Wasm::new();
    let source = wasm.files().join("data");
    std::fs::create_dir(&source).unwrap();
    let mount = json!([{"type": "bind", "source": source, "target": "/data"}]);
    wasm.create(
        "a",
        &wasm.guest("forever"),
        json!({"restart": "always", "mounts": mount}),
    );
    wasm.module("start", "a");
    wasm.reboot();
    std::fs::remove_dir(&source).unwrap();
    // The first request after the boot waits for what it makes happen.
    let status = wasm.module("wait", "a");
    assert_eq!(status["exit_code"], 125, "{status}");
    assert_eq!(status["state"], "exited", "{status}");
    std::fs::create_dir(&source).unwrap();
    wasm.module("start", "a");
    assert_eq!(wasm.module("status", "a")["status"], "running");
}
