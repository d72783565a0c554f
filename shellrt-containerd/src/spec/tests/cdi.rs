//! Devices of the Container Device Interface, by its specification (cncf-tags, SPEC.md). Numbers are
//! those of the kernel's documentation, admin-guide/devices.rst.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{json, Value};
use shellrt_api::v0::{config, Code, Error};
use tempfile::TempDir;

use super::super::{cdi, document::Spec};
use super::Case;

/// Two directories, the second of which wins.
struct World {
    dir: TempDir,
}

impl World {
    fn new(files: &[(&str, &str)]) -> World {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        World { dir }
    }

    fn dirs(&self) -> Vec<PathBuf> {
        let below = |name: &str| Path::new(self.dir.path()).join(name);
        vec![below("etc"), below("run"), below("missing")]
    }

    fn apply(&self, config: Value) -> Result<Spec, Error> {
        let mut document = Case::new(config.clone()).spec();
        let mut config = config;
        config["image"] = "example.com/app".into();
        let config: config::containerd::Config = config::decode(&config).unwrap();
        cdi::apply(&mut document, &config, &self.dirs())?;
        Ok(document)
    }

    fn json(&self, devices: Value) -> Value {
        let document = self.apply(json!({ "devices": devices })).unwrap();
        serde_json::to_value(document).unwrap()
    }

    fn refused(&self, devices: Value) -> String {
        let last = devices.as_array().unwrap().len() - 1;
        let error = self.apply(json!({ "devices": devices })).unwrap_err();
        assert_eq!(error.code, Code::INVALID_CONFIG);
        assert_eq!(error.detail["path"], format!("/config/devices/{last}"));
        error.message
    }
}

const VENDOR: &str = r#"
cdiVersion: "0.7.0"
kind: vendor.com/device
annotations: {a: b}
containerEdits:
  env: ["ALL=1"]
  additionalGids: [44, 0]
  hooks:
    - hookName: createContainer
      path: /bin/vendor-hook
      args: ["vendor-hook", "update"]
      env: ["A=b"]
      timeout: 5
devices:
  - name: one
    containerEdits:
      env: ["ONE=1", "PATH=/vendor/bin"]
      deviceNodes:
        - path: /dev/vendor0
          hostPath: /dev/full
          permissions: rw
          fileMode: 0o600
          uid: 7
          gid: 8
        - path: /dev/zero
      mounts:
        - hostPath: /vendor/lib
          containerPath: /lib/vendor
          options: [ro, nosuid, nodev, bind]
        - hostPath: /vendor/conf
          containerPath: /etc/hosts
  - name: "2"
    containerEdits: {env: ["TWO=2"]}
"#;

fn file(kind: &str, device: &str, edits: Value) -> String {
    let device = json!({"name": device, "containerEdits": edits});
    json!({"cdiVersion": "0.3.0", "kind": kind, "devices": [device]}).to_string()
}

#[test]
fn all_that_a_device_needs() {
    let world = World::new(&[("etc/vendor.yaml", VENDOR)]);
    let document = world.json(json!(["vendor.com/device=one", "vendor.com/device=2"]));
    let env = document["process"]["env"].as_array().unwrap();
    for variable in ["ALL=1", "ONE=1", "TWO=2", "PATH=/vendor/bin"] {
        let count = env.iter().filter(|other| **other == variable).count();
        assert_eq!(count, 1, "{variable}: {env:?}");
    }
    let is_path = |other: &&Value| other.as_str().unwrap().starts_with("PATH=");
    assert_eq!(env.iter().filter(is_path).count(), 1, "{env:?}");
    let groups = document["process"]["user"]["additionalGids"].as_array();
    assert!(groups.unwrap().contains(&json!(44)), "{groups:?}");
    assert_eq!(
        document["hooks"],
        json!({"createContainer": [{
            "path": "/bin/vendor-hook", "args": ["vendor-hook", "update"], "env": ["A=b"],
            "timeout": 5
        }]})
    );
    let nodes = document["linux"]["devices"].as_array().unwrap();
    assert_eq!(
        nodes[0],
        json!({"path": "/dev/vendor0", "type": "c", "major": 1, "minor": 7, "fileMode": 0o600,
               "uid": 7, "gid": 8})
    );
    assert_eq!(nodes[1]["path"], "/dev/zero");
    assert_eq!(
        (&nodes[1]["major"], &nodes[1]["minor"]),
        (&json!(1), &json!(5))
    );
    let rules = document["linux"]["resources"]["devices"]
        .as_array()
        .unwrap();
    let rule = json!({"allow": true, "type": "c", "major": 1, "minor": 7, "access": "rw"});
    assert!(rules.contains(&rule), "{rules:?}");
    let mounts = document["mounts"].as_array().unwrap();
    let at = |target: &str| {
        let all = mounts.iter().filter(|mount| mount["destination"] == target);
        all.cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        at("/lib/vendor"),
        [
            json!({"destination": "/lib/vendor", "type": "bind", "source": "/vendor/lib",
                "options": ["ro", "nosuid", "nodev", "bind"]})
        ]
    );
    // It takes the place of ours.
    assert_eq!(at("/etc/hosts").len(), 1);
    assert_eq!(at("/etc/hosts")[0]["source"], "/vendor/conf");
    assert_eq!(at("/etc/hosts")[0]["options"], json!(["rbind"]));
}

#[test]
fn only_what_is_asked_for() {
    let world = World::new(&[("etc/vendor.yaml", VENDOR)]);
    let document = world.json(json!(["vendor.com/device=2"]));
    let env = document["process"]["env"].as_array().unwrap();
    assert!(env.contains(&json!("ALL=1")) && env.contains(&json!("TWO=2")));
    assert!(!env.contains(&json!("ONE=1")));
    assert!(document["linux"].get("devices").is_none());
    // Nothing is read for a container without such devices.
    let broken = World::new(&[("etc/a.json", "{")]);
    let plain = broken.json(json!(["/dev/full"]));
    assert!(plain.get("hooks").is_none());
}

#[test]
fn the_later_directory_wins_and_two_files_of_one_are_a_conflict() {
    let one = file("vendor.com/device", "a", json!({"env": ["FROM=etc"]}));
    let two = file("vendor.com/device", "a", json!({"env": ["FROM=run"]}));
    let world = World::new(&[("etc/a.json", &one), ("run/b.json", &two)]);
    let document = world.json(json!(["vendor.com/device=a"]));
    let env = document["process"]["env"].as_array().unwrap();
    assert!(
        env.contains(&json!("FROM=run")) && !env.contains(&json!("FROM=etc")),
        "{env:?}"
    );
    let world = World::new(&[("etc/a.json", &one), ("etc/b.json", &two)]);
    let message = world.refused(json!(["vendor.com/device=a"]));
    assert!(message.contains("so does another file"), "{message}");
}

#[test]
fn what_is_not_there_is_told() {
    let other = file("vendor.com/device", "other", json!({}));
    let world = World::new(&[
        ("etc/a.json", &other),
        ("etc/b.json", "{"),
        ("etc/c.txt", "{"),
    ]);
    let message = world.refused(json!(["vendor.com/device=other", "vendor.com/device=a"]));
    assert!(message.contains("vendor.com/device=other"), "{message}");
    assert!(
        message.contains("b.json") && !message.contains("c.txt"),
        "{message}"
    );
    let world = World::new(&[]);
    let message = world.refused(json!(["vendor.com/device=a"]));
    assert!(message.contains("no file describes"), "{message}");
    for edits in [
        json!({"deviceNodes": [{"path": "/dev/no-such-device"}]}),
        json!({"deviceNodes": [{"path": "/etc/passwd"}]}),
        json!({"deviceNodes": [{"path": "/dev/full", "type": "p"}]}),
        json!({"hooks": [{"hookName": "never", "path": "/bin/true"}]}),
        json!({"env": ["A"]}),
        json!({"intelRdt": {}}),
        json!({"netDevices": []}),
        json!({"newField": []}),
    ] {
        let text = file("vendor.com/device", "a", edits);
        World::new(&[("etc/a.json", &text)]).refused(json!(["vendor.com/device=a"]));
    }
}
