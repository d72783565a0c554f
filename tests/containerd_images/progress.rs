//! Progress, and readers that go away.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tests::plugin::{until, Open};
use tests::registry::digest;
use tests::registry::proxy::Fault;

use super::{blob, image, listing, output, references, World};

fn lines(world: &World, image: &str) -> Vec<Value> {
    let request = json!({"_type": "img_pull", "image": image, "progress": true});
    let answer = world.shellrt.ask(&request);
    assert_eq!(answer.object["_status"], "ok", "{answer:?}");
    assert_eq!(answer.status, 0);
    let text = String::from_utf8(answer.stream.unwrap()).unwrap();
    assert!(text.ends_with('\n'), "{text:?}");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_pull_tells_how_far_each_layer_is() {
    let Some(world) = World::start() else {
        return;
    };
    let image = image(&[500_000, 700_000]);
    let built = image.build();
    let reference = world.push(&image, "app");
    let all = lines(&world, &reference);
    let (last, layers) = all.split_last().unwrap();
    assert_eq!(last["event"], "done");
    assert_eq!(last["digest"], built.digest());
    assert_eq!(last["bytes_fetched"], last["bytes_total"]);
    for bytes in &built.layers {
        let of = |phase: &str| -> Vec<u64> {
            let mine = layers
                .iter()
                .filter(|line| line["digest"] == digest(bytes) && line["phase"] == phase);
            mine.map(|line| {
                assert_eq!(line["event"], "layer");
                assert_eq!(line["total"], bytes.len());
                line["current"].as_u64().unwrap()
            })
            .collect()
        };
        let (download, unpack) = (of("download"), of("unpack"));
        assert_eq!(download.first(), Some(&0));
        assert_eq!(download.last(), Some(&(bytes.len() as u64)));
        assert!(download.is_sorted(), "{download:?}");
        assert_eq!(unpack, [0, bytes.len() as u64]);
    }
    let unpacked: Vec<_> = layers
        .iter()
        .filter(|line| line["phase"] == "unpack" && line["current"] == 0)
        .map(|line| line["digest"].clone())
        .collect();
    let expected: Vec<_> = built.layers.iter().map(|bytes| digest(bytes)).collect();
    assert_eq!(unpacked, expected, "from the lowest to the highest");

    let again = lines(&world, &reference);
    let (last, layers) = again.split_last().unwrap();
    assert_eq!(layers.len(), built.layers.len());
    assert!(layers.iter().all(|line| line["phase"] == "exists"));
    assert_eq!(last["unpack"], "cached");
    assert_eq!(output(&world.shellrt, &reference, "echo hello"), "hello\n");
}

#[test]
fn errors_stand_where_they_belong() {
    let Some(world) = World::start() else {
        return;
    };
    let missing = format!("{}/app:1", world.registry.host());
    let lines = lines(&world, &missing);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["event"], "error");
    assert_eq!(lines[0]["code"], 12);
    assert_eq!(lines[0]["detail"]["kind"], "registry_not_found");
    for request in [
        json!({"image": "a b"}),
        json!({"image": "a", "platform": "x"}),
        json!({"image": "a", "credentials": {"username": "u"}}),
    ] {
        let mut request = request;
        request["_type"] = json!("img_pull");
        request["progress"] = json!(true);
        let answer = world.shellrt.ask(&request);
        assert_eq!(answer.object["_status"], "err", "{answer:?}");
        assert_eq!(answer.stream, None);
    }
    assert_eq!(listing(&world.shellrt.containerd), [""; 0]);
}

#[test]
fn a_reader_that_goes_away_ends_the_pull_and_keeps_what_came() {
    let Some(world) = World::start() else {
        return;
    };
    for (progress, name) in [(false, "a"), (true, "b")] {
        let image = image(&[3_000_000 + name.len() + usize::from(progress)]);
        let layer = image.build().layers.pop().unwrap();
        let reference = world.push(&image, name);
        world.proxy.fault(&blob(&layer), Fault::Stall(2_000_000), 1);
        let request = json!({"_type": "img_pull", "image": reference, "progress": progress});
        let mut open = world.shellrt.open(&request);
        // With progress a reader must read, or nothing begins.
        if progress {
            open.object();
        }
        until("the download stands still", || {
            world.proxy.bytes(&blob(&layer)) == 2_000_000
        });
        // What has come waits half a second for more before it is handed on.
        std::thread::sleep(Duration::from_millis(1500));
        let Open {
            mut child,
            stdin,
            stdout,
        } = open;
        drop((stdin, stdout));
        let begun = Instant::now();
        until("the plugin ended", || child.try_wait().unwrap().is_some());
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(references(&world.shellrt).len(), usize::from(progress));
        let answer = world.shellrt.pull(&reference);
        assert!(
            answer["bytes_resumed"].as_u64().unwrap() >= 2_000_000,
            "{answer}"
        );
        assert_eq!(world.proxy.bytes(&blob(&layer)), layer.len() as u64);
    }
}

#[test]
fn a_full_disk_is_noticed_before_the_first_byte() {
    let Some(world) = World::start() else {
        return;
    };
    let reference = world.push(&image(&[8_000_000]), "app");
    // containerd's stores are on a small disk of their own.
    let mut world = world;
    let root = world.shellrt.containerd.folder().join("root");
    world.shellrt.containerd.stop();
    let mount = |arguments: &[&str]| {
        let status = Command::new(arguments[0]).args(&arguments[1..]).status();
        assert!(status.unwrap().success(), "{arguments:?}");
    };
    let path = root.to_str().unwrap();
    mount(&["mount", "-t", "tmpfs", "-o", "size=12m", "none", path]);
    world.shellrt.containerd.start_again();
    let answer = world
        .shellrt
        .ask(&json!({"_type": "img_pull", "image": reference}))
        .object;
    assert_eq!(answer["code"], 19, "{answer:?}");
    assert_eq!(answer["detail"]["retryable"], true);
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains(path), "{message}");
    let config = image(&[8_000_000]).build().config.len() as u64;
    assert_eq!(world.proxy.bytes("/blobs/"), config, "no layer was fetched");
    assert_eq!(references(&world.shellrt), [""; 0]);
    mount(&["mount", "-o", "remount,size=200m", path]);
    world.shellrt.pull(&reference);
    assert_eq!(references(&world.shellrt), [reference]);
    world.shellrt.containerd.stop();
    mount(&["umount", "-l", path]);
    world.shellrt.containerd.start_again();
}
