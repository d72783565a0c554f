//! A machine that goes down: containerd's state directory, runc's and every process are gone.

use serde_json::json;

use super::{assert_nothing_left, remove, run_forever, setup};

#[test]
fn what_ran_is_lost_and_can_be_started_again() {
    let Some((mut shellrt, _registry, image)) = setup() else {
        return;
    };
    run_forever(&shellrt, "ran", &image, json!({}));
    let runs = "echo x >> /srv/runs; wc -l < /srv/runs; exit 7";
    shellrt.run("ended", &image, runs, json!({}));
    shellrt.create_only("never", &image, json!({}));
    assert_eq!(shellrt.module("wait", "ended")["exit_code"], 7);
    let ended = shellrt.module("status", "ended");
    shellrt.reboot();

    let ran = shellrt.module("status", "ran");
    assert_eq!(ran["status"], "failed", "{ran}");
    assert_eq!(ran["exit_code"], 255, "{ran}");
    assert_eq!(ran["end"], "lost", "{ran}");
    assert_eq!(ran["state"], "exited", "{ran}");
    let again = shellrt.module("status", "ran");
    assert_eq!(again["finished_at"], ran["finished_at"]);
    let after = shellrt.module("status", "ended");
    for key in ["exit_code", "end", "finished_at", "started_at", "state"] {
        assert_eq!(after[key], ended[key], "{key}");
    }
    let never = shellrt.module("status", "never");
    assert_eq!(never["status"], "unknown", "{never}");
    assert_eq!(never["state"], "created", "{never}");
    let list = shellrt.ok(&json!({"_type": "list", "details": true}));
    assert_eq!(list["details"]["ran"]["end"], "lost", "{list}");
    assert_eq!(shellrt.module("wait", "ran")["end"], "lost");

    // What was written before is there: files and log.
    shellrt.module("start", "ended");
    assert_eq!(shellrt.module("wait", "ended")["exit_code"], 7);
    assert_eq!(shellrt.logs("ended"), b"1\n2\n");
    for name in ["ran", "never"] {
        shellrt.module("start", name);
    }
    assert_eq!(shellrt.module("status", "ran")["status"], "running");
    shellrt.module("wait", "never");
    for name in ["ran", "ended", "never"] {
        remove(&shellrt, name);
    }
    assert_nothing_left(&shellrt);
}

#[test]
fn what_a_machine_lost_can_be_removed_at_once() {
    let Some((mut shellrt, _registry, image)) = setup() else {
        return;
    };
    for name in ["stopped", "removed", "forced"] {
        run_forever(&shellrt, name, &image, json!({}));
    }
    shellrt.reboot();
    shellrt.ok(&json!({"_type": "stop", "name": "stopped", "timeout": 10}));
    assert_eq!(shellrt.module("status", "stopped")["end"], "lost");
    shellrt.module("remove", "stopped");
    shellrt.module("remove", "removed");
    remove(&shellrt, "forced");
    assert_nothing_left(&shellrt);
    shellrt.ok(&json!({"_type": "img_remove", "image": image}));
    shellrt.ok(&json!({"_type": "prune", "older_than": 0}));
}
