//! The sequence that is in the field: pull the pause image, pull an image, create, start, logs, stop,
//! remove.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{world, World};

/// An image that runs by itself, as the one of a v0 client does: its config names the image alone.
fn service(world: &World) -> String {
    let script = "echo up $GREETING; trap 'exit 3' TERM; while :; do sleep 0.05; done";
    let config = serde_json::json!({"Cmd": ["sh", "-c", script], "Env": ["PATH=/bin"]});
    let image = tests::image::Image::busybox().config(config);
    image.push(&world.registry, "service", "1")
}

/// Runs the driver; it succeeds, and this is what it prints.
fn driver(world: &World, arguments: &[&str]) -> String {
    let plugin = &world.shellrt.program;
    let mut command = Command::new(tests::binaries::program("shellrt-driver"));
    command.env("PATH", plugin.parent().unwrap_or(Path::new("/")));
    for (name, value) in &world.shellrt.environment {
        command.env(name, value.as_deref().unwrap_or_default());
    }
    let output = command.arg("containerd").args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_sequence_of_the_field_works_through_the_driver() {
    let Some(world) = world() else {
        return;
    };
    let image = service(&world);
    driver(&world, &["img_pull", &world.pause]);
    driver(&world, &["img_pull", &image]);
    driver(&world, &["create", "containerd-cri", "web", &image]);
    driver(&world, &["start", "web"]);
    tests::plugin::until("it has logged", || {
        driver(&world, &["logs", "web"]) == "up\n"
    });
    assert!(driver(&world, &["list"]).contains("\"modules\":[\"web\"]"));
    driver(&world, &["stop", "web"]);
    assert_eq!(driver(&world, &["logs", "web"]), "up\n");
    driver(&world, &["remove", "web"]);
    world.assert_nothing_left();
}

const OK: &str = r#"{"_version":"0.1.0","_status":"ok"}"#;

#[test]
fn a_v0_client_goes_through_a_life() {
    let Some(world) = world() else {
        return;
    };
    let image = service(&world);
    for image in [&world.pause, &image] {
        let pulled = world.shellrt.send(&format!(
            r#"{{"_version":"0.1.0","_type":"img_pull","image":"{image}","credentials":{{}}}}"#
        ));
        let ok = r#"{"_version":"0.1.0","_status":"ok""#;
        assert!(pulled.starts_with(ok), "{pulled}");
    }
    let created = world.shellrt.send(&format!(
            r#"{{"_version":"0.1.0","_type":"create","name":"web","env":{{"GREETING":"hello"}},"config_type":"containerd-cri","config":{{"image":"{image}"}}}}"#
        ),
    );
    assert_eq!(created, OK);
    let status = r#"{"_version":"0.1.0","_type":"status","name":"web"}"#;
    let never: Value = serde_json::from_str(&world.shellrt.send(status)).unwrap();
    assert_eq!(never["status"], "unknown");
    assert_eq!(never["started_at"], 0);
    let start = r#"{"_version":"0.1.0","_type":"start","name":"web"}"#;
    assert_eq!(world.shellrt.send(start), OK);
    let running: Value = serde_json::from_str(&world.shellrt.send(status)).unwrap();
    assert_eq!(running["status"], "running");
    assert!(running["started_at"].as_i64().unwrap() > 1_577_836_800_000_000_000);
    assert!(running.get("finished_at").is_none() && running.get("exit_code").is_none());
    let list = world.shellrt.send(r#"{"_version":"0.1.0","_type":"list"}"#);
    let web = r#"{"_version":"0.1.0","_status":"ok","modules":["web"]}"#;
    assert_eq!(list, web);
    let logs = r#"{"_version":"0.1.0","_type":"logs","name":"web","follow":false,"tail":null,"since":null}"#;
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.shellrt.send(logs) != format!("{OK}\0up hello\n") {
        assert!(Instant::now() < deadline, "{:?}", world.shellrt.send(logs));
    }
    let stop = r#"{"_version":"0.1.0","_type":"stop","name":"web","timeout":10}"#;
    assert_eq!(world.shellrt.send(stop), OK);
    let ended: Value = serde_json::from_str(&world.shellrt.send(status)).unwrap();
    assert_eq!(ended["status"], "failed");
    assert_eq!(ended["exit_code"], 3);
    assert!(ended["finished_at"].as_i64() >= ended["started_at"].as_i64());
    let restart = r#"{"_version":"0.1.0","_type":"restart","name":"web"}"#;
    assert_eq!(world.shellrt.send(restart), OK);
    // It runs, and v0 knows no force.
    let remove = r#"{"_version":"0.1.0","_type":"remove","name":"web"}"#;
    assert_eq!(world.shellrt.send(remove), OK);
    let again: Value = serde_json::from_str(&world.shellrt.send(remove)).unwrap();
    assert_eq!(again["code"], 5);
    for image in [&world.pause, &image] {
        let remove = format!(r#"{{"_version":"0.1.0","_type":"img_remove","image":"{image}"}}"#);
        assert_eq!(world.shellrt.send(&remove), OK);
    }
    world.assert_nothing_left();
    // Nowhere: neither name nor snapshot.
    let containerd = &world.shellrt.containerd;
    assert_eq!(containerd.ctr_of_pods(&["images", "ls", "-q"]), "");
    let snapshots = containerd.ctr_of_pods(&["snapshots", "ls"]);
    assert_eq!(snapshots.lines().count(), 1, "{snapshots}");
}
