//! What a module and its plugin may do.

use serde_json::json;
use tests::wasm::{until, Wasm};

use crate::is_root;

#[test]
fn it_works_without_any_rights() {
    if !is_root() {
        return;
    }
    let wasm = Wasm::of_nobody();
    let guest = wasm.files().join("lines.wat");
    let text = std::fs::read(wasm.guest("lines").strip_prefix("file:").unwrap()).unwrap();
    std::fs::write(&guest, text).unwrap();
    wasm.create("a", &format!("file:{}", guest.display()), json!({}));
    wasm.module("start", "a");
    assert_eq!(wasm.module("wait", "a")["exit_code"], 0);
    assert!(!wasm.logs("a").is_empty());
    wasm.module("remove", "a");
    // A directory of root's is none of this user's.
    std::os::unix::fs::chown(wasm.root(), Some(0), Some(0)).unwrap();
    assert_eq!(wasm.err(&json!({"_type": "list"})), 18);
}

#[test]
fn processors_are_limited_by_a_cgroup() {
    if !is_root() {
        return;
    }
    let wasm = Wasm::new();
    wasm.create("a", &wasm.guest("spin"), json!({"cpus": 0.1}));
    wasm.module("start", "a");
    let top = wasm.module("top", "a");
    let pid = wasm.module("status", "a")["pid"].as_u64().unwrap();
    let membership = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let line = membership
        .lines()
        .find(|line| line.contains("/shellrt/"))
        .expect("a cgroup");
    let path = line.rsplit(':').next().unwrap().to_owned();
    // A program that never rests gets a tenth of the time, give or take one period of 100 ms.
    let used = |top: &serde_json::Value| top["cpu_ns"].as_u64().unwrap();
    let (begin, before) = (std::time::Instant::now(), used(&top));
    std::thread::sleep(std::time::Duration::from_secs(2));
    let spent = used(&wasm.module("top", "a")) - before;
    let share = spent as f64 / begin.elapsed().as_nanos() as f64;
    assert!(share < 0.2, "{share} of a processor");
    wasm.ok(&json!({"_type": "remove", "name": "a", "force": true}));
    let gone = || {
        let roots = [
            "/sys/fs/cgroup",
            "/sys/fs/cgroup/cpu",
            "/sys/fs/cgroup/unified",
        ];
        roots
            .iter()
            .all(|root| !std::path::Path::new(&format!("{root}{path}")).exists())
    };
    until("the cgroup is gone", gone);
}

#[test]
fn a_limit_that_nothing_enforces_is_refused() {
    if !is_root() {
        return;
    }
    let wasm = Wasm::without_cgroups();
    let image = wasm.guest("spin");
    wasm.ok(&json!({"_type": "img_pull", "image": image}));
    let config = json!({"image": image, "cpus": 0.5});
    let create = json!({"_type": "create", "name": "a", "config_type": "wasm", "config": config});
    let answer = wasm.ask(&create);
    assert_eq!(answer.object["code"], 4, "{answer:?}");
    assert_eq!(
        answer.object["detail"]["path"], "/config/cpus",
        "{answer:?}"
    );
    assert_eq!(wasm.ok(&json!({"_type": "list"}))["modules"], json!([]));
}
