//! Containers of others in our namespace, and ours in their eyes. Images are the subject of
//! `containerd_images.rs`.

use serde_json::json;
use tests::plugin::until;

use super::{assert_nothing_left, remove, run_forever, setup};

#[test]
fn modules_and_containers_of_others_are_left_alone() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.pull(&image);
    let run = ["run", "-d", "--null-io", &image, "theirs", "sleep", "1000"];
    shellrt.containerd.ctr(&run);
    // It is in our namespace and not ours.
    assert_eq!(shellrt.ok(&json!({"_type": "list"}))["modules"], json!([]));
    for kind in ["status", "start", "stop", "remove", "logs"] {
        assert_eq!(
            shellrt.err(&json!({"_type": kind, "name": "theirs"})),
            5,
            "{kind}"
        );
    }
    let create = json!({
        "_type": "create", "name": "theirs", "config_type": "containerd",
        "config": {"image": image},
    });
    assert_eq!(shellrt.err(&create), 6);
    let answer = shellrt.ok(&json!({"_type": "prune", "images": true, "older_than": 0}));
    assert_eq!(answer["images"], json!([]), "their container uses it");
    let tasks = shellrt.containerd.ctr(&["tasks", "ls"]);
    assert!(
        tasks.contains("theirs") && tasks.contains("RUNNING"),
        "{tasks}"
    );
    assert_eq!(
        shellrt.err(&json!({"_type": "img_remove", "image": image})),
        9
    );
    shellrt.containerd.ctr(&["tasks", "rm", "-f", "theirs"]);
    shellrt.containerd.ctr(&["containers", "rm", "theirs"]);
    // What is ours, they see, with its name and its image.
    run_forever(&shellrt, "ours", &image, json!({}));
    let containers = shellrt.containerd.ctr(&["containers", "ls"]);
    let line = containers.lines().find(|line| line.starts_with("ours "));
    assert!(
        line.is_some_and(|line| line.contains(&image)),
        "{containers}"
    );
    let pid = shellrt.module("status", "ours")["pid"].to_string();
    let tasks = shellrt.containerd.ctr(&["tasks", "ls"]);
    let line = tasks.lines().find(|line| line.starts_with("ours "));
    assert!(
        line.is_some_and(|line| line.contains(&pid)),
        "{pid}: {tasks}"
    );
    let said = ["tasks", "exec", "--exec-id", "1", "ours", "echo", "hello"];
    assert_eq!(shellrt.containerd.ctr(&said), "hello\n");
    remove(&shellrt, "ours");
    assert_nothing_left(&shellrt);
}

#[test]
fn a_task_that_ctr_has_started_runs() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    run_forever(&shellrt, "a", &image, json!({}));
    shellrt.ok(&json!({"_type": "stop", "name": "a", "timeout": 10}));
    let ended = shellrt.module("status", "a");
    // What is left of the run's task goes in the background.
    until("ctr can start it", || {
        let start = ["tasks", "start", "-d", "--null-io", "a"];
        let started = shellrt.containerd.ctr_command(&start).output().unwrap();
        started.status.success()
    });
    let status = shellrt.module("status", "a");
    assert_eq!(status["state"], "running", "{status}");
    let tasks = shellrt.containerd.ctr(&["tasks", "ls"]);
    assert!(
        tasks.contains(&format!(" {} ", status["pid"])),
        "{status}: {tasks}"
    );
    shellrt.containerd.ctr(&["tasks", "rm", "-f", "a"]);
    assert_eq!(shellrt.module("status", "a"), ended);
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}
