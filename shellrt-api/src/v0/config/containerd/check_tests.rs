//! Configs that are right, and one mistake each.

use serde_json::{json, Value};

use super::super::super::decode;
use super::super::Config;
use crate::v0::{Code, Error};

/// Decodes and checks a config with `image` and these fields.
fn check(fields: Value) -> Result<Config, Error> {
    let mut config = json!({"image": "a"});
    let object = config.as_object_mut().unwrap();
    object.extend(fields.as_object().unwrap().clone());
    let config: Config = decode(&config)?;
    config.check()?;
    Ok(config)
}

/// The place of the mistake, as a JSON pointer into the request.
fn place(fields: Value) -> String {
    let error = check(fields.clone()).expect_err(&fields.to_string());
    assert_eq!(error.code, Code::INVALID_CONFIG, "{error}");
    error.detail["path"].as_str().unwrap().to_owned()
}

#[test]
fn an_image_is_enough() {
    let config = check(json!({})).unwrap();
    assert_eq!(serde_json::to_value(config).unwrap(), json!({"image": "a"}));
}

/// Every field, with the forms of the Compose specification.
#[test]
fn everything() {
    let mut fields = json!({
        "image": "a",
        "entrypoint": ["/entry.sh", "-x"],
        "command": ["bundle", "exec", "thin", "-p", "3000"],
        "working_dir": "/srv",
        "user": "www-data:33",
        "group_add": ["mail", "20"],
        "hostname": "web.example",
        "mounts": [
            {"type": "bind", "source": "/srv/a", "target": "/a", "read_only": true,
             "bind": {"propagation": "rslave", "create_host_path": true}},
            {"type": "tmpfs", "target": "/b", "tmpfs": {"size": 1048576, "mode": 448}},
            {"type": "volume", "source": "db-data", "target": "/c", "volume": {"nocopy": true}}
        ],
        "tmpfs": ["/run", "/data:mode=755,uid=1009,gid=1009,exec"],
        "devices": ["/dev/ttyUSB0", "/dev/sda:/dev/xvda", "/dev/sdb:/dev/xvdb:rw"],
        "cap_add": ["ALL"],
        "cap_drop": ["NET_ADMIN", "CAP_SYS_ADMIN"],
        "privileged": true,
        "read_only": true,
        "security_opt": [
            "no-new-privileges", "seccomp=/etc/seccomp.json", "apparmor=docker-default",
            "label=user:USER", "label=role:ROLE"
        ],
        "sysctls": {"net.core.somaxconn": "1024", "kernel.shmmax": "65536"},
        "ulimits": {"nproc": 65535, "nofile": {"soft": 20000, "hard": 40000}, "core": -1},
        "labels": {"a": "b"},
        "annotations": {"com.example.foo": "bar"},
        "mem_limit": 67108864,
        "memswap_limit": -1,
        "mem_reservation": 33554432,
        "cpus": 0.5,
        "cpu_shares": 512,
        "cpuset": "0-3,5",
        "pids_limit": 100,
        "oom_score_adj": -500,
        "shm_size": 134217728,
        "stop_signal": "SIGUSR1",
        "stop_grace_period": 90,
        "stdin": true,
        "tty": true,
        "log": {"max_size": 1048576, "max_files": 2, "streams": ["stderr"]},
        "pid": "host",
        "restart": "on-failure:3",
        "platform": "linux/arm64/v8",
        "runtime": "io.containerd.runc.v2",
        "snapshotter": "native"
    });
    for (key, value) in [
        ("network", json!("bridge")),
        (
            "ports",
            json!([
                "80",
                "127.0.0.1:8080:80",
                "[fd00::7]:53:53/udp",
                "1-9:11-19"
            ]),
        ),
        ("dns", json!(["192.168.1.1", "fd00::1"])),
        ("dns_search", json!(["lan"])),
        (
            "extra_hosts",
            json!(["db=10.0.0.7", "host.docker.internal=host-gateway"]),
        ),
    ] {
        fields[key] = value;
    }
    let config = check(fields.clone()).unwrap();
    assert_eq!(serde_json::to_value(config).unwrap(), fields);
    check(json!({"ipc": "host", "uts": "host", "tmpfs": "/run", "command": "a b"})).unwrap();
    check(json!({"network": "none", "sysctls": {"net/ipv4/ip_forward": 1}})).unwrap();
    check(json!({"pids_limit": -1, "memswap_limit": -1, "sysctls": {"fs.mqueue.msg_max": 9}}))
        .unwrap();
}

#[test]
fn what_is_run() {
    assert_eq!(place(json!({"command": "a 'b"})), "/config/command");
    assert_eq!(place(json!({"command": ["a", "b\0"]})), "/config/command/1");
    assert_eq!(place(json!({"entrypoint": ["\0"]})), "/config/entrypoint/0");
    assert_eq!(place(json!({"entrypoint": [1]})), "/config/entrypoint/0");
    assert_eq!(place(json!({"working_dir": "srv"})), "/config/working_dir");
    assert_eq!(
        place(json!({"working_dir": "/a/../b"})),
        "/config/working_dir"
    );
    for user in ["", ":", "a:", ":a", "a:b:c", "a b", "2147483648", "-\0"] {
        assert_eq!(place(json!({ "user": user })), "/config/user", "{user:?}");
    }
    assert_eq!(
        place(json!({"group_add": ["a", ""]})),
        "/config/group_add/1"
    );
    assert_eq!(place(json!({"group_add": [0.5]})), "/config/group_add/0");
    let long = "a".repeat(65);
    for name in ["", "a b", "-a", "a.", long.as_str()] {
        assert_eq!(
            place(json!({ "hostname": name })),
            "/config/hostname",
            "{name:?}"
        );
    }
    assert_eq!(
        place(json!({"hostname": "a", "uts": "host"})),
        "/config/hostname"
    );
    assert_eq!(
        place(json!({"stop_signal": "SIGSTOPP"})),
        "/config/stop_signal"
    );
    assert_eq!(place(json!({"stop_signal": 0})), "/config/stop_signal");
    assert_eq!(place(json!({"init": true})), "/config/init");
}

#[test]
fn mounts() {
    let mount = |mount: Value| place(json!({ "mounts": [mount] }));
    let first = "/config/mounts/0";
    assert_eq!(
        mount(json!({"type": "npipe", "target": "/a"})),
        format!("{first}/type")
    );
    assert_eq!(mount(json!({"type": "bind", "target": "/a"})), first);
    for source in ["a", "./a", "/a/../b", "/a\0", ""] {
        let found = mount(json!({"type": "bind", "source": source, "target": "/a"}));
        assert_eq!(found, format!("{first}/source"), "{source:?}");
    }
    for source in ["", ".a", "a/b", "../a", "a b", "a".repeat(129).as_str()] {
        let found = mount(json!({"type": "volume", "source": source, "target": "/a"}));
        assert_eq!(found, format!("{first}/source"), "{source:?}");
    }
    for target in ["/", "", "a", ".", "//", "/./", "/a/../..", "/a\0"] {
        let found = mount(json!({"type": "bind", "source": "/a", "target": target}));
        assert_eq!(found, format!("{first}/target"), "{target:?}");
    }
    let tmpfs = |more: Value| {
        let mut mount = json!({"type": "tmpfs", "target": "/a"});
        mount
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        mount
    };
    assert_eq!(
        mount(tmpfs(json!({"source": "/a"}))),
        format!("{first}/source")
    );
    assert_eq!(mount(tmpfs(json!({"bind": {}}))), format!("{first}/bind"));
    assert_eq!(
        mount(tmpfs(json!({"volume": {}}))),
        format!("{first}/volume")
    );
    let mode = format!("{first}/tmpfs/mode");
    // Decimal 10000 is octal 23420.
    assert_eq!(mount(tmpfs(json!({"tmpfs": {"mode": 10000}}))), mode);
    assert_eq!(mount(tmpfs(json!({"tmpfs": {"mode": "0800"}}))), mode);
    assert_eq!(
        mount(tmpfs(json!({"tmpfs": {"size": 0}}))),
        format!("{first}/tmpfs/size")
    );
    let bind = json!({"type": "bind", "source": "/a", "target": "/a", "tmpfs": {}});
    assert_eq!(mount(bind), format!("{first}/tmpfs"));
    let bind =
        json!({"type": "bind", "source": "/a", "target": "/a", "bind": {"propagation": "x"}});
    assert_eq!(mount(bind), format!("{first}/bind/propagation"));
}

#[test]
fn one_thing_at_one_place() {
    let mount = |target: &str| json!({"type": "bind", "source": "/s", "target": target});
    let two = json!({"mounts": [mount("/a"), mount("//a/./")]});
    assert_eq!(place(two), "/config/mounts/1/target");
    let two = json!({"mounts": [mount("/a")], "tmpfs": ["/b", "/a"]});
    assert_eq!(place(two), "/config/tmpfs/1");
    let two = json!({"devices": ["/dev/a", "/dev/b:/dev/a"]});
    assert_eq!(place(two), "/config/devices/1");
    check(json!({"mounts": [mount("/a"), mount("/a/b")], "tmpfs": ["/ab"]})).unwrap();
}

#[test]
fn other_places() {
    for tmpfs in [
        "",
        "a",
        "/",
        "/a:b",
        "/a:size",
        "/a:size=",
        "/a:bind",
        "/a:mode=1,x=2",
    ] {
        assert_eq!(
            place(json!({ "tmpfs": tmpfs })),
            "/config/tmpfs/0",
            "{tmpfs:?}"
        );
    }
    for device in [
        "",
        "dev/a",
        "/dev/a:b",
        "/dev/a:/dev/b:x",
        "/dev/a:/dev/b:rr",
        "/a:/b:r:w",
    ] {
        assert_eq!(
            place(json!({ "devices": [device] })),
            "/config/devices/0",
            "{device:?}"
        );
    }
}

#[test]
fn what_protects_the_machine() {
    assert_eq!(
        place(json!({"cap_add": ["CHOWN", "ROOT"]})),
        "/config/cap_add/1"
    );
    assert_eq!(place(json!({"cap_drop": [""]})), "/config/cap_drop/0");
    check(json!({"cap_add": ["all", "cap_chown", "Bpf"]})).unwrap();
    for option in [
        "",
        "seccomp",
        "seccomp=a.json",
        "apparmor=",
        "no-new-privileges=1",
        "x=y",
    ] {
        let found = place(json!({ "security_opt": [option] }));
        assert_eq!(found, "/config/security_opt/0", "{option:?}");
    }
    let twice = json!({"security_opt": ["seccomp=unconfined", "seccomp=/a.json"]});
    assert_eq!(place(twice), "/config/security_opt/1");
}

/// docker's list of parameters that belong to a namespace.
#[test]
fn kernel_parameters() {
    let sysctl = |name: &str, more: Value| {
        let mut fields = json!({"network": "none", "sysctls": {name: "1"}});
        fields
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        fields
    };
    for name in [
        "kernel.msgmax",
        "kernel.sem",
        "kernel.shm_rmid_forced",
        "fs.mqueue.queues_max",
        "net.ipv4.tcp_syncookies",
        "kernel.domainname",
    ] {
        check(sysctl(name, json!({}))).unwrap();
    }
    for name in [
        "",
        "vm.swappiness",
        "kernel.hostname",
        "kernel.panic",
        "fs.file-max",
        "netx",
    ] {
        let found = place(sysctl(name, json!({})));
        assert_eq!(found, format!("/config/sysctls/{name}"), "{name:?}");
    }
    assert_eq!(
        place(sysctl("vm/a~b", json!({}))),
        "/config/sysctls/vm~1a~0b"
    );
    let net = "net.core.somaxconn";
    let host = sysctl(net, json!({"network": "host"}));
    assert_eq!(place(host), format!("/config/sysctls/{net}"));
    // Whose network it is, the machine decides.
    check(json!({"sysctls": {net: 1}})).unwrap();
    let host = sysctl("kernel.shmmax", json!({"ipc": "host"}));
    assert_eq!(place(host), "/config/sysctls/kernel.shmmax");
    let host = sysctl("kernel.domainname", json!({"uts": "host"}));
    assert_eq!(place(host), "/config/sysctls/kernel.domainname");
}

#[test]
fn limits() {
    for (fields, field) in [
        (json!({"mem_limit": 6_291_455}), "mem_limit"),
        (json!({"mem_limit": 0}), "mem_limit"),
        (json!({"memswap_limit": "64m"}), "memswap_limit"),
        (json!({"memswap_limit": -2}), "memswap_limit"),
        (
            json!({"mem_limit": "64m", "memswap_limit": "63m"}),
            "memswap_limit",
        ),
        (
            json!({"mem_limit": "64m", "mem_reservation": "65m"}),
            "mem_reservation",
        ),
        (json!({"cpus": 0}), "cpus"),
        (json!({"cpus": -1}), "cpus"),
        (json!({"cpus": 0.009}), "cpus"),
        (json!({"cpu_shares": 1}), "cpu_shares"),
        (json!({"cpu_shares": 262_145}), "cpu_shares"),
        (json!({"cpu_shares": -1}), "cpu_shares"),
        (json!({"pids_limit": -2}), "pids_limit"),
        (json!({"oom_score_adj": 1001}), "oom_score_adj"),
        (json!({"oom_score_adj": -1001}), "oom_score_adj"),
        (json!({"shm_size": 0}), "shm_size"),
        (json!({"shm_size": "1m", "ipc": "host"}), "shm_size"),
        (json!({"stop_grace_period": -1}), "stop_grace_period"),
        (json!({"ulimits": {"files": 1}}), "ulimits/files"),
        (json!({"ulimits": {"nofile": -2}}), "ulimits/nofile"),
        (json!({"ulimits": {"nofile": "1"}}), "ulimits/nofile"),
        (
            json!({"ulimits": {"nofile": {"soft": 2, "hard": 1}}}),
            "ulimits/nofile",
        ),
        (
            json!({"ulimits": {"nofile": {"soft": -1, "hard": 1}}}),
            "ulimits/nofile",
        ),
        (
            json!({"ulimits": {"nofile": {"soft": 1}}}),
            "ulimits/nofile",
        ),
    ] {
        assert_eq!(
            place(fields.clone()),
            format!("/config/{field}"),
            "{fields}"
        );
    }
    for set in ["", "a", "0-", "3-1", "0,,1", "+1", "0 1", "65536"] {
        assert_eq!(place(json!({ "cpuset": set })), "/config/cpuset", "{set:?}");
    }
    check(json!({"mem_limit": "6m", "memswap_limit": "6m", "mem_reservation": "6m"})).unwrap();
    check(json!({"cpus": 0.01, "cpu_shares": 2, "cpuset": "0", "pids_limit": 0})).unwrap();
    check(json!({"ulimits": {"nofile": {"soft": 1, "hard": -1}}})).unwrap();
}

#[test]
fn names() {
    assert_eq!(place(json!({"labels": {"": "a"}})), "/config/labels/");
    assert_eq!(
        place(json!({"annotations": {"": "a"}})),
        "/config/annotations/"
    );
    for field in ["network", "platform", "runtime", "snapshotter"] {
        assert_eq!(place(json!({ field: "" })), format!("/config/{field}"));
    }
    assert_eq!(place(json!({"pid": "container:a"})), "/config/pid");
}

#[test]
fn networks() {
    let ports = |ports: Value| json!({ "ports": ports });
    check(ports(json!([80, "80", "1-3:1-3", "3:3/udp", "4:3"]))).unwrap();
    for (wrong, index) in [
        (json!(["80", "80/sctp"]), 1),
        (json!([70000]), 0),
        (json!([-1]), 0),
        (json!(["8000-8010:80"]), 0),
        (json!(["8000:80-81"]), 0),
        (json!(["80:80", "80/udp", "80:81"]), 2),
        (json!(["1-9:1-9", "127.0.0.1:5:5"]), 1),
    ] {
        let found = place(ports(wrong.clone()));
        assert_eq!(found, format!("/config/ports/{index}"), "{wrong}");
    }
    for network in ["host", "none"] {
        let wrong = json!({"network": network, "ports": ["80"]});
        assert_eq!(place(wrong), "/config/ports/0");
    }
    check(json!({"dns": "1.1.1.1", "dns_search": ".", "network": "host"})).unwrap();
    assert_eq!(place(json!({"dns": ["1.1.1.1", "a"]})), "/config/dns/1");
    assert_eq!(
        place(json!({"dns_search": ["a b"]})),
        "/config/dns_search/0"
    );
    let hosts = json!(["a:1.2.3.4", "b"]);
    assert_eq!(
        place(json!({ "extra_hosts": hosts })),
        "/config/extra_hosts/1"
    );
    let gateway = json!({"network": "none", "extra_hosts": ["a:host-gateway"]});
    assert_eq!(place(gateway), "/config/extra_hosts/0");
}
