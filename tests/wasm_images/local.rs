//! Images from directories and files, without a network.

use std::path::{Path, PathBuf};

use serde_json::{json, Value};
use tests::registry::{descriptor, digest, manifest};
use tests::wasm::Wasm;

use super::{
    artifact, assert_no_image, config, exit_code, files, guest, padded, pull, references, refused,
    tar, INDEX, OCI, TAR,
};

/// An OCI layout directory.
struct Layout {
    path: PathBuf,
    manifests: Vec<Value>,
}

impl Layout {
    fn new(path: PathBuf) -> Layout {
        std::fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        std::fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Layout {
            path,
            manifests: Vec::new(),
        }
    }

    fn blob(&self, bytes: &[u8]) -> PathBuf {
        let path = self
            .path
            .join("blobs/sha256")
            .join(&digest(bytes)["sha256:".len()..]);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn add(&mut self, media_type: &str, document: &[u8], tag: Option<&str>) {
        self.blob(document);
        let mut entry = descriptor(media_type, document);
        if let Some(tag) = tag {
            entry["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        }
        self.manifests.push(entry);
        let index = json!({"schemaVersion": 2, "manifests": self.manifests});
        std::fs::write(self.path.join("index.json"), index.to_string()).unwrap();
    }

    fn add_program(&mut self, program: &[u8], tag: Option<&str>) -> String {
        let (document, config) = artifact(program);
        self.blob(&config);
        self.blob(program);
        self.add("application/vnd.oci.image.manifest.v1+json", &document, tag);
        digest(&document)
    }

    fn reference(&self) -> String {
        format!("oci:{}", self.path.display())
    }
}

#[test]
fn a_layout_directory_with_one_image_needs_no_tag() {
    let wasm = Wasm::new();
    let mut layout = Layout::new(wasm.files().join("one"));
    let expected = layout.add_program(&guest("exit_7"), Some("v1"));
    let (plain, tagged) = (layout.reference(), format!("{}:v1", layout.reference()));
    let answer = pull(&wasm, &plain);
    assert_eq!(answer["digest"], expected);
    assert_eq!(answer["unpack"], "compiled");
    assert_eq!(answer["bytes_fetched"], answer["bytes_total"]);
    assert_eq!(exit_code(&wasm, &plain), 7);
    // The same image under another reference.
    let answer = pull(&wasm, &tagged);
    assert_eq!(answer["unpack"], "cached");
    assert_eq!(answer["bytes_fetched"], 0);
    assert_eq!(references(&wasm), [plain.clone(), tagged]);
    let (code, message) = refused(&wasm, &format!("{plain}:v2"));
    assert_eq!(code, 12);
    assert!(message.contains("v1"), "{message}");
    assert_eq!(files(&wasm, "downloads"), Vec::<String>::new());
}

#[test]
fn one_of_several_images_is_named_by_its_tag() {
    let wasm = Wasm::new();
    let mut layout = Layout::new(wasm.files().join("several"));
    layout.add_program(&guest("exit_0"), Some("zero"));
    layout.add_program(&guest("exit_7"), Some("seven"));
    let image = format!("{}:seven", layout.reference());
    pull(&wasm, &image);
    assert_eq!(exit_code(&wasm, &image), 7);
    let (code, message) = refused(&wasm, &layout.reference());
    assert_eq!(code, 10, "{message}");
}

#[test]
fn an_index_in_a_layout_directory_is_resolved() {
    let wasm = Wasm::new();
    let mut layout = Layout::new(wasm.files().join("nested"));
    let mut entries = Vec::new();
    for (platform, program) in [("linux/amd64", "exit_0"), ("wasi/wasm", "exit_7")] {
        let config = config(platform, json!({"Entrypoint": ["/run.wasm"]}));
        let layer = tar(&[("run.wasm", &guest(program))]);
        let document = manifest((OCI, &config), &[(TAR, &layer)]);
        for blob in [&config, &layer, &document] {
            layout.blob(blob);
        }
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &document);
        let (os, architecture) = platform.split_once('/').unwrap();
        entry["platform"] = json!({"os": os, "architecture": architecture});
        entries.push(entry);
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string();
    layout.add(INDEX, index.as_bytes(), Some("latest"));
    let answer = pull(&wasm, &layout.reference());
    assert_eq!(answer["digest"], digest(index.as_bytes()));
    assert_eq!(answer["platform"], "wasi/wasm");
    assert_eq!(exit_code(&wasm, &layout.reference()), 7);
}

#[test]
fn blobs_of_a_layout_directory_are_verified() {
    let wasm = Wasm::new();
    let mut layout = Layout::new(wasm.files().join("broken"));
    let program = guest("exit_7");
    layout.add_program(&program, None);
    let blob = layout.blob(&program);
    let mut changed = program.clone();
    changed[20] ^= 1;
    for (bytes, said) in [
        (&changed[..], "with the digest"),
        (&program[..30], "and has 30"),
    ] {
        std::fs::write(&blob, bytes).unwrap();
        let (code, message) = refused(&wasm, &layout.reference());
        assert_eq!(code, 14, "{message}");
        assert!(message.contains(said), "{message}");
        assert_no_image(&wasm);
    }
    std::fs::remove_file(&blob).unwrap();
    assert_eq!(refused(&wasm, &layout.reference()).0, 12);
    std::fs::write(&blob, &program).unwrap();
    pull(&wasm, &layout.reference());
    let empty = wasm.files().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert_eq!(refused(&wasm, &format!("oci:{}", empty.display())).0, 12);
}

#[test]
fn a_layer_that_does_not_fit_the_disk_is_refused_before_the_first_byte() {
    let wasm = Wasm::new();
    let mut layout = Layout::new(wasm.files().join("huge"));
    let config = config("wasi/wasm", json!({"Entrypoint": ["/run.wasm"]}));
    layout.blob(&config);
    let document = manifest((OCI, &config), &[(TAR, b"x")]);
    let mut document: Value = serde_json::from_slice(&document).unwrap();
    document["layers"][0]["size"] = json!(1u64 << 60);
    let document = document.to_string();
    layout.add(
        "application/vnd.oci.image.manifest.v1+json",
        document.as_bytes(),
        None,
    );
    let (code, message) = refused(&wasm, &layout.reference());
    assert_eq!(code, 19);
    assert!(message.contains("1152921504606846976 bytes"), "{message}");
    assert_no_image(&wasm);
}

#[test]
fn programs_come_from_files_as_bytes_and_as_text() {
    let wasm = Wasm::new();
    let program = wasm.files().join("run.wasm");
    std::fs::write(&program, guest("exit_7")).unwrap();
    let image = format!("file:{}", program.display());
    let answer = pull(&wasm, &image);
    assert_eq!(answer["digest"], digest(&guest("exit_7")));
    assert_eq!(answer["image_id"], digest(&guest("exit_7")));
    assert_eq!(answer["bytes_total"], guest("exit_7").len());
    assert_eq!(answer["unpack"], "compiled");
    assert_eq!(exit_code(&wasm, &image), 7);
    let answer = pull(&wasm, &image);
    assert_eq!(
        (&answer["unpack"], &answer["bytes_fetched"]),
        (&json!("cached"), &json!(0))
    );

    // The content counts, not the name.
    let text = "  ;; a comment\n(module (func (export \"_start\")))";
    std::fs::write(&program, text).unwrap();
    let answer = pull(&wasm, &image);
    assert_eq!(answer["digest"], digest(text.as_bytes()));
    assert_eq!(answer["image_id"], digest(&wat::parse_str(text).unwrap()));
    assert_eq!(exit_code(&wasm, &image), 0);
    // What the file was before is of no use to anybody.
    let programs: Vec<_> = files(&wasm, "programs")
        .into_iter()
        .filter(|file| file.ends_with("program.wasm"))
        .collect();
    assert_eq!(programs.len(), 1, "{programs:?}");

    let mut request = json!({"_type": "img_pull", "image": image, "policy": "missing"});
    std::fs::remove_file(&program).unwrap();
    assert_eq!(wasm.ok(&request)["unpack"], "cached");
    request["policy"] = json!("always");
    assert_eq!(wasm.err(&request), 12);
    assert_eq!(references(&wasm), [image]);
}

#[test]
fn files_that_are_no_programs_are_refused() {
    let wasm = Wasm::new();
    let path = wasm.files().join("x");
    let image = format!("file:{}", path.display());
    assert_eq!(refused(&wasm, &image).0, 12, "not there");
    for (bytes, said) in [
        (&b""[..], "not a webassembly program"),
        (b"#!/bin/sh\n", "not a webassembly program"),
        (b"(module (func (export \"_start\")", "can't be translated"),
        (b"(modul)", "can't be translated"),
        (b"\x7fELF\x02\x01\x01", "native code"),
        (b"\0asm\x01\0\0", "not a webassembly program"),
        (b"\0asm\x01\0\0\0", "_start"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let (code, message) = refused(&wasm, &image);
        assert_eq!(code, 14, "{message}");
        assert!(message.contains(said), "{message}");
        assert_no_image(&wasm);
    }
    std::fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert_eq!(
        refused(&wasm, &image).0,
        12,
        "nobody waits for who writes into it"
    );
    assert_eq!(
        refused(&wasm, &format!("file:{}", wasm.files().display())).0,
        12
    );
    for image in ["file:", "oci:", "oci:/x:", "a b", ""] {
        assert_eq!(refused(&wasm, image).0, 10, "{image}");
    }
}

#[test]
fn the_largest_program_is_a_setting() {
    let wasm = Wasm::new();
    let mut layout = Layout::new(wasm.files().join("large"));
    let program = padded(guest("exit_7"), 5000);
    layout.add_program(&program, Some("layer"));
    let config = config("wasi/wasm", json!({"Entrypoint": ["/run.wasm"]}));
    let layer = tar(&[("run.wasm", &program)]);
    let document = manifest((OCI, &config), &[(TAR, &layer)]);
    layout.blob(&config);
    layout.blob(&layer);
    layout.add(
        "application/vnd.oci.image.manifest.v1+json",
        &document,
        Some("tar"),
    );
    let file = wasm.files().join("run.wasm");
    std::fs::write(&file, &program).unwrap();
    for image in [
        format!("file:{}", Path::new(&file).display()),
        format!("{}:layer", layout.reference()),
        format!("{}:tar", layout.reference()),
    ] {
        let request = json!({"_version": "0.1.0", "_type": "img_pull", "image": image});
        let ask = |limit: &str| {
            let mut command = wasm.command();
            command.env("SHELLRT_WASM_MAX_PROGRAM", limit);
            super::progress::run(command, &request)
        };
        let answer = ask("4k");
        assert_eq!(answer["code"], 14, "{answer}");
        assert!(
            answer["message"].as_str().unwrap().contains("4096"),
            "{answer}"
        );
        assert_no_image(&wasm);
        assert_eq!(ask("16k")["_status"], "ok");
        wasm.ok(&json!({"_type": "img_remove", "image": image}));
    }
}
