//! `shellrt-edged manager` above our own runtimes: `linux/minimal`, and `shellrt-wasm` without a process
//! between.

use std::path::Path;

use rustix::process::Signal;
use serde_json::json;
use tests::plugin::until;

use crate::process::Process;
use crate::site::{stdio, uuid, Site, MANAGER};

const TYPES: [&str; 2] = ["linux/minimal", "plugin/wasm"];

/// A site with programs.
fn site() -> Option<Site> {
    let site = Site::new()?;
    for guest in ["ticks", "echo", "lines", "both", "exit_7"] {
        let text = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("guests/{guest}.wat"));
        std::fs::copy(text, site.dir.path().join(format!("{guest}.wat"))).unwrap();
    }
    Some(site)
}

fn is_clean(site: &Site) {
    until("no module is left", || {
        site.wasm.ok(&json!({"_type": "list"}))["modules"] == json!([])
    });
}

fn ticks(site: &Site, module: &str) -> usize {
    let pieces = site.heard.on(&stdio(module)).into_iter();
    pieces
        .map(|piece| piece.text().matches("tick").count())
        .sum()
}

/// Publishes for a module until it has written the same: nothing tells when it listens.
fn echoed(site: &Site, module: &str) {
    let topic = stdio(module);
    let mut published = 0;
    until("an echo", || {
        site.broker.publish(&topic, "through it\n");
        published += 1;
        site.heard.on(&topic).len() > published
    });
    let all = site.heard.on(&topic);
    let all: String = all.iter().map(|it| it.text().to_owned()).collect();
    assert_eq!(all.replace("through it\n", ""), "");
}

#[test]
fn modules_live_below_both_kinds_of_runtimes() {
    for kind in TYPES {
        let Some(site) = site() else { return };
        let mut manager = site.start(&[kind]);
        let (_, said) = {
            site.register("edge1", 0);
            site.registration("edge1", 1)
        };
        assert_eq!(said["data"]["runtime_type"], kind);
        assert_eq!(said["data"]["max_nmodules"], 128);
        assert_eq!(
            said["data"]["apis"],
            json!(["wasm", "wasi", "stdio:in", "stdio:out"])
        );
        let runtime = uuid(&site.register("edge1", 1));
        site.create(&runtime, "lines", "lines.wat");
        let exited = site.exited(&runtime, "lines");
        assert_eq!(exited["data"]["status"], "exited");
        assert_eq!(exited["data"]["exit_code"], 0);
        let heard: String = site
            .heard
            .on(&stdio("lines"))
            .iter()
            .map(|it| it.text().to_owned())
            .collect();
        assert_eq!(heard, "one\ntwo\nthree\n");
        site.create(&runtime, "seven", "exit_7.wat");
        assert_eq!(site.exited(&runtime, "seven")["data"]["exit_code"], 7);
        site.create(&runtime, "echo", "echo.wat");
        echoed(&site, "echo");
        site.create(&runtime, "ticks", "ticks.wat");
        until("it ticks", || ticks(&site, "ticks") > 3);
        site.delete(&runtime, "ticks");
        assert_eq!(site.exited(&runtime, "ticks")["data"]["reason"], "deleted");
        site.create(&runtime, "none", "../none.wasm");
        assert!(site.exited(&runtime, "none")["data"]["error"].is_string());
        // The same uuid again, after its end.
        site.create(&runtime, "ticks", "ticks.wat");
        let before = ticks(&site, "ticks");
        until("it ticks again", || ticks(&site, "ticks") > before + 3);
        manager.signal(Signal::TERM);
        assert_eq!(manager.end(), Some(0), "{kind}");
        site.unregistered(MANAGER);
        if kind == "linux/minimal" {
            is_clean(&site);
        }
    }
}

#[test]
fn a_killed_minimal_runtime_comes_back_and_its_modules_with_it() {
    let Some(site) = site() else { return };
    let _manager = site.start(&["linux/minimal"]);
    let runtime = site.register_all();
    site.create(&runtime, "m-1", "ticks.wat");
    until("it ticks", || ticks(&site, "m-1") > 3);
    let minimal = child_of(&site);
    tests::plugin::signal(minimal, Signal::KILL);
    site.unregistered(&runtime);
    assert_eq!(uuid(&site.register("edge1", 2)), runtime);
    let before = ticks(&site, "m-1");
    site.create(&runtime, "m-1", "ticks.wat");
    until("it ticks again", || ticks(&site, "m-1") > before + 3);
    site.delete(&runtime, "m-1");
    site.exited(&runtime, "m-1");
    is_clean(&site);
}

/// The process of the runtime, by the state directory of its modules and its name.
fn child_of(site: &Site) -> u32 {
    let processes = site.wasm.processes();
    let pids = processes.into_iter().map(|(pid, _)| pid);
    let is_minimal = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.get(1) == Some(&&b"linux-minimal"[..])
    };
    let mut found: Vec<u32> = pids.filter(is_minimal).collect();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[test]
fn modules_of_a_plugin_outlive_the_manager() {
    for how in [Signal::KILL, Signal::TERM] {
        let Some(site) = site() else { return };
        let mut manager = site.start(&["plugin/wasm"]);
        let runtime = site.register_all();
        site.create(&runtime, "stays", "ticks.wat");
        site.create(&runtime, "ends", "echo.wat");
        until("it ticks", || ticks(&site, "stays") > 3);
        echoed(&site, "ends");
        manager.signal(how);
        manager.end();
        site.unregistered(MANAGER);
        let before = ticks(&site, "stays");
        site.wasm
            .ok(&json!({"_type": "stop", "name": "ends", "timeout": 0}));
        let _manager: Process = site.start(&["plugin/wasm"]);
        site.register("edge1", 2);
        let again = uuid(&site.register("edge1", 3));
        assert_eq!(again, runtime);
        // The orchestrator revives what it believes to be dead: it lives, once.
        site.create(&runtime, "stays", "ticks.wat");
        until("it goes on", || ticks(&site, "stays") > before + 3);
        let exited = site.exited(&runtime, "ends");
        assert_eq!(exited["data"]["status"], "exited");
        site.delete(&runtime, "stays");
        assert_eq!(site.exited(&runtime, "stays")["data"]["reason"], "deleted");
        is_clean(&site);
    }
}

#[test]
fn a_manager_that_stops_its_modules_leaves_nothing() {
    let Some(mut site) = site() else { return };
    site.config["edge"]["on_shutdown"] = json!("stop");
    let mut manager = site.start(&["plugin/wasm"]);
    let runtime = site.register_all();
    site.create(&runtime, "m-1", "ticks.wat");
    until("it ticks", || ticks(&site, "m-1") > 3);
    manager.signal(Signal::TERM);
    assert_eq!(manager.end(), Some(0));
    assert_eq!(
        site.wasm.ok(&json!({"_type": "list"}))["modules"],
        json!([])
    );
    assert_eq!(site.exited(&runtime, "m-1")["data"]["reason"], "shutdown");
    site.unregistered(&runtime);
}

#[test]
fn runtimes_keep_to_their_processors() {
    let Some(site) = site() else { return };
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = |status: &str| {
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        line.unwrap().trim().to_owned()
    };
    // The first of those that this test may use.
    let all = line(&own);
    let first = all.split([',', '-']).next().unwrap().to_owned();
    let _manager = site.start_with(&["linux/minimal"], &["-g", &first]);
    let runtime = site.register_all();
    site.create(&runtime, "m-1", "ticks.wat");
    until("it ticks", || ticks(&site, "m-1") > 3);
    let allowed = |pid: u64| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        line(&status.unwrap())
    };
    assert_eq!(allowed(child_of(&site).into()), first);
    // What it has started, too.
    let module = site.wasm.module("top", "m-1");
    let pid = module["processes"][0]["pid"].as_u64().unwrap();
    assert_eq!(allowed(pid), first);
}

#[test]
fn processors_that_can_not_be_kept_to_are_refused() {
    let Some(site) = site() else { return };
    for (types, cpus, said) in [
        (["plugin/wasm"].as_slice(), ["0"].as_slice(), "plugin/wasm"),
        (
            &["linux/minimal", "linux/minimal"],
            &["0"],
            "2 runtimes and processors for 1",
        ),
    ] {
        let mut manager = site.start_with(types, &[&["-g"], cpus].concat());
        assert_eq!(manager.end(), Some(1));
        assert!(manager.log().contains(said), "{}", manager.log());
    }
    assert!(site.heard.messages().is_empty());
}

#[test]
fn a_manager_says_that_it_does_not_read_its_settings_again() {
    let Some(site) = site() else { return };
    let mut manager = site.start(&["plugin/wasm"]);
    site.register_all();
    manager.signal(Signal::HUP);
    until("that it does not", || {
        manager.log().contains("start it anew")
    });
    manager.signal(Signal::TERM);
    assert_eq!(manager.end(), Some(0));
}
