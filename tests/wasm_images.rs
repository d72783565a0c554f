//! Images of `shellrt-wasm`: every layout from a real registry, from directories and files, what
//! broken networks and killed plugins leave, and what is removed when.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::Path;

use serde_json::{json, Value};
use tests::registry::{descriptor, manifest, Registry};
use tests::wasm::Wasm;

/// Layouts in a registry, and what is refused.
#[path = "wasm_images/layouts.rs"]
mod layouts;

/// Directories and files.
#[path = "wasm_images/local.rs"]
mod local;

/// Registries that are found by their names.
#[path = "wasm_images/names.rs"]
mod names;

/// Registries and networks that break.
#[path = "wasm_images/network.rs"]
mod network;

/// Progress, and readers that go away.
#[path = "wasm_images/progress.rs"]
mod progress;

/// Removing, listing and pruning.
#[path = "wasm_images/removal.rs"]
mod removal;

const CNCF: &str = "application/vnd.wasm.config.v0+json";
const WASM: &str = "application/wasm";
const OCI: &str = "application/vnd.oci.image.config.v1+json";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A program of `tests/guests`, translated.
fn guest(name: &str) -> Vec<u8> {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("guests/{name}.wat"));
    wat::parse_file(text).unwrap()
}

/// A program with `size` bytes more, no two places of which look alike.
fn padded(mut program: Vec<u8>, size: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut payload = vec![1, b'x'];
    payload.extend((0..size).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    }));
    // A custom section: its number, its length in groups of seven bits, its name, anything.
    program.push(0);
    let mut length = payload.len();
    while length >= 0x80 {
        program.push(length as u8 & 0x7f | 0x80);
        length >>= 7;
    }
    program.push(length as u8);
    program.extend(payload);
    program
}

/// A component that exports `wasi:cli/run` and succeeds.
fn component() -> Vec<u8> {
    wat::parse_str(
        r#"(component
            (core module $code (func (export "run") (result i32) (i32.const 0)))
            (core instance $code (instantiate $code))
            (func $run (result (result)) (canon lift (core func $code "run")))
            (instance $interface (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $interface)))"#,
    )
    .unwrap()
}

/// A tar of files, each with its path.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The config of an image for `platform`, `os/architecture`.
fn config(platform: &str, config: Value) -> Vec<u8> {
    let (os, architecture) = platform.split_once('/').unwrap();
    let config = json!({"os": os, "architecture": architecture, "config": config});
    config.to_string().into_bytes()
}

/// Pushes an index over manifests that are there already, each with its platform.
fn push_index(registry: &Registry, name: &str, tag: &str, images: &[(&[u8], &str)]) -> String {
    let mut manifests = Vec::new();
    for (image, platform) in images {
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", image);
        if let Some((os, architecture)) = platform.split_once('/') {
            entry["platform"] = json!({"os": os, "architecture": architecture});
        }
        manifests.push(entry);
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    registry.push(name, tag, index.to_string().as_bytes(), &[])
}

/// Pulls.
fn pull(wasm: &Wasm, image: &str) -> Value {
    wasm.ok(&json!({"_type": "img_pull", "image": image}))
}

/// A pull that fails: its code and its message.
fn refused(wasm: &Wasm, image: &str) -> (u64, String) {
    let answer = wasm.ask(&json!({"_type": "img_pull", "image": image}));
    assert_eq!(answer.object["_status"], "err", "{image} => {answer:?}");
    let message = Value::Object(answer.object.clone()).to_string();
    (answer.object["code"].as_u64().unwrap(), message)
}

/// The references of all images.
fn references(wasm: &Wasm) -> Vec<String> {
    let list = wasm.ok(&json!({"_type": "img_list"}));
    let images = list["images"].as_array().unwrap();
    images
        .iter()
        .map(|image| image["reference"].as_str().unwrap().to_owned())
        .collect()
}

/// What a module of the image ends with.
fn exit_code(wasm: &Wasm, image: &str) -> i64 {
    let config = json!({ "image": image });
    wasm.ok(&json!({"_type": "create", "name": "m", "config_type": "wasm", "config": config}));
    wasm.module("start", "m");
    let code = wasm.module("wait", "m")["exit_code"].as_i64().unwrap();
    wasm.module("remove", "m");
    code
}

/// The files below a folder of the state directory.
fn files(wasm: &Wasm, folder: &str) -> Vec<String> {
    let all = wasm.state_files().into_iter();
    all.filter(|file| file.starts_with(&format!("{folder}/")))
        .collect()
}

/// Nothing of any image is there but downloads.
fn assert_no_image(wasm: &Wasm) {
    assert_eq!(references(wasm), Vec::<String>::new());
    assert_eq!(files(wasm, "images"), Vec::<String>::new());
    assert_eq!(files(wasm, "programs"), Vec::<String>::new());
    let temporary = files(wasm, "downloads")
        .into_iter()
        .filter(|file| file.ends_with(".tmp"));
    assert_eq!(temporary.collect::<Vec<_>>(), Vec::<String>::new());
}

/// An artifact of one layer in CNCF's layout.
fn artifact(program: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let config = config("wasip1/wasm", json!({}));
    (manifest((CNCF, &config), &[(WASM, program)]), config)
}
