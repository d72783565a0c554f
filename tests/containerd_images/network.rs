//! What registries say, and those that are not there.

use serde_json::{json, Value};
use tests::registry::proxy::{Fault, Proxy};
use tests::registry::{Options, Registry, PASSWORD, USER};
use tests::shellrt::Shellrt;

use super::{image, listing, output, references, way, World};

#[test]
fn policies_say_when_the_registry_is_asked() {
    let Some(world) = World::start() else {
        return;
    };
    let reference = world.push(&image(&[1000]), "app");
    let request = |policy: &str| json!({"_type": "img_pull", "image": reference, "policy": policy});
    assert_eq!(world.shellrt.ok(&request("missing"))["unpack"], way());
    let asked = world.proxy.seen("").len();
    world.shellrt.ok(&request("missing"));
    assert_eq!(world.proxy.seen("").len(), asked);
    let answer = world.shellrt.ok(&request("if_reachable"));
    assert!(world.proxy.seen("").len() > asked);
    assert_eq!(answer.get("warning"), None);
    // It says no, which is something else than not answering.
    let refusal = Fault::Status(401, "www-authenticate", "Basic realm=\"x\"");
    world.proxy.fault("/manifests/", refusal, 100);
    assert_eq!(world.shellrt.err(&request("if_reachable")), 11);
    let World {
        shellrt,
        registry,
        proxy,
    } = world;
    drop((registry, proxy));
    let answer = shellrt.ok(&request("if_reachable"));
    assert!(answer["warning"].as_str().unwrap().contains("unreachable"));
    assert_eq!(answer["unpack"], "cached");
    assert_eq!(shellrt.err(&request("always")), 13);
    assert_eq!(shellrt.err(&request("sometimes")), 2);
    assert_eq!(output(&shellrt, &reference, "echo hello"), "hello\n");
    shellrt.ok(&json!({"_type": "img_remove", "image": reference}));
    assert_eq!(shellrt.err(&request("if_reachable")), 13);
}

#[test]
fn what_the_registry_says_has_its_code() {
    let options = Options {
        password: true,
        ..Options::default()
    };
    let (Some(shellrt), Some(registry)) = (Shellrt::start(), Registry::start(&options)) else {
        return;
    };
    let reference = image(&[1000]).push(&registry, "app", "1");
    let ask = |image: &str, credentials: Value| {
        let request = json!({"_type": "img_pull", "image": image, "credentials": credentials});
        shellrt.ask(&request).object
    };
    assert_eq!(ask(&reference, json!({}))["code"], 11);
    let wrong = ask(&reference, json!({"username": USER, "password": "hunter2"}));
    assert_eq!(wrong["code"], 11);
    assert!(!format!("{wrong:?}").contains("hunter2"));
    assert_eq!(ask(&reference, json!({"username": USER}))["code"], 2);
    let right = json!({"username": USER, "password": PASSWORD});
    let missing = format!("{}/other:1", registry.host());
    assert_eq!(ask(&missing, right.clone())["code"], 12);
    assert_eq!(ask(&reference, right)["_status"], "ok");
    assert_eq!(output(&shellrt, &reference, "echo hello"), "hello\n");
    let listing = listing(&shellrt.containerd).join("\n");
    assert!(!listing.contains(PASSWORD));
}

#[test]
fn mirrors_are_asked_first() {
    let (Some(world), Some(mirror)) = (World::start(), Registry::start(&Options::default())) else {
        return;
    };
    let image = image(&[1000]);
    let reference = world.push(&image, "app");
    image.push(&mirror, "app", "1");
    let mirror = Proxy::start(mirror.host());
    let hosts = world.shellrt.files().join("hosts").join(world.proxy.host());
    std::fs::create_dir_all(&hosts).unwrap();
    let text = format!(
        "server = \"http://{}\"\n[host.\"http://{}\"]\ncapabilities = [\"pull\", \"resolve\"]\n",
        world.proxy.host(),
        mirror.host()
    );
    std::fs::write(hosts.join("hosts.toml"), text).unwrap();
    world.shellrt.pull(&reference);
    assert!(!mirror.seen("/blobs/").is_empty());
    assert_eq!(world.proxy.seen("").len(), 0);
    assert_eq!(references(&world.shellrt), [reference.as_str()]);
    assert_eq!(output(&world.shellrt, &reference, "echo hello"), "hello\n");
}

#[test]
fn a_daemon_that_is_not_there_is_an_ordinary_error() {
    let Some(mut world) = World::start() else {
        return;
    };
    let reference = world.push(&image(&[1000]), "app");
    world.shellrt.containerd.stop();
    for progress in [true, false] {
        let request = json!({"_type": "img_pull", "image": reference, "progress": progress});
        let answer = world.shellrt.ask(&request);
        assert_eq!(answer.object["code"], 16, "{answer:?}");
        assert_eq!(answer.stream, None);
        let message = answer.object["message"].as_str().unwrap();
        assert!(message.contains("containerd.sock") && message.contains("CONTAINERD_ADDRESS"));
    }
    assert_eq!(world.proxy.seen("").len(), 0);
    world.shellrt.containerd.start_again();
}
