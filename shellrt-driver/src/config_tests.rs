//! Configs from flags, from files and from both.

use serde_json::{json, Value};

use super::{containerd, pass_through, request, wasm};
use crate::args::{parse, Asked, Create, Message};
use crate::failure::Failure;

/// `create TYPE web IMAGE <line>`.
fn create(config_type: &str, line: &str) -> Create {
    let words = ["shellrt-driver", "x", "create", config_type, "web", "IMAGE"].into_iter();
    let words = words
        .chain(line.split_whitespace())
        .map(Into::into)
        .collect();
    match parse(words) {
        Ok(Asked::Message(args)) => match args.message {
            Message::Create(create) => create.0,
            other => panic!("{other:?}"),
        },
        other => panic!("{line}: {other:?}"),
    }
}

/// The `wasm` config of a file, an image and flags.
fn build_wasm(file: Option<Value>, image: Option<&str>, line: &str) -> Result<Value, Failure> {
    let Create { shared, wasm, .. } = create("wasm", line);
    wasm::build(file, image, &shared, &wasm)
}

/// The `containerd` config of a file, an image and flags.
fn build_containerd(
    file: Option<Value>,
    image: Option<&str>,
    line: &str,
) -> Result<Value, Failure> {
    let Create {
        shared, containerd, ..
    } = create("containerd", line);
    containerd::build(file, image, &shared, &containerd)
}

fn message(result: Result<Value, Failure>) -> String {
    match result {
        Err(Failure::Usage(message)) => message,
        other => panic!("{other:?}"),
    }
}

/// Every flag, with the names and units of the config type `wasm`.
#[test]
fn flags_alone() {
    let all =
        "--mount /srv/a:/a --mount /srv/b:/b:ro --memory 64m --cpus 0.5 --timeout 10s --fuel 1000 \
         --restart on-failure:3 -i --connect example.org:443 --connect 10.0.0.0/8 \
         --listen 127.0.0.1:8080 --dns --label a=b -l c --log-max-size 1m --log-max-files 2 \
         --log-stream stderr -- one --two";
    assert_eq!(
        build_wasm(None, Some("a"), all).unwrap(),
        json!({
            "image": "a",
            "command": ["one", "--two"],
            "mounts": [
                {"type": "bind", "source": "/srv/a", "target": "/a", "read_only": false},
                {"type": "bind", "source": "/srv/b", "target": "/b", "read_only": true}
            ],
            "network": {
                "connect": ["example.org:443", "10.0.0.0/8"],
                "listen": "127.0.0.1:8080",
                "dns": true
            },
            "mem_limit": 67108864,
            "cpus": 0.5,
            "timeout": 10,
            "fuel": 1000,
            "stdin": true,
            "restart": "on-failure:3",
            "log": {"max_size": 1048576, "max_files": 2, "streams": ["stderr"]},
            "labels": {"a": "b", "c": ""}
        })
    );
    assert_eq!(build_wasm(None, Some("a"), "").unwrap()["image"], "a");
}

#[test]
fn flags_win_over_the_file() {
    let file = json!({
        "image": "a",
        "command": ["x", "y"],
        "mem_limit": "32m",
        "timeout": 5,
        "network": {"connect": ["a:1"], "dns": true},
        "labels": {"a": "1", "b": "2"},
        "log": {"max_files": 7}
    });
    let built = build_wasm(
        Some(file),
        Some("other"),
        "--memory 64m --connect b:2 -l b=3 --log-max-size 1m -- z",
    )
    .unwrap();
    assert_eq!(built["image"], "other");
    assert_eq!(built["command"], json!(["z"]));
    assert_eq!(built["mem_limit"], 64 << 20);
    assert_eq!(built["timeout"], 5);
    assert_eq!(built["network"], json!({"connect": ["b:2"], "dns": true}));
    assert_eq!(built["labels"], json!({"a": "1", "b": "3"}));
    assert_eq!(built["log"]["max_files"], 7);
    assert_eq!(built["log"]["max_size"], 1 << 20);
}

#[test]
fn a_wrong_file_is_not_sent() {
    for build in [build_wasm, build_containerd] {
        let wrong = |config: Value| message(build(Some(config), None, ""));
        assert!(wrong(json!({"image": "a", "mem_limt": 1})).contains("mem_limt"));
        let mount = json!({"type": "bind", "source": 1, "target": "/a"});
        assert!(wrong(json!({"image": "a", "mounts": [mount]})).contains("mounts/0"));
        assert!(wrong(json!([])).contains("config is wrong"));
        assert!(wrong(json!({})).contains("image is missing"));
        assert!(message(build(None, None, "")).contains("image is missing"));
    }
}

/// Every flag that is `containerd`'s alone and every one that it shares, as docker's users write
/// them, with the names and units of the config.
#[test]
fn containerd_flags_alone() {
    let line = "--mount /srv/a:/a --mount type=tmpfs,target=/b,tmpfs-size=1m --volume data:/c:ro \
        --memory 64m --cpus 0.5 --restart always --interactive -l a=b --log-max-files 2 \
        --entrypoint /bin/sh -u www-data:33 --group-add mail -w /srv -t --tmpfs /run:size=1m \
        --device /dev/ttyS0 --read-only --cap-add NET_ADMIN --cap-drop ALL --privileged \
        --security-opt no-new-privileges --sysctl net.core.somaxconn=1024 \
        --ulimit nofile=1024:4096 --annotation c=d --memory-swap -1 --memory-reservation 32m \
        --cpu-shares 512 --cpuset-cpus 0-1 --pids-limit -1 --oom-score-adj -500 --shm-size 1g \
        --stop-signal INT --stop-timeout 30 --network none --hostname web --pid host \
        --ipc private --platform linux/arm/v7 --runtime io.containerd.runsc.v1 \
        --snapshotter native -- -c date";
    assert_eq!(
        build_containerd(None, Some("a"), line).unwrap(),
        json!({
            "image": "a",
            "entrypoint": ["/bin/sh"],
            "command": ["-c", "date"],
            "working_dir": "/srv",
            "user": "www-data:33",
            "group_add": ["mail"],
            "hostname": "web",
            "mounts": [
                {"type": "bind", "source": "/srv/a", "target": "/a"},
                {"type": "tmpfs", "target": "/b", "tmpfs": {"size": 1_048_576}},
                {"type": "volume", "source": "data", "target": "/c", "read_only": true}
            ],
            "tmpfs": ["/run:size=1m"],
            "devices": ["/dev/ttyS0"],
            "cap_add": ["NET_ADMIN"],
            "cap_drop": ["ALL"],
            "privileged": true,
            "read_only": true,
            "security_opt": ["no-new-privileges"],
            "sysctls": {"net.core.somaxconn": "1024"},
            "ulimits": {"nofile": {"soft": 1024, "hard": 4096}},
            "labels": {"a": "b"},
            "annotations": {"c": "d"},
            "mem_limit": 67_108_864,
            "memswap_limit": -1,
            "mem_reservation": 33_554_432,
            "cpus": 0.5,
            "cpu_shares": 512,
            "cpuset": "0-1",
            "pids_limit": -1,
            "oom_score_adj": -500,
            "shm_size": 1_073_741_824,
            "stop_signal": "SIGINT",
            "stop_grace_period": 30,
            "stdin": true,
            "tty": true,
            "log": {"max_size": 10_485_760, "max_files": 2, "streams": ["stdout", "stderr"]},
            "network": "none",
            "pid": "host",
            "restart": "always",
            "platform": "linux/arm/v7",
            "runtime": "io.containerd.runsc.v1",
            "snapshotter": "native"
        })
    );
    assert_eq!(
        build_containerd(None, Some("a"), "").unwrap(),
        json!({"image": "a"})
    );
    let build = |line: &str| build_containerd(None, Some("a"), line).unwrap();
    assert_eq!(
        build(
            "--health-cmd true --health-interval 5s --health-timeout 1500ms --health-retries 2 \
             --health-start-period 1m"
        )["healthcheck"],
        json!({
            "test": ["CMD-SHELL", "true"], "interval": 5, "timeout": 1.5, "retries": 2,
            "start_period": 60
        })
    );
    assert_eq!(
        build("--no-healthcheck")["healthcheck"],
        json!({"test": ["NONE"]})
    );
    assert_eq!(
        build(
            "--network lan -p 8080:80 --publish 53/udp --dns-server 1.1.1.1 --dns-search lan \
             --add-host db:10.0.0.7"
        ),
        json!({
            "image": "a",
            "network": "lan",
            "ports": ["8080:80", "53/udp"],
            "dns": ["1.1.1.1"],
            "dns_search": ["lan"],
            "extra_hosts": ["db=10.0.0.7"]
        })
    );
    assert_eq!(build("--uts host")["uts"], "host");
    assert_eq!(build("--ipc host --net host")["network"], "host");
    assert_eq!(build("--entrypoint=")["entrypoint"], json!([]));
}

#[test]
fn containerd_flags_win_over_the_file() {
    let file = json!({
        "image": "a",
        "command": "x y",
        "entrypoint": "/entry.sh",
        "user": "root",
        "mounts": [{"type": "volume", "source": "data", "target": "/a"}],
        "sysctls": {"kernel.shmmax": 1, "kernel.shmall": 2},
        "mem_limit": "32m",
        "stop_grace_period": "1m",
        "privileged": true,
        "pid": "host"
    });
    let line =
        "--memory 64m --user 33 --volume /srv:/b --sysctl kernel.shmall=3 --pid private -- z";
    assert_eq!(
        build_containerd(Some(file), None, line).unwrap(),
        json!({
            "image": "a",
            "command": ["z"],
            "entrypoint": ["/entry.sh"],
            "user": "33",
            "mounts": [{"type": "bind", "source": "/srv", "target": "/b",
                        "bind": {"create_host_path": true}}],
            "sysctls": {"kernel.shmmax": "1", "kernel.shmall": "3"},
            "mem_limit": 64 << 20,
            "stop_grace_period": 60,
            "privileged": true
        })
    );
}

/// What no machine can do is found before a plugin is started.
#[test]
fn a_containerd_config_that_cannot_be_is_not_sent() {
    for (line, place) in [
        ("--memory 1m", "mem_limit"),
        ("--cap-add ROOT", "cap_add/0"),
        ("--mount /a:/b --volume c:/b", "mounts/1/target"),
        (
            "--network host --sysctl net.core.somaxconn=1",
            "sysctls/net.core.somaxconn",
        ),
        ("--ulimit files=1", "ulimits/files"),
        ("--network none -p 80", "ports/0"),
        ("-p 80:80 -p 80:81", "ports/1"),
        ("--mount /a:.", "mounts/0/target"),
    ] {
        let said = message(build_containerd(None, Some("a"), line));
        assert!(said.contains(place), "{line}: {said}");
    }
}

/// A program in the sandbox has directories, and nothing else that `--mount` can say.
#[test]
fn a_wasm_config_has_plain_directories() {
    let built = build_wasm(None, Some("a"), "--mount type=bind,src=/a,dst=/b,ro").unwrap();
    assert_eq!(
        built["mounts"],
        json!([{"type": "bind", "source": "/a", "target": "/b", "read_only": true}])
    );
    for line in [
        "--mount type=tmpfs,dst=/b",
        "--mount type=volume,src=a,dst=/b",
        "--mount type=bind,src=/a,dst=/b,bind-propagation=shared",
    ] {
        let said = message(build_wasm(None, Some("a"), line));
        assert!(said.contains("HOST:GUEST"), "{line}: {said}");
    }
}

#[test]
fn options_of_other_config_types_are_refused() {
    let refused = |config_type: &str, line: &str| {
        let said = message(request(&create(config_type, line)).map(|request| request.config));
        assert!(said.contains("no place"), "{line}: {said}");
    };
    for line in [
        "--user 1",
        "--privileged",
        "--volume a:/b",
        "--memory-swap -1",
    ] {
        refused("wasm", line);
        refused("x", line);
    }
    for line in ["--fuel 1", "--timeout 1", "--dns", "--listen 127.0.0.1:1"] {
        refused("containerd", line);
        refused("x", line);
    }
    for line in ["--memory 1m", "-i", "-- a"] {
        refused("x", line);
    }
}

#[test]
fn other_config_types_pass_as_they_are() {
    let odd = json!(["any", {"thing": null}]);
    assert_eq!(
        pass_through("x", Some(odd.clone()), None, true).unwrap(),
        odd
    );
    assert_eq!(
        pass_through("x", None, Some("a"), true).unwrap(),
        json!({"image": "a"})
    );
    assert!(message(pass_through("x", Some(odd), Some("a"), true)).contains("image belongs there"));
    let options = json!({"image": "b", "Cmd": ["c"]});
    assert_eq!(
        pass_through("docker", Some(options), Some("a"), true).unwrap(),
        json!({"Image": "a", "Cmd": ["c"]})
    );
    assert!(message(pass_through("x", None, None, true)).contains("image is missing"));
}
