//! Side by side with `ctr`.

use serde_json::json;
use tests::containerd::{self, Containerd, Version};
use tests::image::{self, busybox, push_index, Compression, Format, Image};
use tests::registry::Registry;
use tests::shellrt::Shellrt;

use super::{difference, image, listing, noise, output, references, way, World};

/// Images of every kind, and their references.
fn all_kinds(registry: &Registry) -> Vec<String> {
    let layers = |format, compression| {
        Image::new(format)
            .layer(busybox(), compression)
            .layer(noise(300_000, 1), compression)
            .layer(noise(300_000, 1), compression)
    };
    let amd = layers(Format::Oci, Compression::Gzip).build();
    let arm = Image::busybox().platform("linux/s390x").build();
    push_index(registry, "index", "1", &[&arm, &amd], true);
    layers(Format::Docker, Compression::Gzip).push(registry, "docker", "1");
    layers(Format::Oci, Compression::None).push(registry, "plain", "1");
    layers(Format::Oci, Compression::Zstd).push(registry, "zstd", "1");
    Image::new(Format::Oci).push(registry, "empty", "1");
    let names = ["index", "docker", "plain", "zstd", "empty"];
    let reference = |name| format!("{}/{name}:1", registry.host());
    names.map(reference).to_vec()
}

fn ctr_pull(containerd: &Containerd, image: &str) {
    containerd.ctr(&["images", "pull", "--plain-http", image]);
}

fn pulls_are_the_same(version: Version) {
    let options = containerd::Options {
        version,
        ..Default::default()
    };
    let Some(world) = Shellrt::start_with(options.clone()).and_then(World::over) else {
        return;
    };
    // The store of each image is compared with a daemon that has nothing else.
    for reference in all_kinds(&world.registry) {
        let Some(other) = Containerd::start_with(options.clone()) else {
            return;
        };
        ctr_pull(&other, &reference);
        world.shellrt.pull(&reference);
        let difference = difference(&listing(&other), &listing(&world.shellrt.containerd));
        assert_eq!(difference, [""; 0], "{reference}");
        world
            .shellrt
            .ok(&json!({"_type": "img_remove", "image": reference}));
        let nothing: [&str; 0] = [];
        assert_eq!(listing(&world.shellrt.containerd), nothing);
    }
}

#[test]
fn ctr_and_shellrt_leave_the_same() {
    pulls_are_the_same(Version::Installed);
}

#[test]
fn ctr_and_shellrt_leave_the_same_in_containerd_1_7() {
    pulls_are_the_same(Version::V1_7);
}

#[test]
fn labels_of_repositories_are_gathered_as_ctr_does() {
    let (Some(world), Some(other)) = (World::start(), Containerd::start()) else {
        return;
    };
    let image = image(&[1000]);
    for name in ["b", "a", "c"] {
        image.push(&world.registry, name, "1");
        let reference = format!("{}/{name}:1", world.registry.host());
        world.shellrt.pull(&reference);
        ctr_pull(&other, &reference);
    }
    // Layers that are unpacked are not looked at again, so only the documents are alike.
    let of = |containerd: &Containerd| {
        let lines = listing(containerd).into_iter();
        lines
            .filter(|line| line.starts_with("content") && line.contains("gc.ref"))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&world.shellrt.containerd), of(&other));
    assert!(world
        .shellrt
        .containerd
        .ctr(&["content", "ls"])
        .contains("distribution.source.127.0.0.1=a,b,c"));
}

#[test]
fn what_ctr_pulled_needs_no_second_download() {
    let Some(world) = World::start() else {
        return;
    };
    let reference = world.push(&image(&[100_000]), "app");
    ctr_pull(&world.shellrt.containerd, &reference);
    let blobs = world.proxy.seen("/blobs/").len();
    let all = world.proxy.seen("").len();
    assert_eq!(references(&world.shellrt), [reference.as_str()]);
    let request = |policy| json!({"_type": "img_pull", "image": reference, "policy": policy});
    let missing = world.shellrt.ok(&request("missing"));
    assert_eq!(missing["unpack"], "cached");
    assert_eq!(missing["bytes_fetched"], 0);
    assert_eq!(world.proxy.seen("").len(), all, "nobody was asked");
    for policy in ["if_reachable", "always"] {
        let asked = world.proxy.seen("").len();
        let answer = world.shellrt.ok(&request(policy));
        assert_eq!(answer["unpack"], "cached");
        assert_eq!(answer["bytes_fetched"], 0);
        assert_eq!(world.proxy.seen("").len(), asked + 1, "the manifest alone");
    }
    assert_eq!(world.proxy.seen("/blobs/").len(), blobs);
    assert_eq!(output(&world.shellrt, &reference, "echo hello"), "hello\n");
}

#[test]
fn what_ctr_only_fetched_is_unpacked_without_the_registry() {
    let Some(world) = World::start() else {
        return;
    };
    let reference = world.push(&image(&[100_000]), "app");
    let containerd = &world.shellrt.containerd;
    containerd.ctr(&["content", "fetch", "--plain-http", &reference]);
    assert!(!listing(containerd)
        .iter()
        .any(|line| line.starts_with("snapshots")));
    let World {
        shellrt,
        registry,
        proxy,
    } = world;
    drop((registry, proxy));
    let request = |policy| json!({"_type": "img_pull", "image": reference, "policy": policy});
    let answer = shellrt.ok(&request("if_reachable"));
    assert_eq!(answer["unpack"], way());
    assert_eq!(answer["bytes_fetched"], 0);
    assert!(answer["warning"].as_str().unwrap().contains("unreachable"));
    let answer = shellrt.ok(&request("missing"));
    assert_eq!(answer["unpack"], "cached");
    assert_eq!(output(&shellrt, &reference, "echo hello"), "hello\n");
}

#[test]
fn what_only_ctr_fetched_is_unpacked_when_a_module_is_made() {
    let Some(world) = World::start() else {
        return;
    };
    let reference = world.push(&image(&[1000]), "app");
    let containerd = &world.shellrt.containerd;
    containerd.ctr(&["content", "fetch", "--plain-http", &reference]);
    assert_eq!(output(&world.shellrt, &reference, "echo hello"), "hello\n");
    // The image keeps its snapshots beyond the module's lease.
    containerd.ctr(&["content", "prune", "references"]);
    let answer = world
        .shellrt
        .ok(&json!({"_type": "img_pull", "image": reference, "policy": "missing"}));
    assert_eq!(answer["unpack"], "cached");
}

#[test]
fn ctr_runs_and_removes_what_was_pulled_here() {
    let Some(world) = World::start() else {
        return;
    };
    let reference = world.push(&image(&[100_000]), "app");
    world.shellrt.pull(&reference);
    let containerd = &world.shellrt.containerd;
    let seen = world.proxy.seen("").len();
    let run = ["run", "--rm", &reference, "test-run", "echo", "hello"];
    assert_eq!(containerd.ctr(&run), "hello\n");
    ctr_pull(containerd, &reference);
    let fetched = world.proxy.seen("").split_off(seen);
    assert!(
        fetched.iter().all(|seen| !seen.path.contains("/blobs/")),
        "{fetched:?}"
    );
    let archive = world.shellrt.files().join("image.tar");
    containerd.ctr(&["images", "export", archive.to_str().unwrap(), &reference]);
    containerd.ctr(&["images", "rm", "--sync", &reference]);
    let nothing: [&str; 0] = [];
    assert_eq!(listing(containerd), nothing);
    assert_eq!(references(&world.shellrt), nothing);
}

#[test]
fn another_namespace_has_the_bytes_already() {
    let Some(mut world) = World::start() else {
        return;
    };
    let reference = world.push(&image(&[500_000]), "app");
    world.shellrt.pull(&reference);
    let blobs = world.proxy.bytes("/blobs/");
    let name = "CONTAINERD_NAMESPACE".to_owned();
    world.shellrt.environment.push((name, Some("other".into())));
    let answer = world.shellrt.pull(&reference);
    let built = image(&[500_000]).build();
    assert_eq!(answer["bytes_fetched"], built.config.len());
    assert_eq!(answer["bytes_resumed"], 0);
    assert_eq!(answer["unpack"], way());
    let config = built.config.len() as u64;
    assert_eq!(world.proxy.bytes("/blobs/"), blobs + config);
}

#[test]
fn whiteouts_and_hard_links_are_what_they_were() {
    let Some(world) = World::start() else {
        return;
    };
    let first = busybox()
        .dir("d", 0o755)
        .file("d/gone", 0o644, b"1")
        .file("d/stays", 0o644, b"2")
        .dir("o", 0o755)
        .file("o/old", 0o644, b"3")
        .file("one", 0o644, b"4")
        .hard_link("two", "one");
    let second = image::Layer::new()
        .whiteout("d/gone")
        .opaque("o")
        .file("o/new", 0o600, b"5")
        .owner(7, 8);
    let image = Image::new(Format::Oci)
        .layer(first, Compression::Gzip)
        .layer(second, Compression::Zstd);
    let reference = world.push(&image, "app");
    world.shellrt.pull(&reference);
    let script = "ls d o; stat -c '%h %s' one two; stat -c '%u %g %a' o/new";
    assert_eq!(
        output(&world.shellrt, &reference, script),
        "d:\nstays\n\no:\nnew\n2 1\n2 1\n7 8 600\n"
    );
}
