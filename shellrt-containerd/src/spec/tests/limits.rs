//! Limits. The numbers follow from docker's documentation of its runtime options.

use serde_json::{json, Value};

use super::{texts, Case};

fn resources(config: Value) -> Value {
    let mut resources = Case::new(config).json()["linux"]["resources"].take();
    resources.as_object_mut().unwrap().remove("devices");
    resources
}

#[test]
fn no_limits_unless_asked_for() {
    assert_eq!(resources(json!({})), json!({}));
    let unlimited = json!({"pids_limit": -1, "memswap_limit": -1, "mem_limit": "64m"});
    assert_eq!(
        resources(unlimited),
        json!({"memory": {"limit": 67_108_864}})
    );
    assert!(Case::new(json!({})).json()["process"]
        .get("rlimits")
        .is_none());
}

#[test]
fn all_limits() {
    let config = json!({
        "mem_limit": "64m", "mem_reservation": "32m", "cpus": 1.5, "cpu_shares": 512,
        "cpuset": "0-1,3", "pids_limit": 100,
    });
    let expected = json!({
        // Without a limit of its own, memory and swap are twice the memory.
        "memory": {"limit": 67_108_864, "reservation": 33_554_432, "swap": 134_217_728},
        "cpu": {"shares": 512, "quota": 150_000, "period": 100_000, "cpus": "0-1,3"},
        "pids": {"limit": 100},
    });
    assert_eq!(resources(config), expected);
    let config = json!({"mem_limit": "64m", "memswap_limit": "64m"});
    assert_eq!(resources(config)["memory"]["swap"], 67_108_864);
}

#[test]
fn what_this_machine_cannot_enforce_is_refused() {
    for (config, controller, path) in [
        (json!({"mem_limit": "64m"}), "memory", "/config/mem_limit"),
        (
            json!({"mem_reservation": "64m"}),
            "memory",
            "/config/mem_reservation",
        ),
        (json!({"cpus": 0.5}), "cpu", "/config/cpus"),
        (json!({"cpu_shares": 512}), "cpu", "/config/cpu_shares"),
        (json!({"cpuset": "0"}), "cpuset", "/config/cpuset"),
        (json!({"pids_limit": 10}), "pids", "/config/pids_limit"),
    ] {
        let mut case = Case::new(config);
        case.spec();
        assert!(case.host.cgroups.controllers.remove(controller));
        assert_eq!(case.wrong_at(), path);
        // What is not asked for is not missed.
        let mut case = Case::new(json!({"pids_limit": -1}));
        case.host.cgroups.controllers = texts(&[]);
        case.spec();
    }
    let mut case = Case::new(json!({"mem_limit": "64m", "memswap_limit": "96m"}));
    case.host.cgroups.swap = false;
    assert_eq!(case.wrong_at(), "/config/memswap_limit");
    case.config["memswap_limit"].take();
    let mut case = Case::new(json!({"mem_limit": "64m"}));
    case.host.cgroups.swap = false;
    assert_eq!(case.spec().linux.resources.memory.swap, None);
    let mut case = Case::new(json!({"cpus": 0.5}));
    case.host.cgroups.quota = false;
    assert_eq!(case.wrong_at(), "/config/cpus");
}

/// The machine has the processors 0 to 3.
#[test]
fn processors_that_are_not_there() {
    assert_eq!(Case::new(json!({"cpus": 4.5})).wrong_at(), "/config/cpus");
    assert_eq!(
        Case::new(json!({"cpuset": "2-4"})).wrong_at(),
        "/config/cpuset"
    );
    Case::new(json!({"cpus": 4, "cpuset": "0-3"})).spec();
}

#[test]
fn limits_of_processes() {
    let ulimits = json!({"nofile": {"soft": 1024, "hard": 4096}, "core": -1, "memlock": 65_536});
    let document = Case::new(json!({"ulimits": ulimits})).json();
    let unlimited = u64::MAX;
    let expected = json!([
        {"type": "RLIMIT_CORE", "soft": unlimited, "hard": unlimited},
        {"type": "RLIMIT_MEMLOCK", "soft": 65_536, "hard": 65_536},
        {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096},
    ]);
    assert_eq!(document["process"]["rlimits"], expected);
    // setrlimit(2): only who has CAP_SYS_RESOURCE may raise a hard limit.
    let mut case = Case::new(json!({"ulimits": {"nofile": 20_001, "core": -1}}));
    case.spec();
    case.host.capabilities &= !(1 << 24);
    assert_eq!(case.wrong_at(), "/config/ulimits/nofile");
    case.config = json!({"ulimits": {"nofile": 20_000, "core": -1}});
    case.spec();
    // The kernel refuses more than fs.nr_open, which is 2^20 here.
    let case = Case::new(json!({"ulimits": {"nofile": (1 << 20) + 1}}));
    assert_eq!(case.wrong_at(), "/config/ulimits/nofile");
}

/// proc_pid_oom_score_adj(5): only who has CAP_SYS_RESOURCE may lower it.
#[test]
fn who_is_killed_first() {
    let mut case = Case::new(json!({"oom_score_adj": -500}));
    assert_eq!(case.spec().process.oom_score_adj, Some(-500));
    case.host.capabilities &= !(1 << 24);
    assert_eq!(case.wrong_at(), "/config/oom_score_adj");
    case.config = json!({"oom_score_adj": -1});
    assert_eq!(case.spec().process.oom_score_adj, Some(-1));
}
