//! Removing images, and what broken requests left.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::{json, Value};
use tests::registry::proxy::{Fault, Proxy};
use tests::registry::{Options, Registry};
use tests::wasm::{until, Wasm};

use super::{assert_no_image, exit_code, files, guest, padded, pull, references};

/// A file with a program, as a reference.
fn program(wasm: &Wasm, name: &str, guest_name: &str) -> String {
    let path = wasm.files().join(name);
    std::fs::write(&path, guest(guest_name)).unwrap();
    format!("file:{}", path.display())
}

fn remove(wasm: &Wasm, image: &str, force: bool) -> Value {
    let answer = wasm.ask(&json!({"_type": "img_remove", "image": image, "force": force}));
    Value::Object(answer.object)
}

#[test]
fn images_are_listed_by_reference() {
    let wasm = Wasm::new();
    assert_eq!(wasm.ok(&json!({"_type": "img_list"}))["images"], json!([]));
    let before = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let (b, a) = (program(&wasm, "b", "exit_7"), program(&wasm, "a", "exit_0"));
    let digest = pull(&wasm, &b)["digest"].clone();
    pull(&wasm, &a);
    assert_eq!(references(&wasm), [a, b.clone()]);
    let image = wasm.ok(&json!({"_type": "img_list"}))["images"][1].clone();
    assert_eq!(image["digest"], digest);
    assert_eq!(image["size"], guest("exit_7").len());
    let created = image["created_at"].as_i64().unwrap();
    assert!(created >= i64::try_from(before.as_nanos()).unwrap());
    // When it was pulled first.
    pull(&wasm, &b);
    assert_eq!(
        wasm.ok(&json!({"_type": "img_list"}))["images"][1]["created_at"],
        created
    );
}

#[test]
fn an_image_that_is_not_used_is_removed_with_its_program() {
    let wasm = Wasm::new();
    let image = program(&wasm, "a", "exit_7");
    assert_eq!(remove(&wasm, &image, false)["code"], 8);
    assert_eq!(remove(&wasm, "hello", false)["code"], 8);
    assert_eq!(remove(&wasm, "a b", false)["code"], 10);
    pull(&wasm, &image);
    // By another spelling, and when the file is gone.
    std::fs::remove_file(wasm.files().join("a")).unwrap();
    let spelling = format!("file:/{}", wasm.files().join(".//a").display());
    assert_eq!(remove(&wasm, &spelling, false)["_status"], "ok");
    assert_no_image(&wasm);
    assert_eq!(remove(&wasm, &image, true)["code"], 8);
}

#[test]
fn an_image_in_use_stays_unless_it_is_forced() {
    let wasm = Wasm::new();
    let image = program(&wasm, "a", "exit_7");
    wasm.create("one", &image, json!({}));
    wasm.create("two", &image, json!({}));
    let answer = remove(&wasm, &image, false);
    assert_eq!(answer["code"], 9);
    assert!(
        answer["message"].as_str().unwrap().contains("one, two"),
        "{answer}"
    );
    assert_eq!(references(&wasm), std::slice::from_ref(&image));
    assert_eq!(remove(&wasm, &image, true)["_status"], "ok");
    assert_eq!(references(&wasm), Vec::<String>::new());
    // Modules keep their program until they go.
    wasm.module("start", "one");
    assert_eq!(wasm.module("wait", "one")["exit_code"], 7);
    wasm.module("remove", "one");
    assert_ne!(files(&wasm, "programs"), Vec::<String>::new());
    wasm.module("remove", "two");
    assert_no_image(&wasm);
}

#[test]
fn a_program_of_two_images_goes_with_the_last() {
    let wasm = Wasm::new();
    let (a, b) = (program(&wasm, "a", "exit_7"), program(&wasm, "b", "exit_7"));
    pull(&wasm, &a);
    assert_eq!(pull(&wasm, &b)["unpack"], "cached");
    assert_eq!(remove(&wasm, &a, false)["_status"], "ok");
    assert_eq!(exit_code(&wasm, &b), 7);
    assert_eq!(remove(&wasm, &b, false)["_status"], "ok");
    assert_no_image(&wasm);
}

#[test]
fn a_damaged_record_can_be_removed_and_pulled_again() {
    let wasm = Wasm::new();
    let image = program(&wasm, "a", "exit_7");
    pull(&wasm, &image);
    let record = wasm.root().join(&files(&wasm, "images")[0]);
    std::fs::write(&record, "{").unwrap();
    assert_eq!(wasm.err(&json!({"_type": "img_list"})), 17);
    pull(&wasm, &image);
    assert_eq!(exit_code(&wasm, &image), 7);
    std::fs::write(&record, "{").unwrap();
    assert_eq!(remove(&wasm, &image, false)["_status"], "ok");
    assert_no_image(&wasm);
}

fn age(path: PathBuf, seconds: u64) {
    let time = SystemTime::now() - Duration::from_secs(seconds);
    File::open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn prune_removes_what_nobody_uses() {
    let wasm = Wasm::new();
    let (used, unused) = (program(&wasm, "a", "exit_7"), program(&wasm, "b", "exit_0"));
    wasm.create("m", &used, json!({}));
    pull(&wasm, &unused);
    let prune = |request: Value| {
        let mut request = request;
        request["_type"] = json!("prune");
        wasm.ok(&request)
    };
    let nothing = json!({"_version": "0.1.0", "_status": "ok", "images": [], "bytes": 0});
    assert_eq!(prune(json!({})), nothing);
    let kept = wasm.state_files();
    for (file, size) in [
        ("downloads/sha256-00.partial", 1000),
        ("downloads/1-0.tmp", 200),
        ("downloads/sha256-11", 30),
        ("images/x.1.tmp", 4),
    ] {
        std::fs::write(wasm.root().join(file), vec![0; size]).unwrap();
    }
    let program = files(&wasm, "programs")[0].clone();
    let program = PathBuf::from(program).parent().unwrap().to_owned();
    std::fs::write(wasm.root().join(&program).join("1.2.3-x.cwasm"), [0; 50000]).unwrap();
    let orphan = wasm.root().join("programs").join("0".repeat(64));
    std::fs::create_dir(&orphan).unwrap();
    std::fs::write(orphan.join("program.wasm"), [0; 600_000]).unwrap();
    // Without an age, what a pull may go on with stays for a week.
    assert_eq!(prune(json!({})), nothing);
    assert_eq!(prune(json!({"older_than": 3600})), nothing);
    age(wasm.root().join("downloads/sha256-11"), 7200);
    assert_eq!(prune(json!({"older_than": 3600}))["bytes"], 30);
    assert_eq!(
        prune(json!({"older_than": 0}))["bytes"],
        1000 + 200 + 4 + 50_000 + 600_000
    );
    assert_eq!(wasm.state_files(), kept);
    assert_eq!(prune(json!({"images": true, "older_than": 3600})), nothing);
    let answer = prune(json!({"images": true}));
    assert_eq!(answer["images"], json!([unused]));
    assert!(
        answer["bytes"].as_u64().unwrap() > guest("exit_0").len() as u64,
        "{answer}"
    );
    assert_eq!(references(&wasm), std::slice::from_ref(&used));
    wasm.module("start", "m");
    assert_eq!(wasm.module("wait", "m")["exit_code"], 7);
    wasm.module("remove", "m");
    assert_eq!(prune(json!({"images": true}))["images"], json!([used]));
    assert_no_image(&wasm);
}

#[test]
fn prune_leaves_a_running_pull_alone_and_a_pull_removes_what_is_old() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let program = padded(guest("exit_7"), 1_000_000);
    registry.push_layer("app", "v1", &program);
    let proxy = Proxy::start(registry.host());
    let blob = format!("/blobs/{}", tests::registry::digest(&program));
    proxy.fault(&blob, Fault::Stall(500_000), 1);
    let wasm = Wasm::new();
    let image = format!("{}/app:v1", proxy.host());
    let mut open = wasm.open(&json!({"_type": "img_pull", "image": image}));
    until("the download stands still", || {
        proxy.bytes(&blob) == 500_000
    });
    let downloads = files(&wasm, "downloads");
    let old = wasm.root().join("downloads/sha256-00.partial");
    std::fs::write(&old, [0; 1000]).unwrap();
    assert_eq!(
        wasm.ok(&json!({"_type": "prune", "older_than": 0}))["bytes"],
        1000
    );
    assert_eq!(files(&wasm, "downloads"), downloads);
    open.child.kill().unwrap();
    open.child.wait().unwrap();
    for name in ["sha256-00.partial", "1-0.tmp", "sha256-11"] {
        std::fs::write(wasm.root().join("downloads").join(name), [0; 1000]).unwrap();
        age(wasm.root().join("downloads").join(name), 8 * 24 * 60 * 60);
    }
    std::fs::write(wasm.root().join("downloads/sha256-22.partial"), [0; 1000]).unwrap();
    assert_eq!(pull(&wasm, &image)["bytes_resumed"], 500_000);
    assert_eq!(files(&wasm, "downloads"), ["downloads/sha256-22.partial"]);
}
