//! Removing, listing and pruning.

use serde_json::{json, Value};
use tests::image::push_index;
use tests::plugin::until;
use tests::registry::proxy::Fault;

use super::{blob, image, listing, output, pull, references, World};

fn remove(image: &str) -> Value {
    json!({"_type": "img_remove", "image": image})
}

#[test]
fn images_are_listed() {
    let Some(world) = World::start() else {
        return;
    };
    assert_eq!(references(&world.shellrt), [""; 0]);
    let (small, large) = (image(&[1000]), image(&[50_000]));
    let (b, a) = (world.push(&small, "b"), world.push(&large, "a"));
    let before = std::time::SystemTime::now();
    world.shellrt.pull(&b);
    world.shellrt.pull(&a);
    let answer = world.shellrt.ok(&json!({"_type": "img_list"}));
    let images = answer["images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    let before = before.duration_since(std::time::UNIX_EPOCH).unwrap();
    for (listed, (reference, image)) in images.iter().zip([(&a, &large), (&b, &small)]) {
        let built = image.build();
        assert_eq!(listed["reference"], **reference);
        assert_eq!(listed["digest"], built.digest());
        let layers: usize = built.layers.iter().map(Vec::len).sum();
        assert_eq!(listed["size"], layers + built.config.len());
        let created = listed["created_at"].as_i64().unwrap();
        assert!(created as u128 >= before.as_nanos());
    }
    // Pulling again changes nothing of that.
    world.shellrt.pull(&a);
    assert_eq!(world.shellrt.ok(&json!({"_type": "img_list"})), answer);
}

#[test]
fn a_removed_image_is_gone_with_all_that_nobody_needs() {
    let Some(world) = World::start() else {
        return;
    };
    let (a, b) = (
        world.push(&image(&[1000]), "a"),
        world.push(&image(&[1000, 2000]), "b"),
    );
    assert_eq!(world.shellrt.err(&remove(&a)), 8);
    world.shellrt.pull(&a);
    let alone = listing(&world.shellrt.containerd);
    world.shellrt.pull(&b);
    world.shellrt.ok(&remove(&b));
    assert_eq!(references(&world.shellrt), [a.as_str()]);
    // What both had stays; `b` is written on it as where it came from.
    let now = listing(&world.shellrt.containerd);
    assert_eq!(now.len(), alone.len());
    assert_eq!(output(&world.shellrt, &a, "echo hello"), "hello\n");
    assert_eq!(world.shellrt.err(&remove(&b)), 8);
    world.shellrt.ok(&remove(&a));
    assert_eq!(listing(&world.shellrt.containerd), [""; 0]);
    assert_eq!(world.shellrt.err(&remove("a b")), 10);
}

#[test]
fn an_image_that_a_module_uses_stays() {
    let Some(world) = World::start() else {
        return;
    };
    let reference = world.push(&image(&[1000]), "app");
    world.shellrt.create(
        "web",
        &reference,
        json!({"command": ["cat", "/noise-1"], "network": "none"}),
    );
    let answer = world.shellrt.ask(&remove(&reference)).object;
    assert_eq!(answer["code"], 9);
    assert!(answer["message"].as_str().unwrap().contains("web"));
    assert_eq!(references(&world.shellrt), [reference.as_str()]);
    let pruned = world.shellrt.ok(&json!({"_type": "prune", "images": true}));
    assert_eq!(pruned["images"], json!([]));
    world
        .shellrt
        .ok(&json!({"_type": "img_remove", "image": reference, "force": true}));
    assert_eq!(references(&world.shellrt), [""; 0]);
    // The module has what it needs.
    world.shellrt.module("start", "web");
    world.shellrt.module("wait", "web");
    assert_eq!(world.shellrt.logs("web"), super::bytes(1000, 1));
    world.shellrt.module("remove", "web");
    world.shellrt.ok(&json!({"_type": "prune"}));
    assert_eq!(listing(&world.shellrt.containerd), [""; 0]);
}

#[test]
fn names_that_mean_the_same_go_together() {
    let Some(world) = World::start() else {
        return;
    };
    let reference = world.push(&image(&[1000]), "app");
    world.shellrt.pull(&reference);
    let containerd = &world.shellrt.containerd;
    let digest = image(&[1000]).build().digest();
    let repository = format!("{}/app", world.proxy.host());
    let tag = |names: &[&str]| {
        for name in names {
            containerd.ctr(&["images", "tag", "--force", &reference, name]);
        }
    };
    let by_digest = format!("{repository}@{digest}");
    let both = format!("{repository}:1@{digest}");
    let second = format!("{repository}:2");
    // Another tag means the same, so the digest stays for that.
    tag(&[&by_digest, &both, &second, "docker.io/library/x:1"]);
    world.shellrt.ok(&remove(&reference));
    let mut left = vec![
        both.clone(),
        by_digest,
        second.clone(),
        "docker.io/library/x:1".into(),
    ];
    left.sort();
    assert_eq!(references(&world.shellrt), left);
    world.shellrt.ok(&remove(&both));
    world.shellrt.ok(&remove(&second));
    assert_eq!(references(&world.shellrt), ["docker.io/library/x:1"]);
    // Both names of Docker Hub.
    containerd.ctr(&[
        "images",
        "tag",
        "docker.io/library/x:1",
        "registry-1.docker.io/library/x:1",
    ]);
    world.shellrt.ok(&remove("x:1"));
    assert_eq!(listing(containerd), [""; 0]);
}

#[test]
fn a_tag_that_moves_is_followed_and_modules_stay_what_they_are() {
    let Some(world) = World::start() else {
        return;
    };
    let reference = world.push(&image(&[1000]), "app");
    let config = json!({"command": ["sh", "-c", "ls /noise-1"], "network": "none"});
    world.shellrt.create("old", &reference, config);
    world
        .shellrt
        .containerd
        .ctr(&["images", "label", &reference, "note=mine"]);
    let moved = tests::image::Image::busybox();
    moved.push(&world.registry, "app", "1");
    let answer = world.shellrt.pull(&reference);
    assert_eq!(answer["digest"], moved.build().digest());
    assert_eq!(
        answer["unpack"], "cached",
        "its only layer is the old one's lowest"
    );
    assert_eq!(
        output(
            &world.shellrt,
            &reference,
            "ls /noise-1 2>/dev/null || echo none"
        ),
        "none\n"
    );
    world.shellrt.module("start", "old");
    world.shellrt.module("wait", "old");
    assert_eq!(world.shellrt.logs("old"), b"/noise-1\n");
    world.shellrt.module("remove", "old");
    let images = world.shellrt.containerd.ctr(&["images", "ls"]);
    assert!(
        images.contains("note=mine"),
        "labels of others stay: {images}"
    );
    world.shellrt.ok(&json!({"_type": "prune"}));
    let snapshots = world.shellrt.containerd.ctr(&["snapshots", "ls"]);
    assert_eq!(snapshots.lines().count(), 2, "{snapshots}");
}

#[test]
fn prune_frees_what_it_says() {
    let Some(world) = World::start() else {
        return;
    };
    let layer = image(&[3_000_000]).build().layers.pop().unwrap();
    let reference = world.push(&image(&[3_000_000]), "app");
    world.shellrt.pull(&reference);
    // Pulled just now.
    let prune = |images: bool, older_than: Option<u64>| {
        let mut request = json!({"_type": "prune", "images": images});
        if let Some(age) = older_than {
            request["older_than"] = json!(age);
        }
        world.shellrt.ok(&request)
    };
    let nothing = json!({"_version": "0.1.0", "_status": "ok", "images": [], "bytes": 0});
    assert_eq!(prune(true, Some(3600)), nothing);
    assert_eq!(prune(false, Some(0)), nothing);
    assert_eq!(references(&world.shellrt), [reference.as_str()]);
    let pruned = prune(true, None);
    assert_eq!(pruned["images"], json!([reference]));
    // The blobs and what was unpacked of them.
    let built = image(&[3_000_000]).build();
    let blobs = built.manifest.len()
        + built.config.len()
        + built.layers.iter().map(Vec::len).sum::<usize>();
    let bytes = pruned["bytes"].as_u64().unwrap();
    assert!(bytes >= blobs as u64 + 3_000_000, "{bytes}");
    assert!(bytes < blobs as u64 + 3_000_000 + 4_000_000, "{bytes}");
    assert_eq!(listing(&world.shellrt.containerd), [""; 0]);

    // What a broken pull left stays for a week unless it is asked for.
    world.proxy.fault(&blob(&layer), Fault::Stall(2_000_000), 1);
    let mut open = world.shellrt.open(&pull(&reference));
    until("two megabytes came", || {
        world.proxy.bytes(&blob(&layer)) >= 5_000_000
    });
    std::thread::sleep(std::time::Duration::from_millis(1500));
    // It runs, so nothing is taken from it.
    prune(true, Some(0));
    assert!(listing(&world.shellrt.containerd)
        .iter()
        .any(|line| line.starts_with("leases")));
    open.child.kill().unwrap();
    open.child.wait().unwrap();
    assert_eq!(prune(true, None), nothing);
    assert_eq!(prune(true, Some(3600)), nothing);
    assert!(prune(false, Some(0))["bytes"].as_u64().unwrap() >= 2_000_000);
    assert_eq!(listing(&world.shellrt.containerd), [""; 0]);
}

#[test]
fn an_image_of_several_platforms_is_removed_whole() {
    let Some(world) = World::start() else {
        return;
    };
    let images = ["linux/amd64", "linux/arm64", "linux/arm/v7"]
        .map(|platform| tests::image::Image::busybox().platform(platform).build());
    let all: Vec<_> = images.iter().collect();
    push_index(&world.registry, "multi", "1", &all, false);
    let reference = format!("{}/multi:1", world.proxy.host());
    for platform in ["linux/amd64", "linux/arm/v7"] {
        let request = json!({"_type": "img_pull", "image": reference, "platform": platform});
        world.shellrt.ok(&request);
    }
    let list = world.shellrt.ok(&json!({"_type": "img_list"}));
    // All have the same layer.
    let layer = images[0].layers[0].len();
    let size = layer + images[0].config.len() + images[2].config.len();
    assert_eq!(list["images"][0]["size"], size);
    world.shellrt.ok(&remove(&reference));
    assert_eq!(listing(&world.shellrt.containerd), [""; 0]);
}
