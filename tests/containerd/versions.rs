//! Other releases of containerd: the same life on each of them.

use std::io::Write;

use serde_json::json;
use tests::containerd::{Options, Version};
use tests::image::{push_index, Compression, Image, Layer};
use tests::shellrt::Shellrt;

use super::{assert_nothing_left, is_up, remove, run_forever, store, with};

fn life(version: Version) {
    let options = Options {
        version,
        ..Options::default()
    };
    let Some(shellrt) = Shellrt::start_with(options) else {
        return;
    };
    let Some((mut shellrt, registry, image)) = with(shellrt) else {
        return;
    };
    let first_day = store(&shellrt);
    let version = shellrt.ok(&json!({"_type": "version"}));
    let line = version["runtime_version"].as_str().unwrap().to_owned();
    let said = shellrt.containerd.ctr(&["version"]);
    assert!(said.contains(&line), "{line}: {said}");
    let more = Layer::new()
        .file("srv/more", 0o644, b"more\n")
        .whiteout("etc/group");
    let built = Image::busybox().layer(more, Compression::Zstd).build();
    push_index(&registry, "index", "1", &[&built], true);
    let index = format!("{}/index:1", registry.host());
    let run = ["run", "--rm", &index, "by-ctr", "cat", "/srv/more"];
    shellrt.pull(&index);
    assert_eq!(shellrt.containerd.ctr(&run), "more\n", "{line}");
    shellrt.run(
        "short",
        &index,
        "cat /srv/more; ls /etc/group; exit 3",
        json!({}),
    );
    assert_eq!(shellrt.module("wait", "short")["exit_code"], 3, "{line}");
    assert!(shellrt.logs("short").starts_with(b"more\n"));
    run_forever(&shellrt, "long", &image, json!({"mem_limit": "64m"}));
    let exec = json!({"_type": "exec", "name": "long", "args": ["sh", "-c", "echo out; exit 4"]});
    let answer = shellrt.ok(&exec);
    assert_eq!(answer["stdout"], "out\n", "{line}");
    assert_eq!(answer["exit_code"], 4, "{line}");
    let top = shellrt.module("top", "long");
    assert_eq!(top["memory_limit_bytes"], 64 << 20, "{line}");
    shellrt.containerd.stop();
    shellrt.containerd.start_again();
    assert_eq!(
        shellrt.module("status", "long")["status"],
        "running",
        "{line}"
    );
    shellrt.module("restart", "long");
    is_up(&shellrt, "long", 2);
    shellrt.ok(&json!({"_type": "stop", "name": "long", "timeout": 10}));
    assert_eq!(shellrt.module("status", "long")["exit_code"], 143, "{line}");
    shellrt.create("echo", &image, json!({"command": ["cat"], "stdin": true}));
    let mut attach = shellrt.open(&json!({
        "_type": "attach", "name": "echo", "stdin": true, "close_stdin": true,
    }));
    attach
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"\0hello\n")
        .unwrap();
    assert_eq!(attach.object()["_status"], "ok");
    shellrt.module("start", "echo");
    assert_eq!(attach.line(), "hello\n", "{line}");
    drop(attach.stdin.take());
    assert_eq!(shellrt.module("wait", "echo")["exit_code"], 0, "{line}");
    let memory = "x=0123456789abcdef; while :; do x=$x$x; done";
    shellrt.run("memory", &image, memory, json!({"mem_limit": "16m"}));
    assert_eq!(shellrt.module("wait", "memory")["end"], "memory", "{line}");
    shellrt.module("start", "long");
    shellrt.reboot();
    assert_eq!(shellrt.module("status", "long")["end"], "lost", "{line}");
    assert_eq!(shellrt.module("status", "short")["exit_code"], 3, "{line}");
    shellrt.module("start", "long");
    assert_eq!(
        shellrt.module("status", "long")["status"],
        "running",
        "{line}"
    );
    for name in ["short", "long", "echo", "memory"] {
        remove(&shellrt, name);
    }
    assert_nothing_left(&shellrt);
    shellrt.ok(&json!({"_type": "prune", "images": true, "older_than": 0}));
    assert_eq!(store(&shellrt), first_day, "{line}");
}

#[test]
fn the_installed_one() {
    life(Version::Installed);
}

#[test]
fn the_1_7_line() {
    life(Version::V1_7);
}

#[test]
fn the_2_line() {
    life(Version::V2);
}
