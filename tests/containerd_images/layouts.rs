//! Documents, platforms and kinds of layers, and what is refused.

use serde_json::{json, Value};
use tests::image::{busybox, push_index, Built, Compression, Format, Image};
use tests::registry::{descriptor, digest, manifest};

use super::{image, listing, noise, output, references, refused, way, World};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[test]
fn every_kind_of_layer_is_unpacked() {
    let Some(world) = World::start() else {
        return;
    };
    for (format, compression, name) in [
        (Format::Oci, Compression::Gzip, "a"),
        (Format::Oci, Compression::Zstd, "b"),
        (Format::Oci, Compression::None, "c"),
        (Format::Docker, Compression::Gzip, "d"),
        (Format::Docker, Compression::Zstd, "e"),
        (Format::Docker, Compression::None, "f"),
    ] {
        // Another file each, so that nothing is here already.
        let seed = u32::from(name.as_bytes()[0]);
        let layer = busybox().file("seed", 0o644, name.as_bytes());
        let image = Image::new(format)
            .layer(layer, compression)
            .layer(noise(10_000, seed), compression)
            .config(json!({"Env": ["A=b"]}));
        let built = image.build();
        let reference = world.push(&image, name);
        let answer = world.shellrt.pull(&reference);
        assert_eq!(answer["digest"], built.digest());
        assert_eq!(answer["image_id"], built.id());
        let total: usize = built.layers.iter().map(Vec::len).sum::<usize>() + built.config.len();
        assert_eq!(answer["bytes_total"], total);
        assert_eq!(answer["bytes_fetched"], total);
        assert_eq!(answer["bytes_resumed"], 0);
        assert_eq!(answer["unpack"], way());
        assert_eq!(answer.get("warning"), None);
        let script = "cat seed; echo; echo $A; wc -c < noise-$(printf %d \"'$(cat seed)\")";
        assert_eq!(
            output(&world.shellrt, &reference, script),
            format!("{name}\nb\n10000\n")
        );
    }
}

fn built(platform: &str, seed: u32) -> Built {
    let image = Image::busybox().platform(platform);
    image.layer(noise(1000, seed), Compression::Gzip).build()
}

#[test]
fn the_platform_that_is_wanted_is_taken() {
    let Some(world) = World::start() else {
        return;
    };
    let images = [
        built("linux/arm/v6", 1),
        built("linux/arm/v7", 2),
        built("linux/arm64/v8", 3),
        built("linux/amd64", 4),
        built("linux/riscv64", 5),
    ];
    let all: Vec<&Built> = images.iter().collect();
    let index = push_index(&world.registry, "multi", "1", &all, true);
    let reference = format!("{}/multi:1", world.proxy.host());
    for (wanted, number, taken) in [
        ("linux/arm/v7", 1, "linux/arm/v7"),
        ("linux/arm/v6", 0, "linux/arm/v6"),
        ("linux/arm/v8", 1, "linux/arm/v7"),
        ("linux/arm64", 2, "linux/arm64/v8"),
        ("linux/x86_64", 3, "linux/amd64"),
        ("linux/amd64/v3", 3, "linux/amd64"),
    ] {
        let request = json!({"_type": "img_pull", "image": reference, "platform": wanted});
        let answer = world.shellrt.ok(&request);
        assert_eq!(answer["digest"], index);
        assert_eq!(answer["image_id"], images[number].id(), "{wanted}");
        assert_eq!(answer["platform"], taken, "{wanted}");
        let again = world.shellrt.ok(&request);
        assert_eq!(again["unpack"], "cached", "{wanted}");
        assert_eq!(again["image_id"], images[number].id(), "{wanted}");
    }
    // Only those that were asked for came.
    let wanted = |image: &Built| world.proxy.seen(&super::blob(&image.config)).len();
    assert_eq!(
        images.iter().map(wanted).collect::<Vec<_>>(),
        [1, 1, 1, 1, 0]
    );
    let request = json!({"_type": "img_pull", "image": reference, "platform": "linux/s390x"});
    let answer = world.shellrt.ask(&request).object;
    assert_eq!(answer["code"], 15);
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("linux/riscv64") && !message.contains("unknown"));
    let request = json!({"_type": "img_pull", "image": reference, "platform": "linux"});
    assert_eq!(world.shellrt.err(&request), 2);
    assert_eq!(references(&world.shellrt), [reference]);
}

#[test]
fn an_image_for_another_machine_is_refused_unless_it_was_asked_for() {
    let Some(world) = World::start() else {
        return;
    };
    let foreign = Image::busybox().platform("linux/s390x");
    let reference = world.push(&foreign, "foreign");
    let (code, message) = refused(&world.shellrt, &reference);
    assert_eq!(code, 15, "{message}");
    assert!(message.contains("linux/s390x"), "{message}");
    assert_eq!(references(&world.shellrt), [""; 0]);
    let request = json!({"_type": "img_pull", "image": reference, "platform": "linux/s390x"});
    assert_eq!(world.shellrt.ok(&request)["platform"], "linux/s390x");
    // It is here, but not for this machine.
    let request = json!({
        "_type": "create", "name": "a", "config_type": "containerd", "config": {"image": reference},
    });
    assert_eq!(world.shellrt.err(&request), 15);
    let request = json!({"_type": "img_pull", "image": reference, "policy": "missing"});
    assert_eq!(world.shellrt.err(&request), 15, "the registry has no other");
}

#[test]
fn indexes_may_hold_indexes_and_leave_platforms_out() {
    let Some(world) = World::start() else {
        return;
    };
    let image = image(&[1000]).build();
    image.push(&world.registry, "nested", "image");
    let mut entry = image.entry.clone();
    entry.as_object_mut().unwrap().remove("platform");
    let inner = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    let inner = inner.to_string().into_bytes();
    world.registry.push("nested", "inner", &inner, &[]);
    let outer = json!({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(INDEX, &inner)],
    });
    let outer = outer.to_string().into_bytes();
    world.registry.push("nested", "1", &outer, &[]);
    let reference = format!("{}/nested:1", world.proxy.host());
    let answer = world.shellrt.pull(&reference);
    assert_eq!(answer["digest"], digest(&outer));
    assert_eq!(answer["image_id"], image.id());
    let listing = listing(&world.shellrt.containerd);
    assert!(listing.iter().any(|line| {
        line.contains(&digest(&outer)) && line.contains(&format!("content.0={}", digest(&inner)))
    }));
    assert_eq!(world.shellrt.pull(&reference)["unpack"], "cached");
    assert_eq!(output(&world.shellrt, &reference, "echo hello"), "hello\n");
}

#[test]
fn documents_inside_others_are_not_fetched() {
    let Some(world) = World::start() else {
        return;
    };
    let image = image(&[1000]).inline();
    let built = image.build();
    let reference = world.push(&image, "app");
    let answer = world.shellrt.pull(&reference);
    assert_eq!(answer["image_id"], built.id());
    assert_eq!(world.proxy.seen(&super::blob(&built.config)).len(), 0);
    assert_eq!(output(&world.shellrt, &reference, "echo hello"), "hello\n");
}

#[test]
fn an_image_may_be_named_by_its_digest() {
    let Some(world) = World::start() else {
        return;
    };
    let image = image(&[1000]);
    world.push(&image, "app");
    let pinned = format!("{}/app@{}", world.proxy.host(), image.build().digest());
    assert_eq!(
        world.shellrt.pull(&pinned)["digest"],
        image.build().digest()
    );
    assert_eq!(references(&world.shellrt), [pinned.as_str()]);
    assert_eq!(output(&world.shellrt, &pinned, "echo hello"), "hello\n");
    let both = format!("{}/app:1@{}", world.proxy.host(), image.build().digest());
    assert_eq!(world.shellrt.pull(&both)["unpack"], "cached");
    let wrong = format!("{}/app@{}", world.proxy.host(), digest(b"another"));
    assert_eq!(refused(&world.shellrt, &wrong).0, 12);
}

/// A config with its type, a layer with its type, and what is said of them.
type Case<'a> = (&'a str, &'a [u8], &'a str, &'a [u8], &'a str);

#[test]
fn what_is_no_image_is_refused() {
    let Some(world) = World::start() else {
        return;
    };
    const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
    let layer = busybox().tar();
    let config = |config: Value| {
        let mut whole = json!({"os": "linux", "architecture": std::env::consts::ARCH});
        whole["rootfs"] = config;
        whole.to_string().into_bytes()
    };
    let good = config(json!({"type": "layers", "diff_ids": [digest(&layer)]}));
    let packed: &[u8] = b"\x1f\x8b this is not gzip at all";
    let broken = config(json!({"type": "layers", "diff_ids": [digest(packed)]}));
    let none = config(json!({"type": "layers", "diff_ids": []}));
    let gzip = format!("{TAR}+gzip");
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let cases: [Case; 8] = [
        (
            "application/vnd.oci.empty.v1+json",
            b"{}",
            "text/plain",
            b"text",
            "no container image",
        ),
        (
            CONFIG,
            &good,
            "application/wasm",
            b"wasm",
            "application/wasm",
        ),
        (CONFIG, &good, foreign, b"foreign", "distributed"),
        (CONFIG, b"{", TAR, &layer, "can't be read"),
        (
            CONFIG,
            &none,
            TAR,
            &layer,
            "1 layers, and its config says 0",
        ),
        (CONFIG, &broken, &gzip, packed, "can't be unpacked"),
        (CONFIG, &broken, TAR, &layer, "unpacks to"),
        (
            CONFIG,
            &good,
            &format!("{TAR}+gzip+encrypted"),
            &layer,
            "none that can be unpacked",
        ),
    ];
    for (number, (kind, config, layer_kind, layer, words)) in cases.into_iter().enumerate() {
        let manifest = manifest((kind, config), &[(layer_kind, layer)]);
        let name = format!("bad-{number}");
        world.registry.push(&name, "1", &manifest, &[config, layer]);
        let reference = format!("{}/{name}:1", world.proxy.host());
        let (code, message) = refused(&world.shellrt, &reference);
        assert_eq!(code, 14, "{number}: {message}");
        assert!(message.contains(words), "{number}: {message}");
    }
    assert_eq!(references(&world.shellrt), [""; 0]);
    world
        .shellrt
        .ok(&json!({"_type": "prune", "older_than": 0}));
    assert_eq!(listing(&world.shellrt.containerd), [""; 0]);
}

#[test]
fn names_are_understood_as_everywhere() {
    let Some(world) = World::start() else {
        return;
    };
    for wrong in [
        "",
        "A",
        "a b",
        "../x",
        "a:b:c",
        "https://x/y",
        "a@sha256:12",
    ] {
        assert_eq!(refused(&world.shellrt, wrong).0, 10, "{wrong:?}");
    }
    // Docker Hub has two names; an image of it may have come by another way than a registry.
    let reference = world.push(&image(&[]), "app");
    world.shellrt.pull(&reference);
    let containerd = &world.shellrt.containerd;
    containerd.ctr(&["images", "tag", &reference, "docker.io/library/app:1"]);
    for name in [
        "app:1",
        "library/app:1",
        "registry-1.docker.io/library/app:1",
    ] {
        let request = json!({"_type": "img_pull", "image": name, "policy": "missing"});
        assert_eq!(world.shellrt.ok(&request)["unpack"], "cached", "{name}");
        assert_eq!(output(&world.shellrt, name, "echo hello"), "hello\n");
    }
    let request = json!({"_type": "img_remove", "image": "registry-1.docker.io/library/app:1"});
    world.shellrt.ok(&request);
    assert_eq!(references(&world.shellrt), [reference]);
}

#[test]
fn a_client_that_knows_only_v0_gets_what_it_knows() {
    let Some(world) = World::start() else {
        return;
    };
    let reference = world.push(&image(&[1000]), "app");
    let request = json!({
        "_version": "0.1.0", "_type": "img_pull", "image": reference, "credentials": {},
    });
    let answer = world.shellrt.ask(&request);
    assert_eq!(answer.object["_version"], "0.1.0");
    assert_eq!(answer.object["_status"], "ok");
    assert_eq!(answer.stream, None);
    assert_eq!(answer.status, 0);
    let request = json!({"_version": "0.1.0", "_type": "img_remove", "image": reference});
    let answer = world.shellrt.ok(&request);
    assert_eq!(answer, json!({"_version": "0.1.0", "_status": "ok"}));
}
