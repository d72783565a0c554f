//! Modules whose daemon, shim or monitor goes away.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{json, Value};
use tests::plugin::{signal, until};
use tests::shellrt::Shellrt;

use super::{assert_nothing_left, is_up, remove, run_forever, setup, FOREVER, TICKS};

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

/// The file of the module's last run.
fn run_file(shellrt: &Shellrt, name: &str) -> PathBuf {
    // There is one daemon, under an id of its own.
    let mut daemons = std::fs::read_dir(shellrt.root()).unwrap();
    let state = daemons.next().unwrap().unwrap().path();
    let namespace = state.join(shellrt.containerd.namespace());
    namespace.join("modules").join(name).join("run.json")
}

/// Hands on what clients of `listener` and the daemon at `daemon` say. When the file `until` appears,
/// whoever is connected is heard no longer.
fn cut_off(listener: UnixListener, daemon: PathBuf, until: PathBuf) {
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut daemon) = (client.unwrap(), UnixStream::connect(&daemon).unwrap());
            let (mut answers, mut asker) =
                (daemon.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut answers, &mut asker));
            let (until, came_late) = (until.clone(), until.exists());
            std::thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(length @ 1..) = client.read(&mut chunk) {
                    if came_late || !until.exists() {
                        daemon.write_all(&chunk[..length]).unwrap();
                    }
                }
                let _ = daemon.shutdown(Shutdown::Both);
            });
        }
    });
}

#[test]
fn what_was_made_and_never_began_does_not_run() {
    let Some((mut shellrt, _registry, image)) = setup() else {
        return;
    };
    let daemon = shellrt.containerd.address();
    let socket = shellrt.files().join("cut-off.sock");
    let until_run = shellrt.files().join("until");
    shellrt.set("CONTAINERD_ADDRESS", &socket);
    cut_off(
        UnixListener::bind(&socket).unwrap(),
        daemon,
        until_run.clone(),
    );
    shellrt.create("a", &image, json!({"command": ["sh", "-c", FOREVER]}));
    let before = shellrt.module("status", "a");
    // The run is written when its first process exists, and its program is let go only then.
    let run = run_file(&shellrt, "a");
    std::os::unix::fs::symlink(&run, until_run).unwrap();
    let start = shellrt.open(&json!({"_type": "start", "name": "a"}));
    until("the run is written", || run.exists());
    assert_eq!(shellrt.module("status", "a"), before);
    // Who starts it is killed; the process that waits for its program stays.
    for pid in find(&shellrt, " start a:") {
        signal(pid, Signal::KILL);
    }
    start.finish();
    assert_eq!(shellrt.module("status", "a"), before);
    shellrt.module("start", "a");
    is_up(&shellrt, "a", 1);
    assert_eq!(shellrt.module("status", "a")["state"], "running");
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
fn a_frozen_module_is_paused_until_it_is_thawed_and_can_be_stopped() {
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
    shellrt.containerd.ctr(&["tasks", "resume", "a"]);
    let status = shellrt.module("status", "a");
    assert_eq!(status["state"], "running", "{status}");
    shellrt.containerd.ctr(&["tasks", "pause", "a"]);
    shellrt.ok(&json!({"_type": "stop", "name": "a", "timeout": 10}));
    assert_eq!(shellrt.module("status", "a")["exit_code"], 143);
    shellrt.module("start", "a");
    shellrt.containerd.ctr(&["tasks", "pause", "a"]);
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}
