//! Namespaces, kernel settings, the cgroup, and what is hidden. The lists are docker's.

use serde_json::{json, Value};

use super::super::hostname;
use super::{host, Case};

fn kinds(config: Value, unified: bool) -> Vec<String> {
    let mut case = Case::new(config);
    case.host.cgroups.unified = unified;
    let namespaces = case.spec().linux.namespaces;
    namespaces
        .iter()
        .map(|namespace| namespace.kind.to_owned())
        .collect()
}

#[test]
fn namespaces_of_its_own() {
    let all = ["mount", "network", "uts", "pid", "ipc", "cgroup"];
    assert_eq!(kinds(json!({"network": "none"}), true), all);
    assert_eq!(kinds(json!({"network": "none"}), false), all[..5]);
    assert_eq!(kinds(json!({}), false), ["mount", "uts", "pid", "ipc"]);
    let shared = json!({"pid": "host", "ipc": "host", "uts": "host"});
    assert_eq!(kinds(shared, false), ["mount"]);
    let mut case = Case::new(json!({"network": "lan"}));
    case.network = Some("/run/netns/web".into());
    let namespaces = &case.json()["linux"]["namespaces"];
    assert_eq!(
        namespaces[1],
        json!({"type": "network", "path": "/run/netns/web"})
    );
    assert_eq!(namespaces[0], json!({"type": "mount"}));
}

#[test]
fn host_names() {
    let name = |config: Value, module: &str| {
        let mut config = config;
        config["image"] = "x".into();
        hostname(&serde_json::from_value(config).unwrap(), module, &host())
    };
    assert_eq!(name(json!({}), "web"), "gateway");
    assert_eq!(
        name(json!({"uts": "host", "network": "none"}), "web"),
        "gateway"
    );
    assert_eq!(name(json!({"network": "none"}), "web"), "web");
    assert_eq!(name(json!({"hostname": "other"}), "web"), "other");
    let long = format!("{}.{}", "a".repeat(62), "b".repeat(13));
    assert_eq!(name(json!({"network": "none"}), &long), "a".repeat(62));

    // With the machine's network the name is the container's own all the same.
    let document = Case::new(json!({})).json();
    assert_eq!(document["hostname"], "gateway");
    assert!(Case::new(json!({"uts": "host"}))
        .json()
        .get("hostname")
        .is_none());
}

#[test]
fn kernel_settings() {
    let document = Case::new(json!({"network": "none"})).json();
    let expected = json!({
        "net.ipv4.ping_group_range": "0 2147483647",
        "net.ipv4.ip_unprivileged_port_start": "0",
    });
    assert_eq!(document["linux"]["sysctl"], expected);
    assert!(Case::new(json!({})).json()["linux"].get("sysctl").is_none());

    let sysctls = json!({
        "kernel.msgmax": 65_536, "net.ipv4.ip_unprivileged_port_start": 1024,
        "net/ipv4/ip_forward": 1, "net.ipv4.conf.eth7.forwarding": 1,
    });
    let document = Case::new(json!({"network": "none", "sysctls": sysctls})).json();
    let expected = json!({
        "net.ipv4.ping_group_range": "0 2147483647",
        "net.ipv4.ip_unprivileged_port_start": "1024",
        "kernel.msgmax": "65536",
        "net/ipv4/ip_forward": "1",
        "net.ipv4.conf.eth7.forwarding": "1",
    });
    assert_eq!(document["linux"]["sysctl"], expected);
    let case = Case::new(json!({"sysctls": {"fs.mqueue.no_such_setting": 1}}));
    assert_eq!(case.wrong_at(), "/config/sysctls/fs.mqueue.no_such_setting");
}

#[test]
fn cgroups_by_driver() {
    let mut case = Case::new(json!({}));
    assert_eq!(case.spec().linux.cgroups_path, "/shellrt/web-1");
    case.host.systemd_cgroup = true;
    assert_eq!(case.spec().linux.cgroups_path, "system.slice:shellrt:web-1");
}

#[test]
fn what_is_hidden() {
    let mut case = Case::new(json!({}));
    case.host.thermal = vec!["/sys/devices/system/cpu/cpu0/thermal_throttle".to_owned()];
    let document = case.json();
    let masked = json!([
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
        "/sys/devices/system/cpu/cpu0/thermal_throttle",
    ]);
    assert_eq!(document["linux"]["maskedPaths"], masked);
    let read_only = json!([
        "/proc/bus",
        "/proc/fs",
        "/proc/irq",
        "/proc/sys",
        "/proc/sysrq-trigger"
    ]);
    assert_eq!(document["linux"]["readonlyPaths"], read_only);
    let document = Case::new(json!({"privileged": true})).json();
    assert!(document["linux"].get("maskedPaths").is_none());
    assert!(document["linux"].get("readonlyPaths").is_none());
}
