//! Plugins that are killed at any moment.

use std::time::Duration;

use serde_json::json;
use tests::containerd;
use tests::shellrt::Shellrt;

use super::{bytes, difference, image, listing, output, pull, references, World};

/// How often a plugin is killed.
const TIMES: u32 = 60;

#[test]
fn whenever_a_pull_is_killed_the_next_one_succeeds() {
    let options = containerd::Options {
        collects_at_once: true,
        ..Default::default()
    };
    let Some(world) = Shellrt::start_with(options).and_then(World::over) else {
        return;
    };
    let reference = world.push(&image(&[700_000, 200_000, 1_500_000]), "app");
    world.shellrt.pull(&reference);
    let whole = listing(&world.shellrt.containerd);
    let remove = json!({"_type": "img_remove", "image": reference});
    world.shellrt.ok(&remove);
    // Moments that look random and are the same each time.
    let moments = bytes(2 * TIMES as usize, 7);
    let mut killed = 0;
    for moment in moments.chunks(2) {
        let wait = u64::from(moment[0]) * 256 + u64::from(moment[1]);
        let mut open = world.shellrt.open(&pull(&reference));
        std::thread::sleep(Duration::from_micros(wait * 6));
        let _ = open.child.kill();
        let status = open.child.wait().unwrap();
        killed += u32::from(status.code().is_none());
        if moment[0] % 4 == 0 {
            // Nobody goes on with it.
            world.shellrt.ask(&remove);
            world
                .shellrt
                .ok(&json!({"_type": "prune", "older_than": 0}));
            assert_eq!(listing(&world.shellrt.containerd), [""; 0]);
            continue;
        }
        let answer = world.shellrt.ask(&pull(&reference));
        assert_eq!(answer.object["_status"], "ok", "{answer:?}");
        let now = listing(&world.shellrt.containerd);
        assert_eq!(difference(&whole, &now), [""; 0]);
        let mut open = world.shellrt.open(&remove);
        std::thread::sleep(Duration::from_micros(wait / 4));
        let _ = open.child.kill();
        open.child.wait().unwrap();
        let answer = world.shellrt.ask(&remove).object;
        let is_removed = answer["_status"] == "ok" || answer["code"] == 8;
        assert!(is_removed, "{answer:?}");
        assert_eq!(references(&world.shellrt), [""; 0]);
        world.shellrt.ok(&json!({"_type": "prune"}));
        assert_eq!(listing(&world.shellrt.containerd), [""; 0]);
    }
    assert!(killed > TIMES / 3, "{killed}");
    world.shellrt.pull(&reference);
    assert_eq!(output(&world.shellrt, &reference, "echo hello"), "hello\n");
}
