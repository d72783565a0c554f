//! What a broken pull leaves and who may remove it, and what nobody may find out. How pulls go on is
//! the subject of `containerd_images.rs`.

use std::fs;
use std::path::Path;

use serde_json::{json, Value};
use tests::image::{Compression, Layer};
use tests::registry::proxy::{Fault, Proxy};
use tests::registry::{self, digest, Registry, PASSWORD, USER};
use tests::shellrt::Shellrt;

use super::{busybox, setup, store};

/// How much of images lies in the daemon, unfinished.
fn unfinished(shellrt: &Shellrt) -> u64 {
    let ingests = "root/io.containerd.content.v1.content/ingest";
    let ingests = fs::read_dir(shellrt.containerd.folder().join(ingests));
    let data = ingests.into_iter().flatten().flatten();
    data.map(|ingest| fs::metadata(ingest.path().join("data")).map_or(0, |data| data.len()))
        .sum()
}

#[test]
fn prune_of_everything_removes_a_broken_pull() {
    let Some((shellrt, registry, _)) = setup() else {
        return;
    };
    let proxy = Proxy::start(registry.host());
    let large = Layer::new().file("srv/large", 0o644, &vec![7; 3_000_000]);
    let built = busybox().layer(large, Compression::None).build();
    built.push(&registry, "large", "1");
    let image = format!("{}/large:1", proxy.host());
    let first_day = store(&shellrt);
    let blob = format!("/blobs/{}", digest(&built.layers[1]));
    proxy.fault(&blob, Fault::Stall(2_000_000), 1);
    let request = json!({"_type": "img_pull", "image": image, "_deadline_ms": 2000});
    assert_eq!(shellrt.err(&request), 20);
    assert!(unfinished(&shellrt) > 500_000);
    // Within the week it stays, even if all images go.
    shellrt.ok(&json!({"_type": "prune", "images": true}));
    assert!(unfinished(&shellrt) > 500_000);
    let answer = shellrt.ok(&json!({"_type": "prune", "older_than": 0}));
    assert!(answer["bytes"].as_u64().unwrap() > 500_000, "{answer}");
    assert_eq!(unfinished(&shellrt), 0);
    assert_eq!(store(&shellrt), first_day);
}

#[test]
fn a_registry_that_says_no_was_reached_and_no_password_is_kept() {
    let Some((shellrt, _registry, _)) = setup() else {
        return;
    };
    let options = registry::Options {
        password: true,
        ..registry::Options::default()
    };
    let Some(registry) = Registry::start(&options) else {
        return;
    };
    busybox().push(&registry, "app", "1");
    let image = format!("{}/app:1", registry.host());
    let ask = |credentials: Value| {
        let request = json!({
            "_type": "img_pull", "image": image, "credentials": credentials,
            "policy": "if_reachable",
        });
        shellrt.ask(&request).object
    };
    let right = || json!({"username": USER, "password": PASSWORD});
    assert_eq!(ask(json!({}))["code"], 11);
    let answer = ask(right());
    assert_eq!(answer["_status"], "ok", "{answer:?}");
    assert_eq!(
        ask(json!({"username": USER, "password": "hunter2"}))["code"],
        11
    );
    shellrt.create_only("a", &image, json!({"command": ["true"]}));
    shellrt.module("start", "a");
    assert_eq!(shellrt.module("wait", "a")["exit_code"], 0);
    assert_eq!(ask(right())["_status"], "ok");
    for folder in [shellrt.root(), shellrt.containerd.folder()] {
        assert_lacks(folder, PASSWORD);
    }
}

fn assert_lacks(folder: &Path, text: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            assert_lacks(&entry.path(), text);
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).unwrap_or_default();
            let found = bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes());
            assert!(!found, "{}", entry.path().display());
        }
    }
}
