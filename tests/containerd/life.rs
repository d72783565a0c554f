//! Modules whose daemon, shim or monitor goes away.

use rustix::process::Signal;
use serde_json::{json, Value};
use tests::plugin::{signal, until};
use tests::shellrt::Shellrt;

use super::{assert_nothing_left, remove, run_forever, setup, TICKS};

/// The numbers that a module of [`TICKS`] has written: each is there, and each once.
fn ticks(shellrt: &Shellrt, name: &str) -> usize {
    let text = String::from_utf8(shellrt.logs(name)).unwrap();
    let numbers: Vec<usize> = text.lines().map(|line| line.parse().unwrap()).collect();
    let expected: Vec<usize> = (0..numbers.len()).collect();
    assert!(numbers == expected, "{text}");
    numbers.len()
}

/// The module's processes below containerd whose command line has `word`.
fn find(shellrt: &Shellrt, word: &str) -> Vec<u32> {
    let all = shellrt.containerd.processes().into_iter();
    all.filter(|(_, line)| line.contains(word))
        .map(|(pid, _)| pid)
        .collect()
}

#[test]
fn a_module_does_not_notice_that_its_daemon_is_stopped_and_started() {
    let Some((mut shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.run("goes-on", &image, TICKS, json!({}));
    let last = "sleep 1; echo last; exit 7";
    shellrt.run("ends", &image, last, json!({}));
    let before = shellrt.module("status", "goes-on");
    for abruptly in [false, true] {
        match abruptly {
            false => shellrt.containerd.stop(),
            true => shellrt.containerd.kill(),
        }
        assert_eq!(
            shellrt.err(&json!({"_type": "status", "name": "goes-on"})),
            16
        );
        assert_eq!(shellrt.err(&json!({"_type": "list"})), 16);
        if !abruptly {
            // It ends while there is no daemon, and somebody has seen it.
            until("the other module has ended", || {
                find(&shellrt, "echo last").is_empty()
            });
        }
        shellrt.containerd.start_again();
        let now = shellrt.module("status", "goes-on");
        assert_eq!(now["status"], "running", "{now}");
        assert_eq!(now["pid"], before["pid"]);
        assert_eq!(now["started_at"], before["started_at"]);
        let ended = shellrt.module("wait", "ends");
        assert_eq!(ended["exit_code"], 7, "{ended}");
        assert_eq!(ended["end"], "exited", "{ended}");
        assert_eq!(shellrt.logs("ends"), b"last\n");
    }
    let so_far = ticks(&shellrt, "goes-on");
    until("it still writes", || ticks(&shellrt, "goes-on") > so_far);
    shellrt.ok(&json!({"_type": "stop", "name": "goes-on", "timeout": 10}));
    assert_eq!(shellrt.module("status", "goes-on")["exit_code"], 143);
    shellrt.module("start", "ends");
    assert_eq!(shellrt.module("wait", "ends")["exit_code"], 7);
    remove(&shellrt, "goes-on");
    remove(&shellrt, "ends");
    assert_nothing_left(&shellrt);
}

#[test]
fn who_follows_goes_on_while_the_daemon_is_away() {
    let Some((mut shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.run("a", &image, TICKS, json!({}));
    let mut follow = shellrt.open(&json!({"_type": "logs", "name": "a", "follow": true}));
    assert_eq!(follow.object()["_status"], "ok");
    let mut expected = 0;
    let mut next = |follow: &mut tests::plugin::Open| {
        assert_eq!(follow.line(), format!("{expected}\n"));
        expected += 1;
    };
    next(&mut follow);
    shellrt.containerd.stop();
    // Twenty lines take 400 ms, far more than what a buffer could still have.
    (0..20).for_each(|_| next(&mut follow));
    shellrt.containerd.start_again();
    (0..20).for_each(|_| next(&mut follow));
    shellrt.ok(&json!({"_type": "stop", "name": "a", "timeout": 0}));
    follow.rest();
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}

#[test]
fn a_killed_shim_is_an_end() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    run_forever(&shellrt, "a", &image, json!({}));
    for shim in find(&shellrt, "containerd-shim") {
        signal(shim, Signal::KILL);
    }
    let status = shellrt.wait_until("a", "state", &json!("exited"));
    assert_eq!(status["status"], "failed", "{status}");
    // Either somebody saw the kill that follows, or nobody did.
    let code = status["exit_code"].as_i64().unwrap();
    assert!(code == 137 || code == 255, "{status}");
    let again = shellrt.module("status", "a");
    assert_eq!(again["finished_at"], status["finished_at"]);
    assert_eq!(again["exit_code"], status["exit_code"]);
    shellrt.module("start", "a");
    assert_eq!(shellrt.module("status", "a")["status"], "running");
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}

#[test]
fn a_module_that_loses_its_monitor_is_told_truly_and_leaves_nothing() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.run("a", &image, TICKS, json!({}));
    let monitors = find(&shellrt, "shellrt-containerd");
    assert!(!monitors.is_empty());
    for monitor in monitors {
        signal(monitor, Signal::KILL);
    }
    let pid = |status: &Value| status["pid"].as_u64().unwrap();
    until("the status says what is", || {
        let status = shellrt.module("status", "a");
        match status["status"].as_str() {
            Some("running") => std::path::Path::new(&format!("/proc/{}", pid(&status))).exists(),
            Some("failed") => find(&shellrt, "sleep").is_empty(),
            _ => panic!("{status}"),
        }
    });
    shellrt.module("restart", "a");
    assert_eq!(shellrt.module("status", "a")["status"], "running");
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}

/// Kills and deletes a task with `ctr`, which fails where the module's own process has seen the kill and
/// deletes the task first.
fn rm_task(shellrt: &Shellrt, name: &str) {
    let mut rm = shellrt.containerd.ctr_command(&["tasks", "rm", "-f", name]);
    let _ = rm.output();
    until("the task is gone", || {
        let tasks = shellrt.containerd.ctr(&["tasks", "ls", "-q"]);
        !tasks.lines().any(|task| task == name)
    });
}

#[test]
fn what_others_have_taken_away_is_no_reason_to_fail() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    // Somebody kills and deletes the task.
    run_forever(&shellrt, "task", &image, json!({}));
    rm_task(&shellrt, "task");
    let status = shellrt.wait_until("task", "state", &json!("exited"));
    assert_eq!(status["status"], "failed", "{status}");
    shellrt.ok(&json!({"_type": "stop", "name": "task", "timeout": 10}));
    shellrt.module("start", "task");
    assert_eq!(shellrt.module("status", "task")["status"], "running");
    remove(&shellrt, "task");
    // Somebody deletes the snapshot of a module that does not run.
    shellrt.create_only("snapshot", &image, json!({}));
    shellrt.containerd.ctr(&["snapshots", "rm", "snapshot"]);
    let answer = shellrt.ask(&json!({"_type": "start", "name": "snapshot"}));
    assert_eq!(answer.object["_status"], "err", "{answer:?}");
    shellrt.module("remove", "snapshot");
    // Somebody deletes the container.
    run_forever(&shellrt, "container", &image, json!({}));
    rm_task(&shellrt, "container");
    shellrt.containerd.ctr(&["containers", "rm", "container"]);
    let answer = shellrt.ask(&json!({"_type": "remove", "name": "container", "force": true}));
    let code = answer.object.get("code").and_then(Value::as_u64);
    assert!(code.is_none_or(|code| code == 5), "{answer:?}");
    assert_nothing_left(&shellrt);
    shellrt.create_only("container", &image, json!({}));
    assert_eq!(shellrt.logs("container"), b"");
    remove(&shellrt, "container");
}

#[test]
fn a_frozen_module_is_paused_and_can_be_stopped() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    run_forever(&shellrt, "a", &image, json!({}));
    shellrt.containerd.ctr(&["tasks", "pause", "a"]);
    let status = shellrt.module("status", "a");
    assert_eq!(status["status"], "running", "{status}");
    assert_eq!(status["state"], "paused", "{status}");
    let list = shellrt.ok(&json!({"_type": "list", "details": true}));
    assert_eq!(list["details"]["a"]["state"], "paused", "{list}");
    shellrt.ok(&json!({"_type": "stop", "name": "a", "timeout": 10}));
    assert_eq!(shellrt.module("status", "a")["exit_code"], 143);
    shellrt.module("start", "a");
    shellrt.containerd.ctr(&["tasks", "pause", "a"]);
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}
