//! Modules that are due after a boot: the first request has them started.

use serde_json::json;
use tests::plugin::until;
use tests::shellrt::Shellrt;

use super::restarts::restarters;
use super::{assert_nothing_left, is_up, remove, run_forever, setup, FOREVER};

#[test]
fn the_first_request_after_a_boot_starts_what_is_due() {
    let Some((mut shellrt, _registry, image)) = setup() else {
        return;
    };
    for (name, policy) in [
        ("no", "no"),
        ("on-failure", "on-failure:1"),
        ("on-failure-stopped", "on-failure"),
        ("always", "always"),
        ("always-stopped", "always"),
        ("unless-stopped", "unless-stopped"),
        ("unless-stopped-stopped", "unless-stopped"),
    ] {
        run_forever(&shellrt, name, &image, json!({"restart": policy}));
    }
    for name in [
        "on-failure-stopped",
        "always-stopped",
        "unless-stopped-stopped",
    ] {
        shellrt.module("stop", name);
    }
    shellrt.run(
        "on-failure-ended",
        &image,
        "true",
        json!({"restart": "on-failure"}),
    );
    shellrt.module("wait", "on-failure-ended");
    shellrt.create_only("never-started", &image, json!({"restart": "always"}));
    shellrt.reboot();

    // Any request does it, even one that fails.
    assert_eq!(
        shellrt.err(&json!({"_type": "status", "name": "nobody"})),
        5
    );
    let running = |shellrt: &Shellrt| {
        let list = shellrt.ok(&json!({"_type": "list", "details": true}));
        let details = list["details"].as_object().unwrap().clone();
        let running = details
            .into_iter()
            .filter(|(_, status)| status["status"] == "running");
        running.map(|(name, _)| name).collect::<Vec<_>>()
    };
    let due = ["always", "always-stopped", "on-failure", "unless-stopped"];
    until("the due modules run", || running(&shellrt) == due);
    for name in due {
        assert_eq!(shellrt.module("status", name)["restart_count"], 1, "{name}");
    }
    until("nobody is at it any more", || {
        restarters(&shellrt).is_empty()
    });
    assert_eq!(running(&shellrt), due);

    // An explicit stop is not undone by the next request.
    shellrt.module("stop", "always");
    shellrt.ok(&json!({"_type": "list"}));
    assert_eq!(running(&shellrt), due[1..]);

    // The stop of a module that is due holds too, although it is the first request after the boot.
    shellrt.reboot();
    shellrt.module("stop", "on-failure");
    until("the due modules run", || {
        running(&shellrt) == ["always", "always-stopped", "unless-stopped"]
    });
    until("nobody is at it any more", || {
        restarters(&shellrt).is_empty()
    });
    let status = shellrt.module("status", "on-failure");
    assert_eq!(status["state"], "exited", "{status}");
    assert_eq!(status["end"], "lost", "{status}");
    let list = shellrt.ok(&json!({"_type": "list"}));
    for name in list["modules"].as_array().unwrap() {
        remove(&shellrt, name.as_str().unwrap());
    }
    assert_nothing_left(&shellrt);
}

#[test]
fn what_waited_for_its_restart_when_the_power_went_is_started() {
    let Some((mut shellrt, _registry, image)) = setup() else {
        return;
    };
    let script = format!("if [ -e /srv/ran ]; then {FOREVER}; fi; touch /srv/ran; exit 7");
    shellrt.run("a", &image, &script, json!({"restart": "on-failure"}));
    shellrt.wait_until("a", "state", &json!("restarting"));
    shellrt.reboot();
    // The request of the unit for systemd.
    let unit = include_str!("../../systemd/shellrt@.service");
    let mut lines = unit.lines();
    let request = lines.find_map(|line| line.strip_prefix("StandardInputText="));
    shellrt.ok(&serde_json::from_str(request.unwrap()).unwrap());
    until("it runs", || {
        shellrt.module("status", "a")["status"] == "running"
    });
    is_up(&shellrt, "a", 1);
    assert_eq!(shellrt.module("status", "a")["restart_count"], 1);
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}
