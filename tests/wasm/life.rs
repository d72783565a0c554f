//! Modules that outlive the request that started them, and processes that are killed.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tests::wasm::{signal, until, Wasm};

/// The engine's and the monitor's pid, from `top`: the engine is the monitor's child.
fn processes(wasm: &Wasm, name: &str) -> (u32, u32) {
    let top = wasm.module("top", name);
    let processes = top["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 2, "{top}");
    let pid =
        |index: usize, key: &str| u32::try_from(processes[index][key].as_u64().unwrap()).unwrap();
    if pid(0, "pid") == pid(1, "ppid") {
        (pid(1, "pid"), pid(0, "pid"))
    } else {
        assert_eq!(pid(1, "pid"), pid(0, "ppid"), "{top}");
        (pid(0, "pid"), pid(1, "pid"))
    }
}

#[test]
fn a_killed_engine_is_a_signal_and_restart_begins_anew() {
    let wasm = Wasm::new();
    wasm.create("a", &wasm.guest("forever"), json!({}));
    wasm.module("start", "a");
    let (engine, _) = processes(&wasm, "a");
    signal(engine, Signal::KILL);
    let status = wasm.module("wait", "a");
    assert_eq!(status["status"], "failed");
    assert_eq!(status["exit_code"], 137);
    assert_eq!(status["end"], "signal");
    assert_eq!(status["state"], "exited");
    assert!(status.get("pid").is_none());
    wasm.logs("a");
    wasm.module("start", "a");
    assert_eq!(wasm.module("status", "a")["status"], "running");
    wasm.ok(&json!({"_type": "remove", "name": "a", "force": true}));
    until("nothing runs", || wasm.processes().is_empty());
}

#[test]
fn a_killed_monitor_takes_its_engine_along_and_the_end_is_lost() {
    let wasm = Wasm::new();
    wasm.create("a", &wasm.guest("forever"), json!({"restart": "always"}));
    wasm.module("start", "a");
    let (engine, monitor) = processes(&wasm, "a");
    signal(monitor, Signal::KILL);
    let status = wasm.wait_until("a", "state", &json!("exited"));
    assert_eq!(status["status"], "failed");
    assert_eq!(status["exit_code"], 255);
    assert_eq!(status["end"], "lost");
    // What was noticed first holds.
    assert_eq!(
        wasm.module("status", "a")["finished_at"],
        status["finished_at"]
    );
    until("the engine is gone", || {
        wasm.processes().iter().all(|&(pid, _)| pid != engine)
    });
    wasm.logs("a");
    wasm.module("start", "a");
    wasm.ok(&json!({"_type": "remove", "name": "a", "force": true}));
    until("nothing runs", || wasm.processes().is_empty());
    assert_eq!(wasm.err(&json!({"_type": "status", "name": "a"})), 5);
}

#[test]
fn the_restart_policy_counts_and_stops_when_told() {
    let wasm = Wasm::new();
    wasm.create(
        "a",
        &wasm.guest("exit_7"),
        json!({"restart": "on-failure:3"}),
    );
    wasm.module("start", "a");
    let status = wasm.module("wait", "a");
    assert_eq!(status["exit_code"], 7);
    assert_eq!(status["restart_count"], 3);
    // 100 ms, 200 ms and 400 ms of waiting.
    let events = wasm.ask(&json!({"_type": "events"})).stream.unwrap();
    let events = String::from_utf8(events).unwrap();
    let times: Vec<i64> = events
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|event| event["event"] == "started")
        .map(|event| event["time"].as_i64().unwrap())
        .collect();
    assert_eq!(times.len(), 4, "{events}");
    for (pair, least) in times
        .windows(2)
        .zip([100_000_000, 200_000_000, 400_000_000])
    {
        assert!(pair[1] - pair[0] >= least, "{times:?}");
    }

    wasm.create(
        "b",
        &wasm.guest("exit_7"),
        json!({"restart": "unless-stopped"}),
    );
    wasm.module("start", "b");
    let restarting = wasm.wait_until("b", "state", &json!("restarting"));
    assert_eq!(restarting["status"], "failed");
    assert_eq!(restarting["exit_code"], 7);
    wasm.module("stop", "b");
    let stopped = wasm.module("status", "b");
    assert_eq!(stopped["state"], "exited");
    until("nothing runs", || wasm.processes().is_empty());
}

#[test]
fn an_explicit_stop_is_never_undone() {
    let wasm = Wasm::new();
    wasm.create("a", &wasm.guest("forever"), json!({"restart": "always"}));
    wasm.module("start", "a");
    wasm.module("stop", "a");
    let status = wasm.module("status", "a");
    assert_eq!(
        (&status["state"], &status["restart_count"]),
        (&json!("exited"), &json!(0))
    );
    until("nothing runs", || wasm.processes().is_empty());
    wasm.module("start", "a");
    wasm.module("restart", "a");
    assert_eq!(wasm.module("status", "a")["status"], "running");
}

#[test]
fn the_end_says_why() {
    let wasm = Wasm::new();
    for (guest, config, end, exit_code) in [
        ("exit_0", json!({}), "exited", 0),
        ("exit_7", json!({}), "exited", 7),
        ("trap", json!({}), "trap", 134),
        ("spin", json!({"timeout": "100ms"}), "timeout", 124),
        ("spin", json!({"fuel": 1000}), "trap", 134),
    ] {
        wasm.create("a", &wasm.guest(guest), config);
        wasm.module("start", "a");
        let status = wasm.module("wait", "a");
        assert_eq!(status["end"], end, "{guest}: {status}");
        assert_eq!(status["exit_code"], exit_code, "{guest}: {status}");
        assert_ne!(status["status_description"], "", "{guest}: {status}");
        wasm.module("remove", "a");
    }
}

#[test]
fn a_program_with_an_open_stdin_may_end_by_itself() {
    let wasm = Wasm::new();
    // It echoes until the end of its input, then exits with 0.
    wasm.create("a", &wasm.guest("echo"), json!({"stdin": true}));
    wasm.module("start", "a");
    wasm.module("stop", "a");
    let status = wasm.module("status", "a");
    assert_eq!(
        (&status["status"], &status["end"]),
        (&json!("stopped"), &json!("exited"))
    );
}

#[test]
fn a_more_urgent_stop_overtakes() {
    let wasm = Wasm::new();
    // It does not read its stdin, so closing that does not end it.
    wasm.create("a", &wasm.guest("forever"), json!({"stdin": true}));
    wasm.module("start", "a");
    let patient = wasm.open(&json!({"_type": "stop", "name": "a", "timeout": -1}));
    until("the stop was asked for", || {
        wasm.root().join("modules/a/stopped").exists()
    });
    // The others don't wait for it.
    assert_eq!(wasm.module("status", "a")["status"], "running");
    wasm.module("start", "a");
    let begun = Instant::now();
    wasm.ok(&json!({"_type": "stop", "name": "a", "timeout": 0}));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(patient.finish().status, 0);
    assert_eq!(wasm.module("status", "a")["exit_code"], 137);
}

#[test]
fn a_compiled_form_that_fits_no_more_is_made_once_again() {
    let wasm = Wasm::new();
    wasm.create("a", &wasm.guest("exit_0"), json!({}));
    let programs = wasm.root().join("programs");
    let program = std::fs::read_dir(programs)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let compiled = std::fs::read_dir(&program)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "cwasm")
        })
        .unwrap();
    // As after a move to another processor: the file says what it was compiled for.
    let mut bytes = std::fs::read(&compiled).unwrap();
    let target = bytes
        .windows(8)
        .position(|window| window == b"-unknown")
        .unwrap();
    bytes[target + 1] = b'U';
    std::fs::remove_file(&compiled).unwrap();
    std::fs::write(&compiled, &bytes).unwrap();
    wasm.module("start", "a");
    assert_eq!(wasm.module("wait", "a")["exit_code"], 0);
    assert_ne!(std::fs::read(&compiled).unwrap(), bytes);
}

#[test]
fn a_state_directory_of_somebody_else_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let wasm = Wasm::new();
    std::fs::set_permissions(wasm.root(), std::fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(wasm.err(&json!({"_type": "list"})), 18);
}

#[test]
fn a_request_that_fails_leaves_nothing() {
    let wasm = Wasm::new();
    let create =
        |config| json!({"_type": "create", "name": "a", "config_type": "wasm", "config": config});
    assert_eq!(wasm.err(&create(json!({"image": "file:/no/such.wasm"}))), 8);
    assert_eq!(wasm.err(&create(json!({"image": "x", "nonsense": 1}))), 4);
    for kind in [
        "start", "stop", "restart", "remove", "status", "logs", "top", "wait", "attach",
    ] {
        assert_eq!(wasm.err(&json!({"_type": kind, "name": "a"})), 5, "{kind}");
    }
    assert_eq!(
        wasm.err(&json!({"_type": "img_pull", "image": wasm.guest("reactor")})),
        14
    );
    wasm.ok(&json!({"_type": "prune", "older_than": 0}));
    assert_eq!(wasm.state_files(), Vec::<String>::new());
}

#[test]
fn removing_the_last_of_it_leaves_nothing() {
    let wasm = Wasm::new();
    wasm.create("a", &wasm.guest("exit_0"), json!({}));
    wasm.module("start", "a");
    wasm.module("wait", "a");
    wasm.module("remove", "a");
    wasm.ok(&json!({"_type": "img_remove", "image": wasm.guest("exit_0")}));
    wasm.ok(&json!({"_type": "prune"}));
    assert_eq!(wasm.state_files(), Vec::<String>::new());
    until("nothing runs", || wasm.processes().is_empty());
}
