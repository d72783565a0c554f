//! Requests that are killed in their middle: a pod is nobody's only while somebody works on it.

use std::time::Duration;

use serde_json::{json, Value};
use tests::plugin::{processes_with, until};

use super::pods::Kubelet;
use super::{ready, World, FOREVER};

/// How often each request is killed.
const TIMES: u32 = 12;

/// The longest time after which one is killed, in milliseconds; all are over by then.
const LONGEST: u32 = 600;

/// Sends a request and kills the plugin after a while.
fn kill(world: &World, request: &Value, round: u32) {
    let mut open = world.shellrt.open(request);
    std::thread::sleep(Duration::from_millis((LONGEST * round / TIMES).into()));
    open.child.kill().unwrap();
    open.child.wait().unwrap();
}

#[test]
fn whatever_is_killed_no_pod_is_left_behind() {
    let Some(world) = ready() else {
        return;
    };
    let kubelet = Kubelet::new(&world);
    let create = json!({
        "_type": "create", "name": "web", "config_type": "containerd-cri",
        "config": {"image": world.image, "command": ["sh", "-c", FOREVER]},
    });
    let (start, remove) = (
        json!({"_type": "start", "name": "web"}),
        json!({"_type": "remove", "name": "web"}),
    );
    let mut halves = 0;
    for round in 0..TIMES {
        kill(&world, &create, round);
        let answer = world.shellrt.ask(&create).object;
        assert!(
            answer["_status"] == "ok" || answer["code"] == 6,
            "{round}: {answer:?}"
        );
        assert_eq!(
            (kubelet.pods().len(), kubelet.containers().len()),
            (1, 1),
            "{round}"
        );
        kill(&world, &start, round);
        world.shellrt.ok(&start);
        assert_eq!(
            world.shellrt.module("status", "web")["status"],
            "running",
            "{round}"
        );
        assert_eq!(
            (kubelet.pods().len(), kubelet.containers().len()),
            (1, 1),
            "{round}"
        );
        kill(&world, &remove, round);
        let answer = world.shellrt.ask(&remove).object;
        assert!(
            answer["_status"] == "ok" || answer["code"] == 5,
            "{round}: {answer:?}"
        );
        assert_eq!(
            (kubelet.pods().len(), kubelet.containers().len()),
            (0, 0),
            "{round}"
        );

        // Nobody comes back: what was begun is finished, and prune takes away what is no module.
        kill(&world, &create, round);
        let root = world.shellrt.root().to_str().unwrap();
        until("nobody works any more", || processes_with(root).is_empty());
        let is_made = world.shellrt.ok(&json!({"_type": "list"}))["modules"] == json!(["web"]);
        if is_made {
            world.remove("web");
        }
        halves += u32::from(!is_made);
        world
            .shellrt
            .ok(&json!({"_type": "prune", "images": false}));
        assert_eq!(
            (kubelet.pods().len(), kubelet.containers().len()),
            (0, 0),
            "{round}"
        );
    }
    // Some went on to the end.
    assert!(halves < TIMES, "{halves}");
    world.assert_nothing_left();
}
