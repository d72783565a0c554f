//! Ends, attempts in the same pod, pods that go away, a machine that goes down.

use serde_json::json;

use super::pods::Kubelet;
use super::{ready, FOREVER};

#[test]
fn a_restart_is_a_new_attempt_in_the_same_pod() {
    let Some(world) = ready() else {
        return;
    };
    let kubelet = Kubelet::new(&world);
    world.run_forever("web");
    let pod = kubelet.pod().id;
    let attempt = || kubelet.container().0.metadata.unwrap().attempt;
    assert_eq!(attempt(), 0);
    let first = world.shellrt.module("status", "web");
    world.shellrt.module("restart", "web");
    world.is_up("web", 2);
    assert_eq!((kubelet.pod().id.as_str(), attempt()), (pod.as_str(), 1));
    let second = world.shellrt.module("status", "web");
    assert_ne!(second["pid"], first["pid"]);
    world.shellrt.module("stop", "web");
    let ended = world.shellrt.module("status", "web");
    assert_eq!(
        (&ended["exit_code"], &ended["end"]),
        (&json!(143), &json!("signal"))
    );
    assert_eq!(ended["started_at"], second["started_at"]);
    // What runs stays as it is, and so does what has ended.
    for _ in 0..2 {
        world.shellrt.module("start", "web");
    }
    world.is_up("web", 3);
    assert_eq!((kubelet.pod().id.as_str(), attempt()), (pod.as_str(), 2));
    for _ in 0..2 {
        world
            .shellrt
            .ok(&json!({"_type": "stop", "name": "web", "timeout": 0}));
    }
    assert_eq!(world.shellrt.module("status", "web")["exit_code"], 137);
    world.remove("web");
    world.assert_nothing_left();
}

#[test]
fn a_pod_that_somebody_stopped_is_replaced() {
    let Some(world) = ready() else {
        return;
    };
    let kubelet = Kubelet::new(&world);
    world.run_forever("web");
    let before = kubelet.pod();
    kubelet.stop_pod(&before.id);
    let status = world.shellrt.module("status", "web");
    assert_eq!(status["status"], "failed", "{status}");
    world.shellrt.module("start", "web");
    world.is_up("web", 2);
    let after = kubelet.pod();
    assert_ne!(after.id, before.id);
    assert_eq!(after.metadata.unwrap().attempt, 1);
    assert_eq!(kubelet.container().0.metadata.unwrap().attempt, 1);
    world.remove("web");
    world.assert_nothing_left();
}

#[test]
fn what_a_machine_lost_can_be_started_again() {
    let Some(mut world) = ready() else {
        return;
    };
    world.run_forever("ran");
    world.run("ended", "echo once; exit 7");
    world.create("never", "true", json!({}));
    assert_eq!(world.shellrt.module("wait", "ended")["exit_code"], 7);
    let ended = world.shellrt.module("status", "ended");
    world.shellrt.reboot();

    let ran = world.shellrt.module("status", "ran");
    for (key, value) in [
        ("status", json!("failed")),
        ("state", json!("exited")),
        ("end", json!("lost")),
        ("exit_code", json!(255)),
    ] {
        assert_eq!(ran[key], value, "{ran}");
    }
    assert_eq!(
        world.shellrt.module("wait", "ran")["finished_at"],
        ran["finished_at"]
    );
    let after = world.shellrt.module("status", "ended");
    for key in ["exit_code", "end", "finished_at", "started_at", "state"] {
        assert_eq!(after[key], ended[key], "{key}");
    }
    assert_eq!(world.shellrt.module("status", "never")["state"], "created");
    for name in ["ran", "ended", "never"] {
        world.shellrt.module("start", name);
    }
    world.is_up("ran", 2);
    world.shellrt.module("wait", "ended");
    assert_eq!(world.shellrt.logs("ended"), b"once\nonce\n");
    assert_eq!(world.shellrt.module("wait", "never")["exit_code"], 0);
    // One for each, the lost ones are gone.
    assert_eq!(Kubelet::new(&world).pods().len(), 3);
    for name in ["ran", "ended", "never"] {
        world.remove(name);
    }
    world.assert_nothing_left();
}

#[test]
fn both_kinds_live_side_by_side() {
    let Some(world) = ready() else {
        return;
    };
    world.run_forever("in-a-pod");
    let config = json!({"command": ["sh", "-c", FOREVER]});
    world.shellrt.create_only("alone", &world.image, config);
    world.shellrt.module("start", "alone");
    let list = world.shellrt.ok(&json!({"_type": "list"}));
    assert_eq!(list["modules"], json!(["alone", "in-a-pod"]));
    let list = world.shellrt.ok(&json!({"_type": "list", "details": true}));
    for (name, kind) in [("alone", "containerd"), ("in-a-pod", "containerd-cri")] {
        assert_eq!(list["details"][name]["config_type"], kind, "{list}");
        assert_eq!(list["details"][name]["status"], "running", "{list}");
    }
    // A name is a module's, of whichever kind.
    for name in ["alone", "in-a-pod"] {
        for kind in ["containerd", "containerd-cri"] {
            let create = json!({
                "_type": "create", "name": name, "config_type": kind,
                "config": {"image": world.image},
            });
            assert_eq!(world.shellrt.err(&create), 6, "{name} {kind}");
        }
    }
    let in_use = json!({"_type": "img_remove", "image": world.image});
    assert_eq!(world.shellrt.err(&in_use), 9);
    world
        .shellrt
        .ok(&json!({"_type": "remove", "name": "alone", "force": true}));
    let answer = world.shellrt.ask(&in_use);
    assert_eq!(answer.object["code"], 9, "{answer:?}");
    assert!(answer.object["message"]
        .as_str()
        .unwrap()
        .contains("in-a-pod"));
    // The pause image is in use too.
    world
        .shellrt
        .ok(&json!({"_type": "prune", "images": true, "older_than": 0}));
    let images = world.shellrt.ok(&json!({"_type": "img_list"}))["images"].clone();
    assert_eq!(images.as_array().unwrap().len(), 2, "{images}");
    world.remove("in-a-pod");
    let pruned = world
        .shellrt
        .ok(&json!({"_type": "prune", "images": true, "older_than": 0}));
    assert_eq!(pruned["images"].as_array().unwrap().len(), 2, "{pruned}");
    world.assert_nothing_left();
}

#[test]
fn commands_and_processes_of_a_module_in_a_pod() {
    let Some(world) = ready() else {
        return;
    };
    world.run_forever("web");
    let exec = json!({
        "_type": "exec", "name": "web", "env": {"A": "b c"},
        "args": ["sh", "-c", "echo $A; echo err >&2; exit 4"],
    });
    let said = world.shellrt.ok(&exec);
    assert_eq!(
        (&said["stdout"], &said["stderr"]),
        (&json!("b c\n"), &json!("err\n"))
    );
    assert_eq!(said["exit_code"], 4);
    let slow = json!({"_type": "exec", "name": "web", "args": ["sleep", "100"], "timeout": 1});
    assert_eq!(world.shellrt.err(&slow), 20);
    let status = world.shellrt.module("status", "web");
    let top = world.shellrt.module("top", "web");
    let processes = top["processes"].as_array().unwrap();
    assert!(
        processes
            .iter()
            .any(|process| process["pid"] == status["pid"]),
        "{top}"
    );
    world.shellrt.module("stop", "web");
    assert_eq!(world.shellrt.err(&exec), 7);
    world.remove("web");
    world.assert_nothing_left();
}
