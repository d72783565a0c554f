//! Networks that fail, that are an administrator's own, and what is left of them after a crash or a
//! reboot.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{json, Value};
use tests::network::left_of;
use tests::plugin::{signal, until};
use tests::shellrt::Shellrt;

use super::names::{address, networked};
use super::ports::refused;
use super::{assert_nothing_left, remove, FOREVER};

/// A network as an administrator writes it, with its own bridge and its own list of addresses.
fn write_network(shellrt: &Shellrt, file: &str, name: &str, number: u8, more: &[Value]) {
    let addresses = shellrt.files().join("addresses");
    let bridge = json!({
        "type": "bridge",
        "bridge": format!("srt{number}-{}", std::process::id() % 10_000),
        "isGateway": true,
        "ipMasq": true,
        "ipam": {
            "type": "host-local",
            "dataDir": addresses,
            "ranges": [[{"subnet": format!("10.62.{number}.0/29")}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    });
    let plugins: Vec<Value> = [bridge].into_iter().chain(more.iter().cloned()).collect();
    let network = json!({"cniVersion": "1.0.0", "name": name, "plugins": plugins});
    fs::create_dir_all(shellrt.networks()).unwrap();
    fs::write(shellrt.networks().join(file), network.to_string()).unwrap();
}

fn portmap() -> Value {
    json!({"type": "portmap", "capabilities": {"portMappings": true}})
}

/// A plugin that is a script.
fn write_plugin(dir: &Path, name: &str, script: &str) {
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Who has an address of the networks of [`write_network`].
fn given_away(shellrt: &Shellrt, name: &str) -> Vec<String> {
    let dir = shellrt.files().join("addresses").join(name);
    let entries = fs::read_dir(dir).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("10.")).collect()
}

#[test]
fn a_network_of_an_administrator() {
    let Some((shellrt, _registry, image)) = networked() else {
        return;
    };
    write_network(&shellrt, "50-lan.conflist", "lan", 1, &[]);
    write_network(&shellrt, "10-shellrt.conflist", "replaced", 2, &[portmap()]);
    let config = |network: &str| json!({"network": network, "command": ["sh", "-c", FOREVER]});
    shellrt.create("a", &image, config("lan"));
    shellrt.create_only("b", &image, config("bridge"));
    shellrt.create_only("c", &image, config("replaced"));
    for name in ["a", "b", "c"] {
        shellrt.module("start", name);
    }
    assert!(address(&shellrt, "a").starts_with("10.62.1."));
    assert!(address(&shellrt, "b").starts_with("10.62.2."));
    let networks = shellrt.module("status", "a")["networks"].take();
    assert_eq!(networks[0]["name"], "lan");
    // Two names of one network; who is in another one is not known.
    let table = ["cat", "/etc/hosts"];
    let request = json!({"_type": "exec", "name": "b", "args": table});
    let hosts = shellrt.ok(&request)["stdout"].as_str().unwrap().to_owned();
    assert!(
        hosts.contains(&format!("{}\tc\n", address(&shellrt, "c"))),
        "{hosts}"
    );
    assert!(!hosts.contains("\ta\n"), "{hosts}");

    // What can't be is told before there is anything.
    for (config, path) in [
        (json!({"network": "nowhere"}), "/config/network"),
        (
            json!({"network": "lan", "ports": ["80"]}),
            "/config/ports/0",
        ),
        (
            json!({"network": "bridge", "ports": ["80", "[::]:80:80"]}),
            "/config/ports/1",
        ),
    ] {
        let mut config = config;
        config["image"] = json!(image);
        let request = json!({
            "_type": "create", "name": "d", "config_type": "containerd", "config": config,
        });
        let answer = shellrt.ask(&request).object;
        assert_eq!(answer["code"], 4, "{answer:?}");
        assert_eq!(answer["detail"]["path"], path, "{answer:?}");
        if path == "/config/network" {
            let words = answer["message"].as_str().unwrap();
            for name in ["bridge", "host", "none", "lan", "replaced"] {
                assert!(words.contains(&format!("{name:?}")), "{words}");
            }
        }
    }

    // One that was there.
    fs::remove_file(shellrt.networks().join("50-lan.conflist")).unwrap();
    shellrt.ok(&json!({"_type": "stop", "name": "a", "timeout": 0}));
    let words = refused(&shellrt, "a");
    assert!(words.contains("there is no network \\\"lan\\\""), "{words}");
    for name in ["a", "b", "c"] {
        remove(&shellrt, name);
    }
    assert_nothing_left(&shellrt);
    write_network(&shellrt, "50-lan.conflist", "lan", 1, &[]);
    for name in ["lan", "replaced"] {
        assert_eq!(given_away(&shellrt, name), [""; 0]);
    }
}

#[test]
fn a_plugin_that_fails_is_heard() {
    let Some((mut shellrt, _registry, image)) = networked() else {
        return;
    };
    let own = shellrt.files().join("plugins");
    fs::create_dir(&own).unwrap();
    let installed = tests::network::cni_plugins().unwrap();
    let path = std::env::join_paths([&own, &installed]).unwrap();
    shellrt.set("CNI_PATH", Path::new(&path));
    let marker = shellrt.files().join("works");
    // As the specification of CNI has errors; once it works, it hands on what it got.
    write_plugin(
        &own,
        "fails",
        &format!(
            "test $CNI_COMMAND = DEL && exit 0
            test -e {} && exec sed 's/.*\"prevResult\":\\({{.*}}\\),\"type\".*/\\1/'
            echo '{{\"cniVersion\":\"1.0.0\",\"code\":100,\"msg\":\"the cable is cut\",\"details\":\"by mice\"}}'
            exit 1",
            marker.display()
        ),
    );
    write_network(
        &shellrt,
        "50-lan.conflist",
        "lan",
        3,
        &[json!({"type": "fails"})],
    );
    let config = json!({"network": "lan", "command": ["sh", "-c", FOREVER]});
    shellrt.create("a", &image, config);
    let before = shellrt.module("status", "a");
    for _ in 0..8 {
        // There are six addresses, and none is lost.
        let words = refused(&shellrt, "a");
        assert!(words.contains("the cable is cut; by mice"), "{words}");
        assert!(words.contains("\\\"fails\\\""), "{words}");
    }
    assert_eq!(shellrt.module("status", "a"), before);
    assert_eq!(given_away(&shellrt, "lan"), [""; 0]);
    assert_eq!(left_of(shellrt.containerd.namespace()), [""; 0]);
    fs::write(&marker, "").unwrap();
    shellrt.module("start", "a");
    assert!(address(&shellrt, "a").starts_with("10.62.3."));
    remove(&shellrt, "a");

    // A task that can't be made takes the network with it.
    let config = json!({"network": "lan", "command": ["/no/such/program"]});
    shellrt.create_only("b", &image, config);
    refused(&shellrt, "b");
    assert_eq!(given_away(&shellrt, "lan"), [""; 0]);
    assert_eq!(left_of(shellrt.containerd.namespace()), [""; 0]);
    remove(&shellrt, "b");
    assert_nothing_left(&shellrt);
}

#[test]
fn a_reboot_leaves_nothing_in_the_way() {
    let Some((mut shellrt, _registry, image)) = networked() else {
        return;
    };
    write_network(&shellrt, "10-shellrt.conflist", "own", 4, &[portmap()]);
    let names = ["a", "b", "c", "d", "e"];
    let config = json!({"command": ["sh", "-c", FOREVER], "ports": ["80"]});
    for name in names {
        shellrt.create(name, &image, config.clone());
        shellrt.module("start", name);
    }
    // Six addresses, one of them the machine's: all are given away, and stay so on the disk.
    shellrt.reboot();
    assert_eq!(given_away(&shellrt, "own").len(), 5);
    let status = shellrt.module("status", "a");
    assert!(status.get("networks").is_none(), "{status}");
    shellrt.module("remove", "e");
    assert_eq!(given_away(&shellrt, "own").len(), 4);
    for name in &names[..4] {
        shellrt.module("start", name);
        assert!(address(&shellrt, name).starts_with("10.62.4."));
    }
    for name in &names[..4] {
        remove(&shellrt, name);
    }
    assert_eq!(given_away(&shellrt, "own"), [""; 0]);
    assert_nothing_left(&shellrt);
}

#[test]
fn what_is_killed_leaves_no_network() {
    let Some((shellrt, _registry, image)) = networked() else {
        return;
    };
    write_network(&shellrt, "10-shellrt.conflist", "own", 5, &[portmap()]);
    let config = json!({"command": ["sh", "-c", FOREVER], "ports": ["80"], "stop_grace_period": 0});
    shellrt.pull(&image);
    let kill_after = |request: &Value, time: u64| {
        let mut open = shellrt.open(request);
        drop(open.stdin.take());
        std::thread::sleep(Duration::from_millis(time));
        open.child.kill().unwrap();
        open.child.wait().unwrap();
    };
    for time in [5, 20, 40, 80, 120, 160, 200, 300, 400, 600] {
        shellrt.create_only("a", &image, config.clone());
        kill_after(&json!({"_type": "start", "name": "a"}), time);
        shellrt.module("start", "a");
        let status = shellrt.module("status", "a");
        assert_eq!(status["status"], "running", "{time}: {status}");
        address(&shellrt, "a");
        kill_after(&json!({"_type": "stop", "name": "a", "timeout": 0}), time);
        shellrt.module("start", "a");
        kill_after(
            &json!({"_type": "remove", "name": "a", "force": true}),
            time,
        );
        let again = json!({"_type": "remove", "name": "a", "force": true});
        let answer = shellrt.ask(&again).object;
        let code = answer.get("code").and_then(Value::as_u64);
        assert!(code.is_none_or(|code| code == 5), "{time}: {answer:?}");
        assert_nothing_left(&shellrt);
        assert_eq!(given_away(&shellrt, "own"), [""; 0], "{time}");
    }
}

/// Whether a command line is that of who joins a module to its network.
fn is_joining(line: &str) -> bool {
    line.contains(" network shellrt-")
}

/// Kills who joins the module to its network, a moment after that began, and who waits for that.
fn kill_the_joining(shellrt: &Shellrt, moment: Duration) {
    let waiting = |line: &str| line.contains(" start a:");
    until("the module is being joined", || {
        shellrt
            .containerd
            .processes()
            .iter()
            .any(|(_, line)| is_joining(line))
    });
    std::thread::sleep(moment);
    for (pid, line) in shellrt.containerd.processes() {
        if is_joining(&line) || waiting(&line) {
            signal(pid, Signal::KILL);
        }
    }
}

#[test]
fn whoever_joins_it_may_be_killed() {
    let Some((shellrt, _registry, image)) = networked() else {
        return;
    };
    write_network(&shellrt, "10-shellrt.conflist", "own", 6, &[portmap()]);
    let config = json!({"command": ["sh", "-c", FOREVER], "ports": ["80"], "stop_grace_period": 0});
    shellrt.create("a", &image, config);
    for moment in [0, 5, 15, 30, 50, 80, 120, 200] {
        for again in ["start", "prune"] {
            let open = shellrt.open(&json!({"_type": "start", "name": "a"}));
            kill_the_joining(&shellrt, Duration::from_millis(moment));
            open.finish();
            // A plugin that was being asked goes on without us; it is one from its exec on.
            until("the plugins are done", || {
                let processes = shellrt.containerd.processes();
                let is_done = |line: &str| !line.contains("/cni/") && !is_joining(line);
                processes.iter().all(|(_, line)| is_done(line))
            });
            match again {
                "start" => {
                    shellrt.module("start", "a");
                    assert!(address(&shellrt, "a").starts_with("10.62.6."));
                }
                _ => drop(shellrt.ok(&json!({"_type": "prune"}))),
            }
            shellrt.ok(&json!({"_type": "stop", "name": "a", "timeout": 0}));
            let left = left_of(shellrt.containerd.namespace());
            assert_eq!(left, [""; 0], "{again} after {moment}");
            assert_eq!(
                given_away(&shellrt, "own"),
                [""; 0],
                "{again} after {moment}"
            );
        }
    }
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}

/// As a service of systemd that has mounts of its own.
#[test]
fn a_plugin_with_other_mounts_than_containerd() {
    let Some((mut shellrt, _registry, image)) = networked() else {
        return;
    };
    shellrt.prelude = Some("mkdir -p /run/netns && mount -t tmpfs none /run/netns".to_owned());
    shellrt.run("a", &image, FOREVER, json!({"ports": ["80"]}));
    address(&shellrt, "a");
    let request = json!({"_type": "exec", "name": "a", "args": ["ls", "/sys/class/net"]});
    assert_eq!(shellrt.ok(&request)["stdout"], "eth0\nlo\n");
    remove(&shellrt, "a");
    assert_nothing_left(&shellrt);
}
