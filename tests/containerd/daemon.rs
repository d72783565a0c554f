//! A daemon that is away, that comes back, or that one may not ask, and processes between it and a
//! module that die: what clients are told meanwhile and afterwards.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::{json, Value};
use tests::plugin::{signal, until, Open};
use tests::shellrt::Shellrt;

use super::{assert_nothing_left, remove, setup, FOREVER, TICKS};

/// Says when it minds the signal that it is asked to end with, and runs until then.
const UP: &str = "trap 'exit 143' TERM; echo up; while :; do sleep 1000 & wait $!; done";

/// The processes of one module whose command line has `word`: those who look after it.
fn watchers(shellrt: &Shellrt, name: &str, word: &str) -> Vec<u32> {
    let all = shellrt.containerd.processes().into_iter();
    let found = all.filter(|(_, line)| line.contains(word) && line.contains(name));
    found.map(|(pid, _)| pid).collect()
}

/// Kills the module's own small process: the logger, or the holder of its stdin.
fn kill_monitor(shellrt: &Shellrt, name: &str) {
    let word = format!("modules/{name}");
    let monitors = watchers(shellrt, &word, ":/");
    assert!(!monitors.is_empty(), "{:?}", shellrt.containerd.processes());
    monitors.iter().for_each(|pid| signal(*pid, Signal::KILL));
    until("it is gone", || watchers(shellrt, &word, ":/").is_empty());
}

/// Kills the module's shim.
fn kill_shim(shellrt: &Shellrt, name: &str) {
    let shims = watchers(shellrt, &format!("-id {name}"), "containerd-shim");
    assert!(!shims.is_empty(), "{:?}", shellrt.containerd.processes());
    shims.iter().for_each(|pid| signal(*pid, Signal::KILL));
}

fn pid(status: &Value) -> u32 {
    let pid = status["pid"].as_u64().unwrap_or_else(|| panic!("{status}"));
    u32::try_from(pid).unwrap()
}

fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

/// The next lines of `events`, as a set: name and code of ends.
fn next_ends(events: &mut Open, count: usize) -> BTreeMap<String, Value> {
    let mut ends = BTreeMap::new();
    while ends.len() < count {
        let line = events.line();
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"));
        if event["event"] == "exited" {
            let name = event["name"].as_str().unwrap().to_owned();
            ends.insert(name, event["exit_code"].clone());
        }
    }
    ends
}

#[test]
fn events_go_on_with_what_happened_while_the_daemon_was_away() {
    let Some((mut shellrt, _registry, image)) = setup() else {
        return;
    };
    let mount = json!([{"type": "bind", "source": shellrt.files(), "target": "/in"}]);
    let script = "while ! [ -e /in/go ]; do sleep 0.02; done; echo last; exit 7";
    shellrt.run("seen", &image, script, json!({"mounts": mount}));
    shellrt.run("unseen", &image, UP, json!({}));
    until("it is up", || shellrt.logs("unseen") == b"up\n");
    let seen = pid(&shellrt.module("status", "seen"));
    let unseen = pid(&shellrt.module("status", "unseen"));
    let request = json!({"_type": "events", "follow": true, "_deadline_ms": 60_000});
    let mut events = shellrt.open(&request);
    assert_eq!(events.object()["_status"], "ok");
    shellrt.containerd.stop();
    // One ends and has somebody who looks after it, the other one has nobody.
    std::fs::write(shellrt.files().join("go"), "").unwrap();
    kill_monitor(&shellrt, "unseen");
    signal(unseen, Signal::KILL);
    until("both have ended", || has_ended(seen) && has_ended(unseen));
    shellrt.containerd.start_again();
    let expected = [("seen", json!(7)), ("unseen", json!(137))];
    let expected = expected.map(|(name, code)| (name.to_owned(), code));
    assert_eq!(next_ends(&mut events, 2), BTreeMap::from(expected));
    assert_eq!(shellrt.module("status", "seen")["exit_code"], 7);
    assert_eq!(shellrt.logs("seen"), b"last\n");
    assert_eq!(shellrt.module("status", "unseen")["exit_code"], 137);
    // And it goes on with what happens now, after a second time too.
    shellrt.containerd.kill();
    shellrt.containerd.start_again();
    shellrt.module("start", "unseen");
    until("it is up again", || shellrt.logs("unseen") == b"up\nup\n");
    shellrt.ok(&json!({"_type": "stop", "name": "unseen", "timeout": 20}));
    let expected = BTreeMap::from([("unseen".to_owned(), json!(143))]);
    assert_eq!(next_ends(&mut events, 1), expected);
    remove(&shellrt, "seen");
    remove(&shellrt, "unseen");
    drop(events);
    assert_nothing_left(&shellrt);
}

/// Requests of all kinds that can't be answered without the daemon.
fn requests(image: &str) -> Vec<Value> {
    let config = json!({"image": image});
    let named = [
        "start", "stop", "restart", "remove", "status", "wait", "logs", "top", "attach",
    ];
    let mut requests: Vec<Value> = named
        .iter()
        .map(|kind| json!({"_type": kind, "name": "a", "timeout": 5}))
        .collect();
    requests.extend([
        json!({"_type": "create", "name": "b", "config_type": "containerd", "config": config}),
        json!({"_type": "exec", "name": "a", "args": ["true"]}),
        json!({"_type": "img_list"}),
        json!({"_type": "img_pull", "image": image}),
        json!({"_type": "img_remove", "image": image}),
        json!({"_type": "list"}),
        json!({"_type": "list", "details": true}),
        json!({"_type": "prune"}),
    ]);
    requests
}

/// Every request is refused with this code, and says where the daemon should be.
fn assert_refused(shellrt: &Shellrt, image: &str, code: u64, words: &[&str]) {
    let address = shellrt.containerd.address();
    for request in requests(image) {
        let answer = shellrt.ask(&request).object;
        assert_eq!(answer["code"], code, "{request}: {answer:?}");
        let message = answer["message"].as_str().unwrap();
        for word in words.iter().chain([&address.to_str().unwrap()]) {
            assert!(message.contains(word), "{request}: {message}");
        }
    }
}

#[test]
fn without_the_daemon_every_request_says_where_it_was_looked_for() {
    let Some((mut shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.run("a", &image, FOREVER, json!({}));
    // It takes its socket along, or leaves it behind.
    shellrt.containerd.stop();
    assert_refused(&shellrt, &image, 16, &["CONTAINERD_ADDRESS"]);
    shellrt.containerd.start_again();
    shellrt.containerd.kill();
    assert!(shellrt.containerd.address().exists());
    assert_refused(&shellrt, &image, 16, &["CONTAINERD_ADDRESS"]);
    shellrt.containerd.start_again();
    assert_eq!(shellrt.module("status", "a")["status"], "running");
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}

#[test]
fn who_may_not_ask_the_daemon_is_told_so() {
    const NOBODY: u32 = 65534;
    let Some((mut shellrt, _registry, image)) = setup() else {
        return;
    };
    // The tree may lie where that user can't look.
    let copy = shellrt.files().join("shellrt-containerd");
    std::fs::copy(&shellrt.program, &copy).unwrap();
    shellrt.program = copy;
    for dir in [shellrt.root(), shellrt.files()] {
        std::os::unix::fs::chown(dir, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    shellrt.user = Some(NOBODY);
    let words = ["CONTAINERD_ADDRESS", "65534", "root"];
    // A folder on the way that is closed, then the socket itself.
    let folder = shellrt.containerd.folder();
    std::fs::set_permissions(folder, Permissions::from_mode(0o700)).unwrap();
    assert_refused(&shellrt, &image, 18, &words);
    std::fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    assert_refused(&shellrt, &image, 18, &words);
    // With the right to it the same user is served.
    let socket = shellrt.containerd.address();
    std::os::unix::fs::chown(socket, None, Some(NOBODY)).unwrap();
    assert_eq!(shellrt.ok(&json!({"_type": "list"}))["modules"], json!([]));
}

#[test]
fn a_module_whose_stdin_nobody_holds_any_more_goes_on_and_can_be_ended() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.run("a", &image, UP, json!({"stdin": true}));
    until("it is up", || shellrt.logs("a") == b"up\n");
    let before = shellrt.module("status", "a");
    kill_monitor(&shellrt, "a");
    let status = shellrt.module("status", "a");
    assert_eq!(status["status"], "running", "{status}");
    assert_eq!(status["pid"], before["pid"]);
    // Somebody waits, and nobody but him sees the end.
    let wait = shellrt.open(&json!({"_type": "wait", "name": "a", "_deadline_ms": 60_000}));
    signal(pid(&status), Signal::TERM);
    let answer = wait.finish();
    assert_eq!(answer.object["exit_code"], 143, "{answer:?}");
    shellrt.module("start", "a");
    until("it is up again", || shellrt.logs("a") == b"up\nup\n");
    kill_monitor(&shellrt, "a");
    shellrt.ok(&json!({"_type": "stop", "name": "a", "timeout": 20}));
    assert_eq!(shellrt.module("status", "a")["exit_code"], 143);
    shellrt.module("start", "a");
    kill_monitor(&shellrt, "a");
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}

#[test]
fn a_program_that_the_machine_kills_has_its_output_and_its_signal() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    for stdin in [false, true] {
        shellrt.run("a", &image, TICKS, json!({"stdin": stdin}));
        until("it writes", || shellrt.logs("a").len() > 20);
        signal(pid(&shellrt.module("status", "a")), Signal::KILL);
        let status = shellrt.module("wait", "a");
        assert_eq!(status["exit_code"], 137, "{status}");
        assert_eq!(status["end"], "signal", "{status}");
        let log = String::from_utf8(shellrt.logs("a")).unwrap();
        for (number, line) in log.lines().enumerate() {
            assert_eq!(line, number.to_string());
        }
        shellrt.module("start", "a");
        assert_eq!(shellrt.module("status", "a")["status"], "running");
        remove(&shellrt, "a");
        assert_nothing_left(&shellrt);
    }
}

#[test]
fn a_shim_that_is_killed_while_the_daemon_is_away_is_an_end() {
    let Some((mut shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.pull(&image);
    let config = |stdin: bool| json!({"stdin": stdin, "command": ["sh", "-c", UP]});
    shellrt.create_only("without", &image, config(false));
    shellrt.create_only("with", &image, config(true));
    shellrt.run("other", &image, TICKS, json!({}));
    shellrt.module("start", "without");
    shellrt.module("start", "with");
    for name in ["without", "with"] {
        until("it is up", || shellrt.logs(name) == b"up\n");
    }
    shellrt.containerd.stop();
    kill_shim(&shellrt, "without");
    kill_shim(&shellrt, "with");
    shellrt.containerd.start_again();
    for name in ["without", "with"] {
        let status = shellrt.wait_until(name, "state", &json!("exited"));
        let code = status["exit_code"].as_i64().unwrap();
        assert!(code == 137 || code == 255, "{status}");
        assert_eq!(shellrt.module("wait", name)["exit_code"], code);
        shellrt.module("start", name);
        // From here on it minds the signal.
        until("it is up again", || shellrt.logs(name) == b"up\nup\n");
        shellrt.ok(&json!({"_type": "stop", "name": name, "timeout": 20}));
        assert_eq!(shellrt.module("status", name)["exit_code"], 143);
    }
    assert_eq!(shellrt.module("status", "other")["status"], "running");
    for name in ["without", "with", "other"] {
        remove(&shellrt, name);
    }
    assert_nothing_left(&shellrt);
}
