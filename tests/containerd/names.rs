//! Modules that find each other by their names, and what they find under `/etc`.

use serde_json::{json, Value};
use tests::plugin::until;
use tests::registry::Registry;
use tests::shellrt::Shellrt;

use super::{assert_nothing_left, is_up, remove, setup, with, FOREVER};

/// A plugin whose modules get networks.
pub(super) fn networked() -> Option<(Shellrt, Registry, String)> {
    with(Shellrt::start()?.with_networks()?)
}

/// What a command in a running module writes.
fn said(shellrt: &Shellrt, name: &str, args: &[&str]) -> String {
    let args: Vec<&str> = ["busybox"].iter().chain(args).copied().collect();
    let request = json!({"_type": "exec", "name": name, "args": args, "timeout": 10});
    let answer = shellrt.ok(&request);
    format!(
        "{}{}",
        answer["stdout"].as_str().unwrap(),
        answer["stderr"].as_str().unwrap()
    )
}

/// The one address of a running module.
pub(super) fn address(shellrt: &Shellrt, name: &str) -> String {
    let status = shellrt.module("status", name);
    let networks = status["networks"].as_array();
    let networks = networks.unwrap_or_else(|| panic!("{status}"));
    assert_eq!(networks.len(), 1, "{status}");
    networks[0]["ip"].as_str().unwrap().to_owned()
}

#[test]
fn modules_of_a_network_talk_by_name() {
    let Some((shellrt, _registry, image)) = networked() else {
        return;
    };
    // The network is the default where its plugins are.
    let serve = "mkdir /www; echo hello > /www/index.html; exec busybox httpd -f -p 80 -h /www";
    shellrt.run("web", &image, serve, json!({"hostname": "server"}));
    // Without this file the C library of busybox asks the name servers first, which are not there.
    let files_first = format!("echo 'hosts: files' > /etc/nsswitch.conf; {FOREVER}");
    shellrt.run("client", &image, &files_first, json!({}));
    is_up(&shellrt, "client", 1);
    for name in ["web", "server"] {
        let url = format!("http://{name}/");
        until("the module answers", || {
            said(&shellrt, "client", &["wget", "-q", "-O", "-", &url]) == "hello\n"
        });
    }
    let status = shellrt.module("status", "web");
    let network = &status["networks"][0];
    assert_eq!(network["name"], "bridge", "{status}");
    let device = said(&shellrt, "web", &["ip", "addr", "show", "eth0"]);
    for key in ["ip", "mac"] {
        assert!(device.contains(network[key].as_str().unwrap()), "{device}");
    }
    assert_eq!(status["ports"], json!([]));
    // Its name is its own address, and its loopback device is up.
    let hosts = said(&shellrt, "web", &["cat", "/etc/hosts"]);
    let own = format!("{}\tserver web\n", network["ip"].as_str().unwrap());
    assert!(hosts.contains(&own), "{hosts}");
    let loopback = ["wget", "-q", "-O", "-", "http://127.0.0.1/"];
    assert_eq!(said(&shellrt, "web", &loopback), "hello\n");

    // Who comes, goes, or has another address is known at once to those who run.
    shellrt.run("late", &image, FOREVER, json!({}));
    let hosts = said(&shellrt, "client", &["cat", "/etc/hosts"]);
    let late = format!("{}\tlate\n", address(&shellrt, "late"));
    assert!(hosts.contains(&late), "{hosts}");
    shellrt.ok(&json!({"_type": "stop", "name": "late", "timeout": 0}));
    until("a module that ended is forgotten", || {
        !said(&shellrt, "client", &["cat", "/etc/hosts"]).contains("late")
    });
    shellrt.module("restart", "web");
    until("a restarted module is found", || {
        said(
            &shellrt,
            "client",
            &["wget", "-q", "-O", "-", "http://web/"],
        ) == "hello\n"
    });
    let details = shellrt.ok(&json!({"_type": "list", "details": true}))["details"].take();
    assert!(details["late"].get("networks").is_none(), "{details}");
    assert_eq!(
        details["web"]["networks"][0]["ip"],
        json!(address(&shellrt, "web"))
    );
    // The counters are the module's own.
    let top = shellrt.module("top", "client");
    let received = top["network_rx_bytes"].as_u64().unwrap();
    assert!((1..1_000_000).contains(&received), "{top}");
    for name in ["web", "client", "late"] {
        remove(&shellrt, name);
    }
    assert_nothing_left(&shellrt);
}

#[test]
fn what_a_module_finds_under_etc() {
    let Some((shellrt, _registry, image)) = networked() else {
        return;
    };
    let config = |network: &str| {
        json!({
            "network": network,
            "dns": ["192.0.2.53", "192.0.2.54"],
            "dns_search": ["lan", "example.com"],
            "extra_hosts": ["db:192.0.2.7", "six=fd00::7", "machine:host-gateway"],
        })
    };
    let file = |name: &str, path: &str| said(&shellrt, name, &["cat", path]);
    for network in ["bridge", "host"] {
        shellrt.run(network, &image, FOREVER, config(network));
        let resolver = file(network, "/etc/resolv.conf");
        let lines = |word: &str| -> Vec<&str> {
            resolver
                .lines()
                .filter(|line| line.starts_with(word))
                .collect()
        };
        let servers = ["nameserver 192.0.2.53", "nameserver 192.0.2.54"];
        assert_eq!(lines("nameserver"), servers, "{network}");
        assert_eq!(lines("search"), ["search lan example.com"], "{network}");
        let hosts = file(network, "/etc/hosts");
        assert!(hosts.contains("192.0.2.7\tdb\n"), "{network}: {hosts}");
        assert!(hosts.contains("fd00::7\tsix\n"), "{network}: {hosts}");
    }
    let hosts = file("host", "/etc/hosts");
    assert!(hosts.contains("127.0.0.1\tmachine\n"), "{hosts}");
    let routes = said(&shellrt, "bridge", &["ip", "route"]);
    let hosts = file("bridge", "/etc/hosts");
    let gateway = hosts
        .lines()
        .find_map(|line| line.strip_suffix("\tmachine"));
    let gateway = gateway.unwrap_or_else(|| panic!("{hosts}"));
    assert!(
        routes.contains(&format!("default via {gateway} ")),
        "{routes}"
    );
    // With the machine's network the host name is the machine's.
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(said(&shellrt, "host", &["hostname"]), machine);
    assert_eq!(said(&shellrt, "bridge", &["hostname"]), "bridge\n");
    for network in ["bridge", "host"] {
        remove(&shellrt, network);
    }
    assert_nothing_left(&shellrt);
}

#[test]
fn without_plugins_the_network_is_the_machines() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    shellrt.run("plain", &image, FOREVER, json!({}));
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    let link = said(&shellrt, "plain", &["readlink", "/proc/self/ns/net"]);
    assert_eq!(link.trim(), own.to_str().unwrap());
    let status = shellrt.module("status", "plain");
    assert!(status.get("networks").is_none(), "{status}");
    let create = |config: Value| {
        let mut config = config;
        config["image"] = json!(image);
        let request = json!({
            "_type": "create", "name": "b", "config_type": "containerd", "config": config,
        });
        let answer = shellrt.ask(&request).object;
        assert_eq!(answer["code"], 4, "{answer:?}");
        answer["detail"]["path"].clone()
    };
    assert_eq!(create(json!({"network": "bridge"})), "/config/network");
    assert_eq!(create(json!({"ports": ["80"]})), "/config/ports/0");
    let sysctls = json!({"sysctls": {"net.core.somaxconn": 9}});
    assert_eq!(create(sysctls), "/config/sysctls/net.core.somaxconn");
    remove(&shellrt, "plain");
    assert_nothing_left(&shellrt);
}
