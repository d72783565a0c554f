//! Many clients at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tests::wasm::{until, Wasm};

#[test]
fn a_hundred_modules_by_sixteen_clients() {
    let wasm = Wasm::new();
    let image = wasm.guest("forever");
    wasm.ok(&json!({"_type": "img_pull", "image": image}));
    let each = |work: &(dyn Fn(&str) + Sync)| {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= 100 {
                        return;
                    }
                    work(&format!("module-{number:03}"));
                });
            }
        });
    };
    each(&|name| {
        let config = json!({ "image": image });
        wasm.ok(&json!({"_type": "create", "name": name, "config_type": "wasm", "config": config}));
        wasm.module("start", name);
    });
    let list = wasm.ok(&json!({"_type": "list", "details": true}));
    let details = list["details"].as_object().unwrap();
    assert_eq!(details.len(), 100);
    assert!(details.values().all(|status| status["status"] == "running"));
    each(&|name| {
        wasm.ok(&json!({"_type": "remove", "name": name, "force": true}));
    });
    assert_eq!(wasm.ok(&json!({"_type": "list"}))["modules"], json!([]));
    until("nothing runs", || wasm.processes().is_empty());
    wasm.ok(&json!({"_type": "img_remove", "image": image}));
    wasm.ok(&json!({"_type": "prune"}));
    assert_eq!(wasm.state_files(), Vec::<String>::new());
}

#[test]
fn one_of_many_creates_wins_and_one_of_many_removes() {
    let wasm = Wasm::new();
    let image = wasm.guest("exit_0");
    wasm.ok(&json!({"_type": "img_pull", "image": image}));
    let all = |request: serde_json::Value| {
        let wasm = &wasm;
        let request = &request;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(move || wasm.ask(request)))
                .collect();
            let answers = threads.into_iter().map(|thread| thread.join().unwrap());
            let mut codes: Vec<u64> = answers
                .map(|answer| {
                    answer
                        .object
                        .get("code")
                        .map_or(0, |code| code.as_u64().unwrap())
                })
                .collect();
            codes.sort_unstable();
            codes
        })
    };
    for _ in 0..5 {
        let config = json!({ "image": image });
        let create =
            json!({"_type": "create", "name": "a", "config_type": "wasm", "config": config});
        assert_eq!(all(create), [0, 6, 6, 6, 6, 6, 6, 6]);
        assert_eq!(all(json!({"_type": "start", "name": "a"})), [0; 8]);
        wasm.module("wait", "a");
        assert_eq!(
            all(json!({"_type": "remove", "name": "a"})),
            [0, 5, 5, 5, 5, 5, 5, 5]
        );
    }
}
