//! A registry that fails, and a pull that goes on.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::registry::proxy::{Fault, Proxy};
use tests::registry::{digest, manifest, Options, Registry, PASSWORD, USER};
use tests::wasm::{until, Wasm};

use super::{
    assert_no_image, exit_code, files, guest, padded, pull, push_index, references, refused,
};

/// A registry behind a proxy, with a program of this many bytes more as `app:v1`.
fn setup(size: usize) -> Option<(Registry, Proxy, Vec<u8>, String)> {
    let registry = Registry::start(&Options::default())?;
    let proxy = Proxy::start(registry.host());
    let program = padded(guest("exit_7"), size);
    registry.push_layer("app", "v1", &program);
    let image = format!("{}/app:v1", proxy.host());
    Some((registry, proxy, program, image))
}

fn blob(bytes: &[u8]) -> String {
    format!("/blobs/{}", digest(bytes))
}

#[test]
fn a_second_pull_asks_for_the_manifest_alone() {
    let Some((registry, proxy, program, image)) = setup(100_000) else {
        return;
    };
    let wasm = Wasm::new();
    let first = pull(&wasm, &image);
    let config = br#"{"architecture":"wasm","os":"wasip1"}"#;
    let total = config.len() + program.len();
    assert_eq!(first["bytes_total"], total);
    assert_eq!(first["bytes_fetched"], total);
    assert_eq!(first["bytes_resumed"], 0);
    assert_eq!(first["unpack"], "compiled");
    assert_eq!(first["platform"], "wasip1/wasm");
    let blobs = proxy.seen("/blobs/").len();
    assert_eq!(blobs, 2);
    let second = pull(&wasm, &image);
    assert_eq!(second["digest"], first["digest"]);
    assert_eq!(second["bytes_total"], total);
    assert_eq!(second["bytes_fetched"], 0);
    assert_eq!(second["unpack"], "cached");
    assert_eq!(proxy.seen("/blobs/").len(), blobs);
    // Another tag of the same image, and an index that holds it, need no blob either.
    registry.push_layer("app", "v2", &program);
    let other = format!("{}/app:v2", proxy.host());
    assert_eq!(pull(&wasm, &other)["unpack"], "cached");
    let document = manifest((super::CNCF, config), &[(super::WASM, &program)]);
    push_index(&registry, "app", "v3", &[(&document, "wasip1/wasm")]);
    let index = format!("{}/app:v3", proxy.host());
    let answer = pull(&wasm, &index);
    assert_eq!(answer["unpack"], "cached");
    assert_ne!(answer["digest"], first["digest"]);
    assert_eq!(proxy.seen("/blobs/").len(), blobs);
    assert_eq!(references(&wasm), [image, other, index.clone()]);
    assert_eq!(exit_code(&wasm, &index), 7);
    assert_eq!(files(&wasm, "downloads"), Vec::<String>::new());
}

#[test]
fn a_tag_that_moves_is_followed_and_modules_stay_what_they_are() {
    let Some((registry, _proxy, _, image)) = setup(0) else {
        return;
    };
    let wasm = Wasm::new();
    let first = pull(&wasm, &image);
    wasm.create("old", &image, json!({}));
    registry.push_layer("app", "v1", &guest("exit_0"));
    let second = pull(&wasm, &image);
    assert_ne!(first["digest"], second["digest"]);
    assert_eq!(second["unpack"], "compiled");
    assert_eq!(exit_code(&wasm, &image), 0);
    wasm.module("start", "old");
    assert_eq!(wasm.module("wait", "old")["exit_code"], 7);
    let programs = || {
        let all = files(&wasm, "programs").into_iter();
        all.filter(|file| file.ends_with("program.wasm")).count()
    };
    assert_eq!(programs(), 2);
    wasm.module("remove", "old");
    assert_eq!(programs(), 1);
    assert_eq!(references(&wasm), [image]);
}

#[test]
fn what_the_registry_says_has_its_code() {
    let Some((_registry, proxy, _, image)) = setup(0) else {
        return;
    };
    let wasm = Wasm::new();
    let missing = format!("{}/app:v9", proxy.host());
    assert_eq!(refused(&wasm, &missing).0, 12);
    let missing = format!("{}/other:v1", proxy.host());
    assert_eq!(refused(&wasm, &missing).0, 12);
    assert_no_image(&wasm);
    proxy.fault("/manifests/", Fault::Status(429, "retry-after", "1"), 1);
    proxy.fault("/blobs/", Fault::Status(503, "x", "y"), 1);
    pull(&wasm, &image);
    assert_eq!(exit_code(&wasm, &image), 7);
}

#[test]
fn passwords_are_needed_where_they_are_needed() {
    let options = Options {
        password: true,
        ..Options::default()
    };
    let Some(registry) = Registry::start(&options) else {
        return;
    };
    let wasm = Wasm::new();
    registry.push_layer("app", "v1", &guest("exit_7"));
    let image = format!("{}/app:v1", registry.host());
    let ask = |credentials| {
        let request = json!({"_type": "img_pull", "image": image, "credentials": credentials});
        wasm.ask(&request).object
    };
    assert_eq!(ask(json!({}))["code"], 11);
    let wrong = ask(json!({"username": USER, "password": "hunter2"}));
    assert_eq!(wrong["code"], 11);
    assert!(!format!("{wrong:?}").contains("hunter2"));
    assert_eq!(ask(json!({"username": USER}))["code"], 2);
    assert_eq!(
        ask(json!({"username": USER, "password": PASSWORD}))["_status"],
        "ok"
    );
    assert_eq!(exit_code(&wasm, &image), 7);
    for file in wasm.state_files() {
        let bytes = std::fs::read(wasm.root().join(&file)).unwrap();
        assert!(
            !String::from_utf8_lossy(&bytes).contains(PASSWORD),
            "{file}"
        );
    }
}

#[test]
fn a_layer_that_was_changed_on_the_way_is_refused() {
    let Some((_registry, proxy, program, image)) = setup(100_000) else {
        return;
    };
    let wasm = Wasm::new();
    proxy.fault(&blob(&program), Fault::Corrupt(70_000), 1);
    let (code, message) = refused(&wasm, &image);
    assert_eq!(code, 14, "{message}");
    assert_no_image(&wasm);
    pull(&wasm, &image);
    assert_eq!(exit_code(&wasm, &image), 7);
}

#[test]
fn a_killed_pull_goes_on_where_it_was() {
    let Some((_registry, proxy, program, image)) = setup(3_000_000) else {
        return;
    };
    let wasm = Wasm::new();
    proxy.fault(&blob(&program), Fault::Stall(2_000_000), 1);
    let mut open = wasm.open(&json!({"_type": "img_pull", "image": image}));
    let partial = || {
        let dir = wasm.root().join("downloads");
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let partials =
            entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "partial"));
        partials
            .map(|entry| entry.metadata().map_or(0, |found| found.len()))
            .sum::<u64>()
    };
    until("two megabytes are there", || partial() == 2_000_000);
    open.child.kill().unwrap();
    open.child.wait().unwrap();
    assert_eq!(references(&wasm), Vec::<String>::new());
    assert_eq!(proxy.bytes(&blob(&program)), 2_000_000);
    let answer = pull(&wasm, &image);
    assert_eq!(answer["bytes_resumed"], 2_000_000);
    let config = br#"{"architecture":"wasm","os":"wasip1"}"#.len();
    assert_eq!(answer["bytes_fetched"], program.len() - 2_000_000 + config);
    // Not one byte came twice.
    assert_eq!(proxy.bytes(&blob(&program)), program.len() as u64);
    assert_eq!(exit_code(&wasm, &image), 7);
    assert_eq!(files(&wasm, "downloads"), Vec::<String>::new());
}

#[test]
fn a_layer_that_was_cut_off_is_finished_in_the_same_pull() {
    let Some((_registry, proxy, program, image)) = setup(1_000_000) else {
        return;
    };
    let wasm = Wasm::new();
    proxy.fault(&blob(&program), Fault::Cut(600_000), 1);
    let answer = pull(&wasm, &image);
    assert_eq!(answer["bytes_fetched"], answer["bytes_total"]);
    assert_eq!(proxy.bytes(&blob(&program)), program.len() as u64);
    assert_eq!(exit_code(&wasm, &image), 7);
}

#[test]
fn a_deadline_ends_a_pull_and_keeps_what_came() {
    let Some((_registry, proxy, program, image)) = setup(3_000_000) else {
        return;
    };
    let wasm = Wasm::new();
    proxy.fault(&blob(&program), Fault::Stall(2_000_000), 1);
    let begun = Instant::now();
    let answer = wasm.ask(&json!({"_type": "img_pull", "image": image, "_deadline_ms": 1500}));
    assert_eq!(answer.object["code"], 20, "{answer:?}");
    assert_eq!(answer.object["detail"]["retryable"], true);
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    assert_no_image(&wasm);
    assert_eq!(pull(&wasm, &image)["bytes_resumed"], 2_000_000);
    assert_eq!(proxy.bytes(&blob(&program)), program.len() as u64);
}

#[test]
fn pulls_of_the_same_image_at_once_download_it_once() {
    let Some((_registry, proxy, program, image)) = setup(2_000_000) else {
        return;
    };
    let wasm = Wasm::new();
    let request = json!({"_type": "img_pull", "image": image});
    let open: Vec<_> = (0..6).map(|_| wasm.open(&request)).collect();
    for open in open {
        let answer = open.finish();
        assert_eq!(answer.object["_status"], "ok", "{answer:?}");
    }
    assert_eq!(proxy.bytes(&blob(&program)), program.len() as u64);
    assert_eq!(exit_code(&wasm, &image), 7);
    assert_eq!(files(&wasm, "downloads"), Vec::<String>::new());
}

#[test]
fn policies_say_when_the_registry_is_asked() {
    let Some((registry, proxy, _, image)) = setup(0) else {
        return;
    };
    let wasm = Wasm::new();
    let request = |policy: &str| json!({"_type": "img_pull", "image": image, "policy": policy});
    let answer = wasm.ok(&request("missing"));
    assert_eq!(answer["unpack"], "compiled");
    let asked = proxy.seen("").len();
    wasm.ok(&request("missing"));
    assert_eq!(proxy.seen("").len(), asked);
    let answer = wasm.ok(&request("if_reachable"));
    assert!(proxy.seen("").len() > asked);
    assert_eq!(answer.get("warning"), None);
    // It says no, which is something else than not answering.
    proxy.fault(
        "/manifests/",
        Fault::Status(401, "www-authenticate", "Basic realm=\"x\""),
        100,
    );
    assert_eq!(wasm.err(&request("if_reachable")), 11);
    drop((registry, proxy));
    let answer = wasm.ok(&request("if_reachable"));
    assert!(
        answer["warning"].as_str().unwrap().contains("unreachable"),
        "{answer}"
    );
    assert_eq!(answer["unpack"], "cached");
    assert_eq!(wasm.err(&request("always")), 13);
    assert_eq!(wasm.err(&request("sometimes")), 2);
    assert_eq!(exit_code(&wasm, &image), 7);
    wasm.ok(&json!({"_type": "img_remove", "image": image}));
    assert_eq!(wasm.err(&request("if_reachable")), 13);
}
