//! Garbage collections at every moment, and many at once.

use serde_json::json;
use tests::containerd::{self, Version};
use tests::registry::proxy::Fault;
use tests::shellrt::Shellrt;

use super::{blob, image, listing, output, pull, way, World};

/// containerd collects its garbage after every change that anybody makes.
fn pulls_survive_every_collection(version: Version) {
    let options = containerd::Options {
        version,
        collects_at_once: true,
        ..containerd::Options::default()
    };
    let Some(world) = Shellrt::start_with(options).and_then(World::over) else {
        return;
    };
    let sizes = [200_000, 300_000, 300_000, 2_000_000];
    let reference = world.push(&image(&sizes), "app");
    let layer = image(&sizes).build().layers.pop().unwrap();
    for part in ["first", "second"] {
        world.proxy.fault(&blob(&layer), Fault::Cut(1_500_000), 1);
        let answer = world.shellrt.pull(&reference);
        assert_eq!(answer["unpack"], way(), "{part}");
        assert_eq!(answer["bytes_fetched"], answer["bytes_total"]);
        assert_eq!(output(&world.shellrt, &reference, "echo hello"), "hello\n");
        world
            .shellrt
            .ok(&json!({"_type": "img_remove", "image": reference}));
        assert_eq!(listing(&world.shellrt.containerd), [""; 0]);
    }
}

#[test]
fn a_pull_survives_a_collection_at_every_step() {
    pulls_survive_every_collection(Version::Installed);
}

#[test]
fn a_pull_survives_a_collection_at_every_step_in_containerd_1_7() {
    pulls_survive_every_collection(Version::V1_7);
}

#[test]
fn pulls_of_the_same_image_at_once_download_it_once() {
    let Some(world) = World::start() else {
        return;
    };
    let reference = world.push(&image(&[2_000_000, 100_000]), "app");
    let open: Vec<_> = (0..32)
        .map(|_| world.shellrt.open(&pull(&reference)))
        .collect();
    let mut unpacked = 0;
    for open in open {
        let answer = open.finish();
        assert_eq!(answer.object["_status"], "ok", "{answer:?}");
        unpacked += usize::from(answer.object["unpack"] == way());
    }
    assert_eq!(unpacked, 1);
    for layer in image(&[2_000_000, 100_000]).build().layers {
        assert_eq!(world.proxy.bytes(&blob(&layer)), layer.len() as u64);
    }
    assert_eq!(output(&world.shellrt, &reference, "echo hello"), "hello\n");
    let listing = listing(&world.shellrt.containerd);
    assert!(!listing.iter().any(|line| line.starts_with("leases")));
}

#[test]
fn pulls_of_images_that_share_layers_download_each_once() {
    let options = containerd::Options {
        collects_at_once: true,
        ..Default::default()
    };
    let Some(world) = Shellrt::start_with(options).and_then(World::over) else {
        return;
    };
    // Every one has the layers of those before it, and other people's locks are not ours: half of
    // the plugins have another state directory.
    let sizes = [400_000, 500_000, 600_000, 700_000, 800_000, 900_000];
    let references: Vec<String> = (1..=sizes.len())
        .map(|count| world.push(&image(&sizes[..count]), &format!("app-{count}")))
        .collect();
    let other = tempfile::tempdir().unwrap();
    let mut open = Vec::new();
    for (number, reference) in references.iter().cycle().take(18).enumerate() {
        let mut command = world.shellrt.command();
        if number % 2 == 1 {
            command.env("SHELLRT_CONTAINERD_ROOT", other.path());
        }
        let mut child = command.spawn().unwrap();
        let mut request = pull(reference);
        request["_version"] = json!("0.1.0");
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, request.to_string().as_bytes()).unwrap();
        open.push(child);
    }
    for child in open {
        let output = child.wait_with_output().unwrap();
        let answer = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(answer.contains("\"_status\":\"ok\""), "{answer} {error}");
    }
    for layer in image(&sizes).build().layers {
        assert_eq!(world.proxy.bytes(&blob(&layer)), layer.len() as u64);
    }
    for reference in &references {
        assert_eq!(output(&world.shellrt, reference, "echo hello"), "hello\n");
    }
    let listing = listing(&world.shellrt.containerd);
    assert!(
        !listing.iter().any(|line| line.starts_with("leases")),
        "{listing:?}"
    );
}
