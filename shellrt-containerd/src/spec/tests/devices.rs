//! Devices. Numbers are those of the kernel's documentation, admin-guide/devices.rst.

use std::os::unix::fs::symlink;

use serde_json::{json, Value};

use super::Case;

fn rule(major: i64, minor: i64, access: &str) -> Value {
    json!({"allow": true, "type": "c", "major": major, "minor": minor, "access": access})
}

/// The rules of docker's default.
#[test]
fn what_every_container_may_use() {
    let document = Case::new(json!({})).json();
    assert!(document["linux"].get("devices").is_none());
    let expected = json!([
        {"allow": false, "access": "rwm"},
        rule(1, 5, "rwm"),
        rule(1, 3, "rwm"),
        rule(1, 9, "rwm"),
        rule(1, 8, "rwm"),
        rule(5, 0, "rwm"),
        rule(5, 1, "rwm"),
    ]);
    assert_eq!(document["linux"]["resources"]["devices"], expected);
}

#[test]
fn one_device() {
    let document = Case::new(json!({"devices": ["/dev/full:/dev/disk-is-full:r"]})).json();
    let node = &document["linux"]["devices"][0];
    assert_eq!(node["path"], "/dev/disk-is-full");
    assert_eq!(
        (&node["type"], &node["major"], &node["minor"]),
        (&json!("c"), &json!(1), &json!(7))
    );
    assert_eq!(node["fileMode"], 0o666);
    let rules = document["linux"]["resources"]["devices"]
        .as_array()
        .unwrap();
    assert_eq!(rules.last().unwrap(), &rule(1, 7, "r"));
}

/// Names like those of /dev/serial/by-id are links.
#[test]
fn links_and_directories() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("by-name");
    symlink("/dev/full", &link).unwrap();
    let link = link.to_str().unwrap();
    let document = Case::new(json!({"devices": [format!("{link}:/dev/full2")]})).json();
    assert_eq!(document["linux"]["devices"][0]["minor"], 7);

    // Links below a directory are not followed, so there is nothing in this one.
    let empty = format!("{}:/dev/all", dir.path().display());
    let case = Case::new(json!({"devices": ["/dev/full", empty]}));
    assert_eq!(case.wrong_at(), "/config/devices/1");

    let document = Case::new(json!({"devices": ["/dev:/all"]})).json();
    let nodes = document["linux"]["devices"].as_array().unwrap();
    let paths: Vec<&str> = nodes
        .iter()
        .map(|node| node["path"].as_str().unwrap())
        .collect();
    assert!(
        paths.contains(&"/all/null") && paths.contains(&"/all/full"),
        "{paths:?}"
    );
    assert!(!paths.contains(&"/all/console"), "{paths:?}");
    assert!(
        !paths.iter().any(|path| path.starts_with("/all/pts/")),
        "{paths:?}"
    );
}

#[test]
fn what_is_no_device_is_refused() {
    for device in ["/dev/no-such-device", "/etc/passwd"] {
        let case = Case::new(json!({"devices": [device]}));
        assert_eq!(case.wrong_at(), "/config/devices/0", "{device}");
    }
}

#[test]
fn privileged_has_all() {
    let document = Case::new(json!({"privileged": true, "devices": ["/dev/full:/dev/f:r"]})).json();
    let rules = &document["linux"]["resources"]["devices"];
    assert_eq!(*rules, json!([{"allow": true, "access": "rwm"}]));
    let nodes = document["linux"]["devices"].as_array().unwrap();
    for path in ["/dev/null", "/dev/full", "/dev/f"] {
        assert!(nodes.iter().any(|node| node["path"] == path), "{path}");
    }
}
