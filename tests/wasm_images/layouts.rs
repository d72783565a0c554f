//! Every layout of an image that a registry may hold.

use std::io::Write;

use serde_json::json;
use tests::registry::{manifest, Options, Registry};
use tests::wasm::Wasm;

use super::{
    assert_no_image, component, config, exit_code, guest, padded, pull, push_index, references,
    refused, tar, CNCF, OCI, TAR, WASM,
};

#[test]
fn every_layout_with_the_program_as_a_layer_runs() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let wasm = Wasm::new();
    let (seven, run) = (guest("exit_7"), component());
    let wasip1 = config("wasip1/wasm", json!({}));
    let wasi = config("wasi/wasm", json!({"Entrypoint": ["/run.wasm"]}));
    let old = "application/vnd.wasm.content.layer.v1+wasm";
    for (name, kind, config, layer, program, code) in [
        ("cncf", CNCF, wasip1.as_slice(), WASM, &seven, 7),
        (
            "cncf-component",
            CNCF,
            br#"{"architecture":"wasm","os":"wasip2","component":{}}"#,
            WASM,
            &run,
            0,
        ),
        (
            "wasm-to-oci",
            "application/vnd.wasm.config.v1+json",
            b"{}",
            old,
            &seven,
            7,
        ),
        (
            "solo",
            "application/vnd.module.wasm.config.v1+json",
            b"not even json",
            "application/vnd.module.wasm.content.layer.v1+wasm",
            &seven,
            7,
        ),
        (
            "bytecode-alliance",
            OCI,
            &wasi,
            "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
            &run,
            0,
        ),
        (
            "empty-config",
            "application/vnd.oci.empty.v1+json",
            b"{}",
            WASM,
            &seven,
            7,
        ),
    ] {
        let document = manifest((kind, config), &[(layer, program)]);
        let digest = registry.push(name, "v1", &document, &[config, program]);
        let image = format!("{}/{name}:v1", registry.host());
        let answer = pull(&wasm, &image);
        assert_eq!(answer["digest"], digest, "{name}");
        assert_eq!(
            answer["image_id"],
            tests::registry::digest(config),
            "{name}"
        );
        assert_eq!(
            answer["bytes_total"],
            config.len() + program.len(),
            "{name}"
        );
        assert_eq!(exit_code(&wasm, &image), code, "{name}");
    }
    // The media type says module, the header says component, and the header is right.
    let document = manifest(
        ("application/vnd.wasm.config.v1+json", b"{}"),
        &[(old, &run)],
    );
    registry.push("liar", "v1", &document, &[b"{}", &run]);
    let image = format!("{}/liar:v1", registry.host());
    pull(&wasm, &image);
    assert_eq!(exit_code(&wasm, &image), 0);
}

#[test]
fn a_spin_application_of_one_program_runs() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let wasm = Wasm::new();
    let spin = "application/vnd.fermyon.spin.application.v1+config";
    let (seven, data) = (guest("exit_7"), b"a file".as_slice());
    let layers = [
        ("application/vnd.wasm.content.layer.v1+data", data),
        (WASM, &seven),
    ];
    let document = manifest((spin, b"{}"), &layers);
    registry.push("spin", "one", &document, &[b"{}", &seven, data]);
    let image = format!("{}/spin:one", registry.host());
    pull(&wasm, &image);
    assert_eq!(exit_code(&wasm, &image), 7);
    let other = guest("exit_0");
    let document = manifest((spin, b"{}"), &[(WASM, &seven), (WASM, &other)]);
    registry.push("spin", "two", &document, &[b"{}", &seven, &other]);
    let (code, message) = refused(&wasm, &format!("{}/spin:two", registry.host()));
    assert_eq!(code, 14);
    assert!(message.contains("2 programs"), "{message}");
}

#[test]
fn images_with_the_program_in_a_tar_run() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let wasm = Wasm::new();
    let plain = tar(&[("app/run.wasm", &guest("exit_7"))]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(plain.as_slice(), 0).unwrap();
    let docker = "application/vnd.docker.container.image.v1+json";
    let docker_tar = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let (oci_gzip, oci_zstd) = (format!("{TAR}+gzip"), format!("{TAR}+zstd"));
    let absolute = json!({"Entrypoint": ["/app/run.wasm"]});
    let relative = json!({"Cmd": ["run.wasm"], "WorkingDir": "/app"});
    for (name, kind, layer_kind, layer, platform, run) in [
        ("plain", OCI, TAR, &plain, "wasi/wasm", &absolute),
        ("gzip", OCI, &oci_gzip, &gzip, "wasip1/wasm", &absolute),
        ("zstd", OCI, &oci_zstd, &zstd, "wasi/wasm32", &relative),
        ("docker", docker, docker_tar, &gzip, "wasi/wasm", &absolute),
        // Made without naming a platform, for crun or WasmEdge.
        ("by-name", OCI, &oci_gzip, &gzip, "linux/amd64", &absolute),
    ] {
        let config = config(platform, run.clone());
        let document = manifest((kind, &config), &[(layer_kind, layer)]);
        registry.push(name, "v1", &document, &[&config, layer]);
        let image = format!("{}/{name}:v1", registry.host());
        let answer = pull(&wasm, &image);
        assert_eq!(answer["platform"], platform, "{name}");
        assert_eq!(exit_code(&wasm, &image), 7, "{name}");
    }
}

#[test]
fn upper_layers_replace_and_links_lead_within_the_image() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let wasm = Wasm::new();
    let below = tar(&[
        ("old.wasm", &guest("exit_0")),
        ("real.wasm", &guest("exit_0")),
    ]);
    let mut above = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    above
        .append_link(&mut header, "run.wasm", "/../real.wasm")
        .unwrap();
    let program = guest("exit_7");
    let mut header = tar::Header::new_gnu();
    header.set_size(program.len() as u64);
    above
        .append_data(&mut header, "real.wasm", program.as_slice())
        .unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    above
        .append_data(&mut header, ".wh.old.wasm", &b""[..])
        .unwrap();
    let above = above.into_inner().unwrap();
    let push = |tag: &str, path: &str| {
        let config = config("wasi/wasm", json!({ "Entrypoint": [path] }));
        let document = manifest((OCI, &config), &[(TAR, &below), (TAR, &above)]);
        registry.push("layers", tag, &document, &[&config, &below, &above]);
        format!("{}/layers:{tag}", registry.host())
    };
    let image = push("linked", "run.wasm");
    pull(&wasm, &image);
    assert_eq!(exit_code(&wasm, &image), 7);
    let (code, message) = refused(&wasm, &push("gone", "old.wasm"));
    assert_eq!(code, 14);
    assert!(message.contains("old.wasm"), "{message}");
}

#[test]
fn the_compat_variant_is_found_by_its_annotation() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let wasm = Wasm::new();
    let (below, above) = (
        tar(&[("x", b"x")]),
        tar(&[("plugin.wasm", &guest("exit_7"))]),
    );
    let config = config("linux/amd64", json!({}));
    let document = manifest((OCI, &config), &[(TAR, &below), (TAR, &above)]);
    registry.push("compat", "no", &document, &[&config, &below, &above]);
    let (code, message) = refused(&wasm, &format!("{}/compat:no", registry.host()));
    assert_eq!(code, 15);
    assert!(message.contains("linux/amd64"), "{message}");
    let mut document: serde_json::Value = serde_json::from_slice(&document).unwrap();
    document["annotations"] = json!({"module.wasm.image/variant": "compat"});
    registry.push("compat", "yes", document.to_string().as_bytes(), &[]);
    let image = format!("{}/compat:yes", registry.host());
    pull(&wasm, &image);
    assert_eq!(exit_code(&wasm, &image), 7);
}

#[test]
fn arguments_and_environment_of_the_image_reach_the_program() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let wasm = Wasm::new();
    let layer = tar(&[("run.wasm", &guest("args"))]);
    let run = json!({"Entrypoint": ["/run.wasm", "first"], "Cmd": ["second", "third"]});
    let config = config("wasi/wasm", run);
    let document = manifest((OCI, &config), &[(TAR, &layer)]);
    registry.push("args", "v1", &document, &[&config, &layer]);
    let image = format!("{}/args:v1", registry.host());
    for (name, command, expected) in [
        ("own", json!([]), "first\nsecond\nthird\n"),
        ("given", json!(["4"]), "first\n4\n"),
    ] {
        wasm.create(name, &image, json!({ "command": command }));
        wasm.module("start", name);
        wasm.module("wait", name);
        assert_eq!(String::from_utf8(wasm.logs(name)).unwrap(), expected);
    }
}

#[test]
fn the_right_image_of_an_index_is_taken() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let wasm = Wasm::new();
    let mut images = Vec::new();
    for (platform, program) in [
        ("linux/amd64", b"\x7fELF".to_vec()),
        ("wasip2/wasm", component()),
        ("wasi/wasm", guest("exit_7")),
        ("wasip1/wasm", guest("exit_0")),
    ] {
        let config = config(platform, json!({}));
        let document = manifest((CNCF, &config), &[(WASM, &program)]);
        let digest = registry.push(
            "many",
            &platform.replace('/', "-"),
            &document,
            &[&config, &program],
        );
        images.push((document, platform, digest));
    }
    let entries: Vec<(&[u8], &str)> = images
        .iter()
        .map(|(document, platform, _)| (document.as_slice(), *platform))
        .collect();
    let index = push_index(&registry, "many", "all", &entries);
    let image = format!("{}/many:all", registry.host());
    let answer = pull(&wasm, &image);
    assert_eq!(answer["digest"], index);
    assert_eq!(answer["platform"], "wasi/wasm");
    assert_eq!(exit_code(&wasm, &image), 7);
    let wish = |platform: &str| {
        wasm.ask(&json!({"_type": "img_pull", "image": image, "platform": platform}))
    };
    assert_eq!(wish("wasip1/wasm").object["platform"], "wasip1/wasm");
    assert_eq!(exit_code(&wasm, &image), 0);
    assert_eq!(wish("wasip2/wasm32").object["platform"], "wasip2/wasm");
    assert_eq!(wish("linux/arm64").object["code"], 15);
    assert_eq!(wish("linux/amd64").object["code"], 14, "an ELF file");
    assert_eq!(wish("nonsense").object["code"], 2);
    // Nothing of the failed ones changed what is there.
    assert_eq!(references(&wasm), std::slice::from_ref(&image));

    let without: Vec<(&[u8], &str)> = entries.iter().take(1).copied().collect();
    push_index(
        &registry,
        "many",
        "native",
        &[without[0], (without[0].0, "linux/arm64")],
    );
    let (code, message) = refused(&wasm, &format!("{}/many:native", registry.host()));
    assert_eq!(code, 15);
    assert!(message.contains("linux/amd64, linux/arm64"), "{message}");
    push_index(&registry, "many", "only", &[(entries[2].0, "")]);
    let only = format!("{}/many:only", registry.host());
    pull(&wasm, &only);
    assert_eq!(exit_code(&wasm, &only), 7);
}

#[test]
fn what_can_not_run_is_refused_and_leaves_nothing() {
    let Some(registry) = Registry::start(&Options::default()) else {
        return;
    };
    let wasm = Wasm::new();
    let wasip1 = config("wasip1/wasm", json!({}));
    let host = registry.host();
    let zero = guest("exit_0");
    let tarred = tar(&[("run.wasm", &zero)]);
    let by_function = config("wasi/wasm", json!({"Entrypoint": ["run.wasm#handle"]}));
    let missing = config("wasi/wasm", json!({"Entrypoint": ["other.wasm"]}));
    let helm = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
    let machine = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let elf = &machine[..4096];
    let cut = &zero[..zero.len() - 3];
    let large = padded(zero.clone(), 2000);
    for (name, kind, config, layers, code, said) in [
        (
            "helm",
            "application/vnd.cncf.helm.config.v1+json",
            &wasip1,
            vec![(helm, &zero[..])],
            14,
            helm,
        ),
        (
            "two",
            CNCF,
            &wasip1,
            vec![(WASM, &zero[..]), (WASM, cut)],
            14,
            "2 layers",
        ),
        (
            "function",
            OCI,
            &by_function,
            vec![(TAR, &tarred[..])],
            14,
            "handle",
        ),
        (
            "missing",
            OCI,
            &missing,
            vec![(TAR, &tarred[..])],
            14,
            "other.wasm",
        ),
        (
            "no-tar",
            OCI,
            &missing,
            vec![(TAR, &large[..])],
            14,
            "no tar",
        ),
        ("elf", CNCF, &wasip1, vec![(WASM, elf)], 14, "native code"),
        (
            "garbage",
            CNCF,
            &wasip1,
            vec![(WASM, &b"garbage"[..])],
            14,
            "not a webassembly program",
        ),
        ("cut", CNCF, &wasip1, vec![(WASM, cut)], 14, "damaged"),
        (
            "reactor",
            CNCF,
            &wasip1,
            vec![(WASM, &guest("reactor")[..])],
            14,
            "reactor",
        ),
        (
            "import",
            CNCF,
            &wasip1,
            vec![(WASM, &guest("unknown_import")[..])],
            14,
            "what is not there",
        ),
    ] {
        let document = manifest((kind, config), &layers);
        let mut blobs: Vec<&[u8]> = vec![config];
        blobs.extend(layers.iter().map(|(_, bytes)| *bytes));
        registry.push(name, "v1", &document, &blobs);
        let (found, message) = refused(&wasm, &format!("{host}/{name}:v1"));
        assert_eq!(found, code, "{name}: {message}");
        assert!(message.contains(said), "{name}: {message}");
        assert_no_image(&wasm);
    }
}
