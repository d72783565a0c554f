//! Registries that are found by their names, on machines that know names from different sources.

use serde_json::json;
use tests::name_server::NameServer;
use tests::registry::{Options, Registry};
use tests::wasm::Wasm;

use super::{exit_code, guest, pull, refused};

/// A registry with a program that ends with 7, and the program's reference where `name` is the
/// registry's.
fn setup(name: &str) -> Option<(Registry, String)> {
    let registry = Registry::start(&Options::default())?;
    registry.push_layer("app", "v1", &guest("exit_7"));
    let host = registry.host().replace("127.0.0.1", name);
    Some((registry, format!("{host}/app:v1")))
}

/// Says that the registry of `image` speaks plain HTTP, which is not to be guessed of other names than the
/// machine's own.
fn plain(wasm: &Wasm, image: &str) {
    let (host, _) = image.split_once('/').unwrap();
    let (name, port) = host.split_once(':').unwrap();
    let dir = wasm.files().join(format!("hosts/{name}_{port}_"));
    std::fs::create_dir_all(&dir).unwrap();
    let text = format!("server = \"http://{host}\"\n");
    std::fs::write(dir.join("hosts.toml"), text).unwrap();
}

#[test]
fn a_name_of_the_hosts_file() {
    let Some((_registry, image)) = setup("registry.test") else {
        return;
    };
    let hosts = ("hosts", "127.0.0.1 registry.test\n");
    for sources in ["files dns", "files myhostname dns", "files nowhere"] {
        let sources = format!("hosts: {sources}\n");
        let wasm = Wasm::with_etc(&[hosts, ("nsswitch.conf", &sources)], "");
        plain(&wasm, &image);
        pull(&wasm, &image);
        assert_eq!(exit_code(&wasm, &image), 7, "{sources}");
    }
}

#[test]
fn a_name_of_a_name_server() {
    let Some((_registry, image)) = setup("registry.test") else {
        return;
    };
    let Some(server) = NameServer::start("registry.test") else {
        return;
    };
    let resolver = format!("nameserver {}\noptions timeout:5\n", server.address());
    let hosts = ("hosts", "127.0.0.1 localhost\n");
    let resolver = ("resolv.conf", resolver.as_str());
    for (sources, and) in [
        ("hosts: files dns\n", ""),
        ("hosts: files myhostname dns\n", ""),
        // Without the machine's own program the library of that source is not touched.
        ("hosts: files myhostname dns\n", "PATH=/nowhere"),
    ] {
        let wasm = Wasm::with_etc(&[hosts, resolver, ("nsswitch.conf", sources)], and);
        plain(&wasm, &image);
        pull(&wasm, &image);
        assert_eq!(exit_code(&wasm, &image), 7, "{sources}");
    }
    let sources = ("nsswitch.conf", "hosts: files dns\n");
    let wasm = Wasm::with_etc(&[hosts, resolver, sources], "");
    let elsewhere = image.replace("registry.test", "elsewhere.test");
    assert_eq!(refused(&wasm, &elsewhere).0, 13);
}

#[test]
fn a_name_of_another_source() {
    let Some((_registry, image)) = setup("registry.localhost") else {
        return;
    };
    // It knows all names that end so.
    let library = std::process::Command::new("getent")
        .args(["-s", "hosts:myhostname", "ahosts", "registry.localhost"])
        .output();
    let is_there = library.is_ok_and(|output| output.status.success());
    let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(is_there || !is_ci, "apt-get install libnss-myhostname");
    if !is_there {
        return;
    }
    let etc = [
        ("hosts", "127.0.0.1 localhost\n"),
        ("nsswitch.conf", "hosts: files myhostname\n"),
    ];
    let wasm = Wasm::with_etc(&etc, "");
    pull(&wasm, &image);
    assert_eq!(exit_code(&wasm, &image), 7);
    let wasm = Wasm::with_etc(&etc, "PATH=/nowhere");
    let (code, message) = refused(&wasm, &image);
    assert_eq!(code, 13, "{message}");
    wasm.ok(&json!({"_type": "version"}));
}
