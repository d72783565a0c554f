//! A client that speaks v0 and nothing else: its bytes, in its order.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{assert_nothing_left, setup};

const OK: &str = r#"{"_version":"0.1.0","_status":"ok"}"#;

/// The v0 fields of a status stand in v0's order, before everything else.
fn assert_order(answer: &str, fields: &[&str]) {
    let places: Vec<usize> = fields
        .iter()
        .map(|field| {
            let place = answer.find(&format!("\"{field}\":"));
            place.unwrap_or_else(|| panic!("no {field}: {answer}"))
        })
        .collect();
    assert!(places.is_sorted(), "{fields:?}: {answer}");
}

#[test]
fn a_v0_client_goes_through_a_life() {
    let Some((shellrt, _registry, image)) = setup() else {
        return;
    };
    let pulled = shellrt.send(&format!(
        r#"{{"_version":"0.1.0","_type":"img_pull","image":"{image}","credentials":{{}}}}"#
    ));
    assert!(
        pulled.starts_with(r#"{"_version":"0.1.0","_status":"ok""#),
        "{pulled}"
    );
    assert!(!pulled.contains('\0'), "{pulled}");
    let script = "echo up; trap 'exit 3' TERM; while :; do sleep 0.05; done";
    let config = format!(r#"{{"image":"{image}","command":["sh","-c","{script}"]}}"#);
    let created = shellrt.send(&format!(
            r#"{{"_version":"0.1.0","_type":"create","name":"web","env":{{}},"config_type":"containerd","config":{config}}}"#
        ),
    );
    assert_eq!(created, OK);
    let status = r#"{"_version":"0.1.0","_type":"status","name":"web"}"#;
    let never = shellrt.send(status);
    assert_order(
        &never,
        &[
            "_version",
            "_status",
            "status",
            "status_description",
            "image_id",
            "started_at",
        ],
    );
    let never: Value = serde_json::from_str(&never).unwrap();
    assert_eq!(never["status"], "unknown");
    assert_eq!(never["started_at"], 0);
    let started = shellrt.send(r#"{"_version":"0.1.0","_type":"start","name":"web"}"#);
    assert_eq!(started, OK);
    let running: Value = serde_json::from_str(&shellrt.send(status)).unwrap();
    assert_eq!(running["status"], "running");
    assert!(running["started_at"].as_i64().unwrap() > 1_577_836_800_000_000_000);
    assert!(running.get("finished_at").is_none() && running.get("exit_code").is_none());
    let list = shellrt.send(r#"{"_version":"0.1.0","_type":"list"}"#);
    assert_eq!(
        list,
        r#"{"_version":"0.1.0","_status":"ok","modules":["web"]}"#
    );
    let logs = r#"{"_version":"0.1.0","_type":"logs","name":"web","follow":false,"tail":null,"since":null}"#;
    let deadline = Instant::now() + Duration::from_secs(20);
    while shellrt.send(logs) != format!("{OK}\0up\n") {
        assert!(Instant::now() < deadline, "{:?}", shellrt.send(logs));
    }
    let stopped = shellrt.send(r#"{"_version":"0.1.0","_type":"stop","name":"web","timeout":10}"#);
    assert_eq!(stopped, OK);
    let ended = shellrt.send(status);
    assert_order(
        &ended,
        &[
            "status",
            "status_description",
            "image_id",
            "started_at",
            "finished_at",
            "exit_code",
        ],
    );
    let ended: Value = serde_json::from_str(&ended).unwrap();
    assert_eq!(ended["status"], "failed");
    assert_eq!(ended["exit_code"], 3);
    assert!(ended["finished_at"].as_i64() >= ended["started_at"].as_i64());
    let restart = r#"{"_version":"0.1.0","_type":"restart","name":"web"}"#;
    assert_eq!(shellrt.send(restart), OK);
    let stop = r#"{"_version":"0.1.0","_type":"stop","name":"web","timeout":0}"#;
    assert_eq!(shellrt.send(stop), OK);
    let remove = r#"{"_version":"0.1.0","_type":"remove","name":"web"}"#;
    assert_eq!(shellrt.send(remove), OK);
    let again: Value = serde_json::from_str(&shellrt.send(remove)).unwrap();
    assert_eq!(again["_status"], "err");
    assert_eq!(again["code"], 5);
    let image_remove = format!(r#"{{"_version":"0.1.0","_type":"img_remove","image":"{image}"}}"#);
    assert_eq!(shellrt.send(&image_remove), OK);
    let version = shellrt.send(r#"{"_version":"0.1.0","_type":"version"}"#);
    assert!(version.contains(r#""info":""#), "{version}");
    assert_nothing_left(&shellrt);
}
