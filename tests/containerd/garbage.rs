//! A garbage collector that never rests: it runs after every change, and somebody asks for more of it
//! all the time. Whatever is not held at any moment is gone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use tests::containerd::Options;
use tests::image::{push_index, Compression, Image, Layer};
use tests::registry;
use tests::registry::Registry;
use tests::shellrt::Shellrt;

use super::{assert_nothing_left, remove, store};

#[test]
fn nothing_is_lost_while_garbage_is_collected_at_every_step() {
    let options = Options {
        collects_at_once: true,
        ..Options::default()
    };
    let Some(shellrt) = Shellrt::start_with(options) else {
        return;
    };
    let Some(registry) = Registry::start(&registry::Options::default()) else {
        return;
    };
    let mut image = Image::busybox();
    for (number, compression) in [Compression::None, Compression::Zstd, Compression::Gzip]
        .into_iter()
        .cycle()
        .take(6)
        .enumerate()
    {
        let path = format!("srv/{number}");
        let bytes = vec![number as u8; 300_000];
        image = image.layer(Layer::new().file(&path, 0o644, &bytes), compression);
    }
    push_index(&registry, "deep", "1", &[&image.build()], true);
    let reference = format!("{}/deep:1", registry.host());
    let first_day = store(&shellrt);
    let (done, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let lease = shellrt.containerd.ctr(&["leases", "create"]);
                let delete = ["leases", "delete", "--sync", lease.trim()];
                shellrt.containerd.ctr(&delete);
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        let life = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..3 {
                shellrt.pull(&reference);
                let checks = "ls /srv | wc -l; cat /srv/5 | wc -c; echo mine >> /srv/0";
                shellrt.run("a", &reference, checks, json!({}));
                let status = shellrt.module("wait", "a");
                assert_eq!(status["exit_code"], 0, "{status}");
                assert_eq!(shellrt.logs("a"), b"6\n300000\n");
                shellrt.module("restart", "a");
                assert_eq!(shellrt.module("wait", "a")["exit_code"], 0);
                remove(&shellrt, "a");
                shellrt.ok(&json!({"_type": "img_remove", "image": reference}));
            }
        }));
        done.store(true, Ordering::Relaxed);
        if let Err(failed) = life {
            std::panic::resume_unwind(failed);
        }
    });
    let rounds = rounds.into_inner();
    assert!(rounds > 10, "garbage was collected {rounds} times only");
    assert_nothing_left(&shellrt);
    assert_eq!(store(&shellrt), first_day);
}
