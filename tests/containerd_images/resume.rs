//! Networks that break, and pulls that go on where others were.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{json, Value};
use tests::plugin::until;
use tests::registry::digest;
use tests::registry::proxy::Fault;

use super::{blob, image, listing, output, pull, references, refused, World};

/// An image with one large layer, its reference, and that layer's bytes.
fn large(world: &World, size: usize) -> (String, Vec<u8>) {
    let image = image(&[size]);
    let layer = image.build().layers.pop().unwrap();
    (world.push(&image, "app"), layer)
}

/// The blobs of which containerd has a part: their names there, and how much.
fn partials(world: &World) -> Vec<(String, u64)> {
    let folder = "root/io.containerd.content.v1.content/ingest";
    let folder = world.shellrt.containerd.folder().join(folder);
    let ingests = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let partial = |folder: std::path::PathBuf| {
        let name = std::fs::read_to_string(folder.join("ref")).unwrap_or_default();
        let data = std::fs::metadata(folder.join("data")).ok()?;
        Some((name, data.len()))
    };
    ingests.filter_map(|entry| partial(entry.path())).collect()
}

/// How much containerd has of blobs that are not whole.
fn partial(world: &World) -> u64 {
    partials(world).iter().map(|(_, size)| size).sum()
}

/// Waits until a pull stands at so many bytes of the large layer, and the one below it is whole.
fn until_stalled(world: &World, at: u64) {
    until("so much is there", || partial(world) == at);
    let below = digest(&image(&[]).build().layers[0]);
    until("the layer below is whole", || {
        let stored = world.shellrt.containerd.ctr(&["content", "ls", "-q"]);
        stored.lines().any(|line| line == below)
    });
}

/// What is left of a pull is the lease with what it holds, and no image.
fn assert_broken(world: &World) {
    assert_eq!(references(&world.shellrt), [""; 0]);
    let listing = listing(&world.shellrt.containerd);
    let leases = listing.iter().filter(|line| line.starts_with("leases"));
    assert_eq!(leases.count(), 1, "{listing:?}");
}

/// The second pull goes on where the first one was, and nothing is left of either.
fn assert_resumed(world: &World, reference: &str, layer: &[u8], at: u64) -> Value {
    let answer = world.shellrt.pull(reference);
    assert_eq!(answer["bytes_resumed"].as_u64().unwrap(), at, "{answer}");
    // Not one byte came twice.
    assert_eq!(world.proxy.bytes(&blob(layer)), layer.len() as u64);
    assert_eq!(output(&world.shellrt, reference, "echo hello"), "hello\n");
    let listing = listing(&world.shellrt.containerd);
    assert!(!listing.iter().any(|line| line.starts_with("leases")));
    assert_eq!(partial(world), 0);
    answer
}

#[test]
fn a_killed_pull_goes_on_where_it_was() {
    let Some(world) = World::start() else {
        return;
    };
    let (reference, layer) = large(&world, 3_000_000);
    world.proxy.fault(&blob(&layer), Fault::Stall(2_000_000), 1);
    let mut open = world.shellrt.open(&pull(&reference));
    until_stalled(&world, 2_000_000);
    open.child.kill().unwrap();
    open.child.wait().unwrap();
    assert_broken(&world);
    // What nobody holds is collected, and what the lease holds stays.
    world
        .shellrt
        .containerd
        .ctr(&["content", "prune", "references"]);
    // busybox came whole, and the other layer in part.
    let built = image(&[3_000_000]).build();
    let busybox = built.layers[0].len() as u64;
    let answer = assert_resumed(&world, &reference, &layer, 2_000_000 + busybox);
    let fetched = layer.len() - 2_000_000;
    assert_eq!(answer["bytes_fetched"], fetched);
    let total = layer.len() + built.layers[0].len() + built.config.len();
    assert_eq!(answer["bytes_total"], total);
}

#[test]
fn a_pull_goes_on_when_the_daemon_was_killed() {
    let Some(mut world) = World::start() else {
        return;
    };
    let (reference, layer) = large(&world, 3_000_000);
    world.proxy.fault(&blob(&layer), Fault::Stall(2_000_000), 1);
    let open = world.shellrt.open(&pull(&reference));
    until_stalled(&world, 2_000_000);
    world.shellrt.containerd.kill();
    drop(open.stdin);
    drop(open.stdout);
    let mut child = open.child;
    until("the plugin ended", || child.try_wait().unwrap().is_some());
    assert_eq!(world.shellrt.err(&pull(&reference)), 16);
    world.shellrt.containerd.start_again();
    let busybox = image(&[]).build().layers[0].len() as u64;
    assert_resumed(&world, &reference, &layer, 2_000_000 + busybox);
}

#[test]
fn a_deadline_ends_a_pull_and_keeps_what_came() {
    let Some(world) = World::start() else {
        return;
    };
    let (reference, layer) = large(&world, 3_000_000);
    world.proxy.fault(&blob(&layer), Fault::Stall(2_000_000), 1);
    let request = json!({"_type": "img_pull", "image": reference, "_deadline_ms": 2500});
    let begun = Instant::now();
    let answer = world.shellrt.ask(&request);
    assert_eq!(answer.object["code"], 20, "{answer:?}");
    assert_eq!(answer.object["detail"]["retryable"], true);
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert_broken(&world);
    let busybox = image(&[]).build().layers[0].len() as u64;
    assert_resumed(&world, &reference, &layer, 2_000_000 + busybox);
}

#[test]
fn a_layer_that_was_cut_off_is_finished_in_the_same_pull() {
    let Some(world) = World::start() else {
        return;
    };
    let (reference, layer) = large(&world, 3_000_000);
    world.proxy.fault(&blob(&layer), Fault::Cut(600_000), 1);
    world
        .proxy
        .fault("/manifests/", Fault::Status(503, "x", "y"), 1);
    world
        .proxy
        .fault("/manifests/", Fault::Status(429, "retry-after", "1"), 1);
    let answer = world.shellrt.pull(&reference);
    assert_eq!(answer["bytes_fetched"], answer["bytes_total"]);
    assert_eq!(world.proxy.bytes(&blob(&layer)), layer.len() as u64);
    assert_eq!(output(&world.shellrt, &reference, "echo hello"), "hello\n");
}

#[test]
fn a_layer_that_was_changed_on_the_way_is_refused() {
    let Some(world) = World::start() else {
        return;
    };
    let (reference, layer) = large(&world, 3_000_000);
    world
        .proxy
        .fault(&blob(&layer), Fault::Corrupt(2_000_000), 1);
    let (code, message) = refused(&world.shellrt, &reference);
    assert_eq!(code, 14, "{message}");
    assert!(message.contains(&digest(&layer)), "{message}");
    assert_broken(&world);
    // The layer below may have been on its way.
    let mut left = partials(&world);
    left.retain(|(name, _)| name.ends_with(&digest(&layer)));
    assert_eq!(left, [], "the wrong bytes are of no use");
    world.shellrt.pull(&reference);
    assert_eq!(output(&world.shellrt, &reference, "echo hello"), "hello\n");
}

#[test]
fn a_resumed_layer_that_is_wrong_is_fetched_once_more() {
    let Some(world) = World::start() else {
        return;
    };
    let (reference, layer) = large(&world, 3_000_000);
    let halt = || {
        world.proxy.fault(&blob(&layer), Fault::Stall(2_000_000), 1);
        let mut open = world.shellrt.open(&pull(&reference));
        until_stalled(&world, 2_000_000);
        open.child.kill().unwrap();
        open.child.wait().unwrap();
        // As after a power loss: what had come is not what is on the disk.
        let folder = "root/io.containerd.content.v1.content/ingest";
        let folder = world.shellrt.containerd.folder().join(folder);
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let data = entry.path().join("data");
            let mut bytes = std::fs::read(&data).unwrap();
            bytes[1_000_000..1_004_096].fill(0);
            std::fs::write(&data, bytes).unwrap();
        }
    };
    halt();
    let answer = world.shellrt.pull(&reference);
    let built = image(&[3_000_000]).build();
    // None of the layer's bytes were of use.
    assert_eq!(answer["bytes_resumed"], built.layers[0].len());
    assert_eq!(
        answer["bytes_fetched"],
        layer.len() - 2_000_000 + layer.len()
    );
    assert_eq!(output(&world.shellrt, &reference, "echo hello"), "hello\n");
    world
        .shellrt
        .ok(&json!({"_type": "img_remove", "image": reference}));
    // The second time it is the registry's fault.
    halt();
    world.proxy.fault(&blob(&layer), Fault::Cut(100_000), 1);
    world.proxy.fault(&blob(&layer), Fault::Corrupt(500_000), 3);
    let (code, message) = refused(&world.shellrt, &reference);
    assert_eq!(code, 14, "{message}");
    assert_eq!(references(&world.shellrt), [""; 0]);
}

#[test]
fn registries_that_send_whole_layers_only_are_coped_with() {
    let Some(world) = World::start() else {
        return;
    };
    let (reference, layer) = large(&world, 3_000_000);
    world.proxy.fault(&blob(&layer), Fault::Cut(2_000_000), 1);
    world.proxy.fault(&blob(&layer), Fault::WholeOnly, 9);
    world.shellrt.pull(&reference);
    assert_eq!(output(&world.shellrt, &reference, "echo hello"), "hello\n");
}

#[test]
fn what_a_slow_line_brought_is_not_lost() {
    let Some(world) = World::start() else {
        return;
    };
    let (reference, layer) = large(&world, 400_000);
    // Less than what is handed on at once, and nothing more comes.
    world.proxy.fault(&blob(&layer), Fault::Stall(50_000), 1);
    let mut open = world.shellrt.open(&pull(&reference));
    until_stalled(&world, 50_000);
    open.child.kill().unwrap();
    open.child.wait().unwrap();
    let busybox = image(&[]).build().layers[0].len() as u64;
    assert_resumed(&world, &reference, &layer, 50_000 + busybox);
}

#[test]
fn a_lease_whose_time_is_over_is_replaced() {
    let Some(mut world) = World::start() else {
        return;
    };
    let (reference, layer) = large(&world, 3_000_000);
    let halt = |world: &World, bytes, all| {
        world.proxy.fault(&blob(&layer), Fault::Stall(bytes), 1);
        let mut open = world.shellrt.open(&pull(&reference));
        until_stalled(world, all);
        open.child.kill().unwrap();
        open.child.wait().unwrap();
    };
    // The end of the only lease.
    let end = |world: &World| -> String {
        let listed = world.shellrt.containerd.ctr(&["leases", "ls"]);
        assert!(listed.contains("\nshellrt-pull-"), "{listed}");
        assert_eq!(listed.lines().count(), 2, "{listed}");
        let end = listed.split("containerd.io/gc.expire=").nth(1).unwrap();
        end.split([',', ' ', '\n']).next().unwrap().to_owned()
    };
    halt(&world, 2_000_000, 2_000_000);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let week = now.as_secs() + 7 * DAY;
    let first = end(&world);
    assert!(seconds(&first).abs_diff(week) < 120, "{first}");
    // As if most of the week were over: the lease ends in an hour.
    let soon = date(now.as_secs() + 3600);
    world.shellrt.containerd.stop();
    let records = "root/io.containerd.metadata.v1.bolt/meta.db";
    let records = world.shellrt.containerd.folder().join(records);
    let mut bytes = std::fs::read(&records).unwrap();
    let places: Vec<usize> = bytes
        .windows(first.len())
        .enumerate()
        .filter_map(|(at, text)| (text == first.as_bytes()).then_some(at))
        .collect();
    for at in places {
        bytes[at..at + soon.len()].copy_from_slice(soon.as_bytes());
    }
    std::fs::write(&records, bytes).unwrap();
    world.shellrt.containerd.start_again();
    assert_eq!(end(&world), soon);
    halt(&world, 500_000, 2_500_000);
    let second = end(&world);
    assert!(seconds(&second).abs_diff(week) < 120, "{second}");
    let busybox = image(&[]).build().layers[0].len() as u64;
    assert_resumed(&world, &reference, &layer, 2_500_000 + busybox);
}

const DAY: u64 = 24 * 60 * 60;

/// A time as RFC 3339 has it, in seconds since the epoch.
fn seconds(time: &str) -> u64 {
    let date = Command::new("date")
        .args(["-u", "-d", time, "+%s"])
        .output()
        .unwrap();
    String::from_utf8(date.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// The time so many seconds after the epoch, as RFC 3339 has it.
fn date(seconds: u64) -> String {
    let date = Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(date.stdout).unwrap().trim().to_owned()
}

#[test]
fn ctr_and_shellrt_share_what_they_fetch() {
    let Some(world) = World::start() else {
        return;
    };
    let (reference, layer) = large(&world, 3_000_000);
    world.proxy.fault(&blob(&layer), Fault::Stall(2_000_000), 1);
    let arguments = ["images", "pull", "--plain-http", &reference];
    let mut ctr = world
        .shellrt
        .containerd
        .ctr_command(&arguments)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // It writes a mebibyte at once.
    let ctr_has = 1 << 20;
    until("one mebibyte is there", || partial(&world) == ctr_has);
    // It waits for the other one.
    let open = world.shellrt.open(&pull(&reference));
    let manifests = || world.proxy.seen("/manifests/").len();
    until("it has asked for the manifest", || manifests() >= 3);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(world.proxy.seen(&blob(&layer)).len(), 1);
    ctr.kill().unwrap();
    ctr.wait().unwrap();
    let answer = open.finish().object;
    assert_eq!(answer["_status"], "ok", "{answer:?}");
    let range = format!("bytes={ctr_has}-{}", layer.len() - 1);
    assert_eq!(world.proxy.seen(&blob(&layer))[1].range, range);
    assert_eq!(output(&world.shellrt, &reference, "echo hello"), "hello\n");
}

#[test]
fn what_the_disk_has_lost_is_fetched_again() {
    let Some(world) = World::start() else {
        return;
    };
    let image = image(&[100_000]);
    let built = image.build();
    let reference = world.push(&image, "app");
    let blobs = [
        &built.layers[1],
        &built.layers[0],
        &built.config,
        &built.manifest,
    ];
    for policy in ["always", "missing"] {
        for (number, lost) in blobs.into_iter().enumerate() {
            let containerd = &world.shellrt.containerd;
            containerd.ctr(&["content", "fetch", "--plain-http", &reference]);
            let digest = digest(lost);
            let blobs = "root/io.containerd.content.v1.content/blobs/sha256";
            let file = digest.trim_start_matches("sha256:");
            let file = containerd.folder().join(blobs).join(file);
            // After a power loss a file may be empty, or missing.
            match number % 2 {
                0 => std::fs::write(&file, b"").unwrap(),
                _ => std::fs::remove_file(&file).unwrap(),
            }
            let asked = world.proxy.seen("/blobs/").len();
            let request = json!({"_type": "img_pull", "image": reference, "policy": policy});
            world.shellrt.ok(&request);
            let again = world.proxy.seen("/blobs/").split_off(asked);
            let again: Vec<_> = again.iter().map(|seen| seen.path.as_str()).collect();
            let is_blob = number < 3;
            assert_eq!(again.len(), usize::from(is_blob), "{number}: {again:?}");
            assert!(!is_blob || again[0].ends_with(&digest));
            assert_eq!(output(&world.shellrt, &reference, "echo hello"), "hello\n");
            world
                .shellrt
                .ok(&json!({"_type": "img_remove", "image": reference}));
            assert_eq!(listing(&world.shellrt.containerd), [""; 0]);
        }
    }
}
