//! What a pull says while it goes on.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tests::registry::proxy::{Fault, Proxy};
use tests::registry::{digest, Options, Registry};
use tests::wasm::{until, Wasm};

use super::{assert_no_image, exit_code, files, guest, padded, pull, references};

/// Runs a command that is the plugin with one request.
pub fn run(mut command: Command, request: &Value) -> Value {
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(request.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn lines(stream: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stream).unwrap();
    assert!(text.ends_with('\n'), "{text:?}");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn pull_with_progress(wasm: &Wasm, image: &str) -> Vec<Value> {
    let answer = wasm.ask(&json!({"_type": "img_pull", "image": image, "progress": true}));
    assert_eq!(answer.object["_status"], "ok", "{answer:?}");
    assert_eq!(answer.status, 0);
    lines(&answer.stream.unwrap())
}

#[test]
fn a_pull_tells_how_far_it_is() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let wasm = Wasm::new();
    let program = padded(guest("exit_7"), 500_000);
    let expected = registry.push_layer("app", "v1", &program);
    let image = format!("{}/app:v1", registry.host());
    let lines = pull_with_progress(&wasm, &image);
    let (last, layers) = lines.split_last().unwrap();
    assert_eq!(last["event"], "done");
    assert_eq!(last["digest"], expected);
    assert_eq!(last["bytes_fetched"], last["bytes_total"]);
    let mut at = 0;
    for line in layers.iter().filter(|line| line["phase"] == "download") {
        assert_eq!(line["event"], "layer");
        assert_eq!(line["digest"], digest(&program));
        assert_eq!(line["total"], program.len());
        let current = line["current"].as_u64().unwrap();
        assert!(current >= at, "{lines:?}");
        at = current;
    }
    assert_eq!(at, program.len() as u64);
    let unpacked: Vec<_> = layers
        .iter()
        .filter(|line| line["phase"] == "unpack")
        .collect();
    assert_eq!(unpacked.first().unwrap()["current"], 0);
    assert_eq!(unpacked.last().unwrap()["current"], program.len());
    let again = pull_with_progress(&wasm, &image);
    assert_eq!(again[0]["phase"], "exists");
    assert_eq!(again.last().unwrap()["event"], "done");
    assert_eq!(again.last().unwrap()["unpack"], "cached");
    assert_eq!(exit_code(&wasm, &image), 7);
}

#[test]
fn errors_stand_where_they_belong() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let wasm = Wasm::new();
    let missing = format!("{}/app:v1", registry.host());
    let lines = pull_with_progress(&wasm, &missing);
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
        let answer = wasm.ask(&request);
        assert_eq!(answer.object["_status"], "err", "{answer:?}");
        assert_eq!(answer.stream, None);
    }
    assert_no_image(&wasm);
}

#[test]
fn a_reader_that_goes_away_ends_the_pull_and_keeps_what_came() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let program = padded(guest("exit_7"), 3_000_000);
    registry.push_layer("app", "v1", &program);
    for progress in [false, true] {
        let proxy = Proxy::start(registry.host());
        let blob = format!("/blobs/{}", digest(&program));
        proxy.fault(&blob, Fault::Stall(2_000_000), 1);
        let wasm = Wasm::new();
        let image = format!("{}/app:v1", proxy.host());
        let request = json!({"_type": "img_pull", "image": image, "progress": progress});
        let mut open = wasm.open(&request);
        // With progress a reader must read, or nothing begins.
        if progress {
            open.object();
        }
        until("the download stands still", || {
            proxy.bytes(&blob) == 2_000_000
        });
        let tests::wasm::Open {
            mut child,
            stdin,
            stdout,
        } = open;
        drop((stdin, stdout));
        let begun = Instant::now();
        until("the plugin ended", || child.try_wait().unwrap().is_some());
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(references(&wasm), Vec::<String>::new());
        let partial = format!("downloads/{}.partial", digest(&program).replace(':', "-"));
        assert_eq!(files(&wasm, "downloads"), [partial]);
        assert_eq!(pull(&wasm, &image)["bytes_resumed"], 2_000_000);
        assert_eq!(files(&wasm, "downloads"), Vec::<String>::new());
    }
}
