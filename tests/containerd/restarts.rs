//! Modules that are started again by their policy, whatever is killed meanwhile.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{json, Value};
use tests::plugin::{signal, until};
use tests::shellrt::Shellrt;

use super::names::{address, networked};
use super::ports::{free_port, get, local, SERVE};
use super::{assert_nothing_left, is_up, remove, run_forever, setup, FOREVER};

/// Says that it ran, and fails.
const FAILS: &str = "echo run; exit 7";

/// The times of a module's events of one kind, in nanoseconds.
fn times(shellrt: &Shellrt, name: &str, kind: &str) -> Vec<i64> {
    let events = shellrt.ask(&json!({"_type": "events"})).stream.unwrap();
    let events = String::from_utf8(events).unwrap();
    let events = events.lines().map(|line| {
        let event: Value = serde_json::from_str(line).unwrap();
        event
    });
    let wanted = events.filter(|event| event["name"] == name && event["event"] == kind);
    wanted
        .map(|event| event["time"].as_i64().unwrap())
        .collect()
}

/// The processes that are about to start a module again.
pub(super) fn restarters(shellrt: &Shellrt) -> Vec<u32> {
    let mark = shellrt.root().to_str().unwrap();
    let all = tests::plugin::pids().into_iter();
    let lines = all.map(|pid| (pid, shellrt_plugin::process::command_line(pid)));
    lines
        .filter(|(_, line)| {
            line.contains(mark) && (line.contains(" end ") || line.contains(" restart "))
        })
        .map(|(pid, _)| pid)
        .collect()
}

#[test]
fn a_module_that_fails_is_started_three_times_and_then_stays() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.run("a", &image, FAILS, json!({"restart": "on-failure:3"}));
    let status = shellrt.module("wait", "a");
    assert_eq!(status["state"], "exited", "{status}");
    assert_eq!(status["exit_code"], 7, "{status}");
    assert_eq!(status["restart_count"], 3, "{status}");
    assert_eq!(shellrt.logs("a"), b"run\n".repeat(4));
    let (started, exited) = (
        times(&shellrt, "a", "started"),
        times(&shellrt, "a", "exited"),
    );
    assert_eq!((started.len(), exited.len()), (4, 4));
    // 100 ms, 200 ms and 400 ms of waiting, and not twice as long.
    let waited: Vec<i64> = (0..3)
        .map(|at| (started[at + 1] - exited[at]) / 1_000_000)
        .collect();
    for (waited, least) in waited.iter().zip([100, 200, 400]) {
        assert!(*waited >= least - 20, "{waited} of {least} ms");
    }
    // Whoever asks for it begins to count anew.
    shellrt.module("start", "a");
    let again = shellrt.wait_until("a", "state", &json!("restarting"));
    assert_eq!(again["status"], "failed", "{again}");
    assert_eq!(again["exit_code"], 7, "{again}");
    assert_eq!(shellrt.module("wait", "a")["restart_count"], 3);
    assert_eq!(shellrt.logs("a"), b"run\n".repeat(8));
    until("nobody starts it again", || restarters(&shellrt).is_empty());
    shellrt.module("remove", "a");
    assert_nothing_left(&shellrt);
}

#[test]
fn what_ends_well_is_started_again_only_where_the_policy_says_always() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.run(
        "failure",
        &image,
        "exit 0",
        json!({"restart": "on-failure"}),
    );
    assert_eq!(shellrt.module("wait", "failure")["restart_count"], 0);
    for policy in ["always", "unless-stopped"] {
        shellrt.run(policy, &image, "echo run", json!({"restart": policy}));
        until("it ran three times", || shellrt.logs(policy).len() >= 12);
        shellrt.module("stop", policy);
        let status = shellrt.module("status", policy);
        assert_eq!(status["state"], "exited", "{status}");
        assert!(status["restart_count"].as_u64() >= Some(2), "{status}");
    }
    // A signal from anybody else is no stop.
    run_forever(&shellrt, "killed", &image, json!({"restart": "always"}));
    let pid = shellrt.module("status", "killed")["pid"].as_u64().unwrap();
    signal(u32::try_from(pid).unwrap(), Signal::KILL);
    is_up(&shellrt, "killed", 2);
    let status = shellrt.module("status", "killed");
    assert_eq!(status["status"], "running", "{status}");
    assert_eq!(status["restart_count"], 1, "{status}");
    for name in ["failure", "always", "unless-stopped", "killed"] {
        remove(&shellrt, name);
    }
    until("nobody starts it again", || restarters(&shellrt).is_empty());
    assert_nothing_left(&shellrt);
}

#[test]
fn a_stop_during_the_pause_holds() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.run("a", &image, FAILS, json!({"restart": "always"}));
    // The pauses double, so that there is time for what follows.
    until("the pause is long", || {
        let status = shellrt.module("status", "a");
        status["state"] == "restarting" && status["restart_count"].as_u64() >= Some(4)
    });
    // It is as if it ran.
    assert_eq!(shellrt.err(&json!({"_type": "remove", "name": "a"})), 7);
    assert_eq!(
        shellrt.err(&json!({"_type": "exec", "name": "a", "args": ["true"]})),
        7
    );
    shellrt.module("stop", "a");
    let stopped = shellrt.module("status", "a");
    assert_eq!(stopped["state"], "exited", "{stopped}");
    assert_eq!(stopped["exit_code"], 7, "{stopped}");
    until("nobody starts it again", || restarters(&shellrt).is_empty());
    assert_eq!(shellrt.module("status", "a"), stopped);
    assert_eq!(shellrt.module("wait", "a"), stopped);

    // A start does not wait for the rest of a pause.
    shellrt.module("start", "a");
    until("the pause is long", || {
        let status = shellrt.module("status", "a");
        status["state"] == "restarting" && status["restart_count"].as_u64() >= Some(5)
    });
    let before = shellrt.logs("a").len();
    shellrt.module("start", "a");
    until("it ran", || shellrt.logs("a").len() > before);
    assert!(shellrt.module("status", "a")["restart_count"].as_u64() < Some(5));
    remove(&shellrt, "a");
    until("nobody starts it again", || restarters(&shellrt).is_empty());
    assert_nothing_left(&shellrt);
}

#[test]
fn whoever_starts_it_again_may_be_killed() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.run("a", &image, FAILS, json!({"restart": "on-failure:5"}));
    // Two pauses, whichever they are.
    let mut seen = Some(0);
    for _ in 0..2 {
        until("the pause is long", || {
            let status = shellrt.module("status", "a");
            let count = status["restart_count"].as_u64();
            let is_another = status["state"] == "restarting" && count > seen;
            if is_another {
                seen = count;
            }
            is_another
        });
        for pid in restarters(&shellrt) {
            signal(pid, Signal::KILL);
        }
    }
    // Whoever looks next has it done.
    let status = shellrt.module("wait", "a");
    assert_eq!(status["restart_count"], 5, "{status}");
    assert_eq!(shellrt.logs("a"), b"run\n".repeat(6));
    shellrt.module("remove", "a");
    assert_nothing_left(&shellrt);
}

#[test]
fn whatever_of_ours_is_killed_and_whenever_the_policy_holds() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    // Each of our processes at each moment of a run, its end and what comes between two runs.
    let script = "echo run; sleep 0.1; exit 7";
    shellrt.create(
        "a",
        &image,
        json!({"restart": "always", "command": ["sh", "-c", script]}),
    );
    let all = ["logger", "end", "restart"];
    for moment in 0..15_u64 {
        let word = all[usize::try_from(moment).unwrap() % all.len()];
        shellrt.module("start", "a");
        // Only a moment: what is there by then is another thing each time.
        std::thread::sleep(Duration::from_millis(25 * moment));
        for (pid, line) in shellrt.containerd.processes() {
            if line.contains(&format!(" {word} ")) {
                signal(pid, Signal::KILL);
            }
        }
        until("it was started again", || {
            let status = shellrt.module("status", "a");
            status["restart_count"].as_u64() >= Some(1)
        });
        shellrt.module("stop", "a");
        assert_eq!(shellrt.module("status", "a")["state"], "exited", "{word}");
    }
    until("nobody starts it again", || restarters(&shellrt).is_empty());
    shellrt.module("remove", "a");
    assert_nothing_left(&shellrt);
}

#[test]
fn a_daemon_that_is_away_delays_a_restart_and_does_not_count() {
    let Some((mut shellrt, _registry, image)) = setup() else {
        return;
    };
    // The second run goes on.
    let script = format!("if [ -e /srv/ran ]; then {FOREVER}; fi; touch /srv/ran; sleep 1; exit 7");
    shellrt.run("a", &image, &script, json!({"restart": "on-failure:1"}));
    shellrt.containerd.kill();
    until("it ended", || {
        let processes = shellrt.containerd.processes();
        !processes.iter().any(|(_, line)| line.contains("sleep 1"))
    });
    assert_eq!(shellrt.err(&json!({"_type": "status", "name": "a"})), 16);
    shellrt.containerd.start_again();
    is_up(&shellrt, "a", 1);
    let status = shellrt.module("status", "a");
    assert_eq!(status["status"], "running", "{status}");
    assert_eq!(status["restart_count"], 1, "{status}");
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}

#[test]
fn a_restart_that_fails_says_why_and_counts() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    let source = shellrt.files().join("data");
    std::fs::create_dir(&source).unwrap();
    let mounts = json!([{"type": "bind", "source": source, "target": "/data"}]);
    let script = "while [ -e /data/go ]; do sleep 0.1; done; exit 7";
    std::fs::write(source.join("go"), "").unwrap();
    let config = json!({"restart": "on-failure:2", "mounts": mounts});
    shellrt.run("a", &image, script, config);
    let aside = shellrt.files().join("aside");
    std::fs::rename(&source, &aside).unwrap();
    std::fs::remove_file(aside.join("go")).unwrap();
    let status = shellrt.module("wait", "a");
    assert_eq!(status["exit_code"], 125, "{status}");
    assert_eq!(status["end"], "exited", "{status}");
    assert_eq!(status["restart_count"], 2, "{status}");
    let words = status["status_description"].as_str().unwrap();
    assert!(words.starts_with("could not be restarted: "), "{words}");
    assert!(words.contains(source.to_str().unwrap()), "{words}");
    std::fs::rename(&aside, &source).unwrap();
    shellrt.module("start", "a");
    assert_eq!(shellrt.module("wait", "a")["exit_code"], 7);
    shellrt.module("remove", "a");
    assert_nothing_left(&shellrt);
}

#[test]
fn a_killed_shim_is_a_failure() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    run_forever(&shellrt, "a", &image, json!({"restart": "on-failure"}));
    for (pid, line) in shellrt.containerd.processes() {
        if line.contains("containerd-shim") {
            signal(pid, Signal::KILL);
        }
    }
    is_up(&shellrt, "a", 2);
    let status = shellrt.module("status", "a");
    assert_eq!(status["restart_count"], 1, "{status}");
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}

#[test]
fn the_log_and_who_follows_it_go_on() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    let config = json!({"restart": "on-failure:2", "command": ["sh", "-c", FAILS]});
    shellrt.create("a", &image, config);
    let attached = shellrt.open(&json!({"_type": "attach", "name": "a", "stdin": false}));
    shellrt.module("start", "a");
    let follow = shellrt.ask(&json!({"_type": "logs", "name": "a", "follow": true}));
    assert_eq!(follow.stream.unwrap(), b"run\n".repeat(3));
    assert_eq!(attached.finish().stream.unwrap(), b"run\n".repeat(3));
    shellrt.module("remove", "a");
    assert_nothing_left(&shellrt);
}

#[test]
fn what_is_started_again_is_reached_again() {
    let Some((mut shellrt, _registry, image)) = networked() else {
        return;
    };
    let port = free_port();
    let config = json!({
        "command": ["sh", "-c", SERVE], "restart": "always", "ports": [format!("{port}:80")],
    });
    shellrt.create("web", &image, config);
    let neighbour = json!({"command": ["sh", "-c", FOREVER], "restart": "unless-stopped"});
    shellrt.create("neighbour", &image, neighbour);
    shellrt.module("start", "neighbour");
    shellrt.module("start", "web");
    let answers = || get(local(), port).as_deref() == Some("web\n");
    until("it answers", answers);
    for count in 1..=2 {
        let pid = shellrt.module("status", "web")["pid"].as_u64().unwrap();
        signal(u32::try_from(pid).unwrap(), Signal::KILL);
        let count = json!(count);
        shellrt.wait_until("web", "restart_count", &count);
        shellrt.wait_until("web", "status", &json!("running"));
        until("it answers", answers);
    }
    shellrt.reboot();
    shellrt.ok(&json!({"_type": "version"}));
    until("it answers after the boot", answers);
    // Its neighbour comes later, perhaps, and knows where it is then.
    let asks = json!({
        "_type": "exec", "name": "neighbour", "args": ["busybox", "cat", "/etc/hosts"],
    });
    shellrt.wait_until("neighbour", "status", &json!("running"));
    let line = format!("{}\tweb\n", address(&shellrt, "web"));
    until("it is known by its name", || {
        shellrt.ok(&asks)["stdout"]
            .as_str()
            .unwrap()
            .contains(&line)
    });
    for name in ["web", "neighbour"] {
        remove(&shellrt, name);
    }
    assert!(get(local(), port).is_none());
    assert_nothing_left(&shellrt);
}
