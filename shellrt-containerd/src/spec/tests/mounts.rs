//! Mounts. The defaults are those of docker (moby's `daemon/pkg/oci/defaults.go`).

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{json, Value};

use super::super::make_sources;
use super::{Case, HostMount};

fn mount<'a>(document: &'a Value, destination: &str) -> &'a Value {
    let mounts = document["mounts"].as_array().unwrap();
    let mut found = mounts
        .iter()
        .filter(|mount| mount["destination"] == destination);
    let mount = found.next().unwrap_or_else(|| panic!("no {destination}"));
    assert!(found.next().is_none(), "{destination} is there twice");
    mount
}

#[test]
fn what_every_container_has() {
    let document = Case::new(json!({})).json();
    let expected = json!([
        {"destination": "/proc", "type": "proc", "source": "proc",
         "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
         "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]},
        {"destination": "/etc/resolv.conf", "type": "bind", "source": "/run/resolv.conf",
         "options": ["rbind", "rw", "rprivate"]},
        {"destination": "/etc/hostname", "type": "bind", "source": "/run/hostname",
         "options": ["rbind", "rw", "rprivate"]},
        {"destination": "/etc/hosts", "type": "bind", "source": "/run/hosts",
         "options": ["rbind", "rw", "rprivate"]},
    ]);
    assert_eq!(document["mounts"], expected);
    assert!(document["linux"].get("rootfsPropagation").is_none());
}

#[test]
fn privileged_may_write_to_sys() {
    let document = Case::new(json!({"privileged": true})).json();
    for place in ["/sys", "/sys/fs/cgroup"] {
        let options = &mount(&document, place)["options"];
        assert_eq!(
            *options,
            json!(["nosuid", "noexec", "nodev", "rw"]),
            "{place}"
        );
    }
}

#[test]
fn read_only_root_and_the_size_of_shared_memory() {
    let document = Case::new(json!({"read_only": true, "shm_size": "1m"})).json();
    assert_eq!(
        document["root"],
        json!({"path": "rootfs", "readonly": true})
    );
    let options = &mount(&document, "/etc/hosts")["options"];
    assert_eq!(*options, json!(["rbind", "ro", "rprivate"]));
    let shm = &mount(&document, "/dev/shm")["options"];
    assert_eq!(shm[4], "size=1048576");
}

#[test]
fn the_machines_shared_memory() {
    let document = Case::new(json!({"ipc": "host"})).json();
    let shm = mount(&document, "/dev/shm");
    assert_eq!(shm["source"], "/dev/shm");
    assert_eq!(shm["type"], "bind");
}

#[test]
fn binds_volumes_and_memory() {
    let mut case = Case::new(json!({
        "mounts": [
            {"type": "bind", "source": "/etc", "target": "/data/deep/etc", "read_only": true},
            {"type": "volume", "source": "state", "target": "/data/deep"},
            {"type": "tmpfs", "target": "/data", "tmpfs": {"size": "1m", "mode": "0700"}},
            {"type": "bind", "source": "/usr", "target": "/etc/hosts"},
            {"type": "tmpfs", "target": "/plain", "read_only": true},
        ],
        "tmpfs": ["/run/app:exec,size=64m"],
    }));
    case.volumes
        .insert("/data/deep".to_owned(), PathBuf::from("/volumes/state"));
    case.volumes
        .insert("/wanted".to_owned(), PathBuf::from("/volumes/of-image"));
    let document = case.json();
    let expected = json!({"destination": "/data/deep/etc", "type": "bind", "source": "/etc",
        "options": ["rbind", "ro", "rprivate"]});
    assert_eq!(*mount(&document, "/data/deep/etc"), expected);
    let expected = json!({"destination": "/data/deep", "type": "bind", "source": "/volumes/state",
        "options": ["rbind", "rw", "rprivate"]});
    assert_eq!(*mount(&document, "/data/deep"), expected);
    let expected = json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs",
        "options": ["noexec", "nosuid", "nodev", "rprivate", "mode=700", "size=1048576"]});
    assert_eq!(*mount(&document, "/data"), expected);
    let options = &mount(&document, "/plain")["options"];
    assert_eq!(
        *options,
        json!(["noexec", "nosuid", "nodev", "rprivate", "mode=1777", "ro"])
    );
    let options = &mount(&document, "/run/app")["options"];
    assert_eq!(
        *options,
        json!(["noexec", "nosuid", "nodev", "rprivate", "exec", "size=64m"])
    );
    assert_eq!(mount(&document, "/wanted")["source"], "/volumes/of-image");
    // What the config puts there is not covered by the generated file.
    assert_eq!(mount(&document, "/etc/hosts")["source"], "/usr");

    let order: Vec<&str> = document["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["destination"].as_str().unwrap())
        .filter(|place| place.starts_with("/data"))
        .collect();
    assert_eq!(order, ["/data", "/data/deep", "/data/deep/etc"]);
}

#[test]
fn a_dev_of_ones_own() {
    let document = Case::new(json!({
        "mounts": [{"type": "bind", "source": "/dev", "target": "/dev"}]
    }))
    .json();
    let mounts = document["mounts"].as_array().unwrap();
    let dev = mounts
        .iter()
        .filter(|mount| mount["destination"].as_str().unwrap().starts_with("/dev"));
    assert_eq!(dev.count(), 1);
}

#[test]
fn a_source_must_be_there() {
    let mount = json!({"type": "bind", "source": "/no/such/place", "target": "/x"});
    let case = Case::new(json!({"mounts": [mount]}));
    assert_eq!(case.wrong_at(), "/config/mounts/0/source");
}

#[test]
fn a_source_is_made_where_that_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("not/yet");
    let mount = json!({"type": "bind", "source": source, "target": "/x"});
    let config =
        |mount: &Value| serde_json::from_value(json!({"image": "x", "mounts": [mount]})).unwrap();
    make_sources(&config(&mount)).unwrap();
    assert!(!source.exists());
    let mut mount = mount;
    mount["bind"] = json!({"create_host_path": true});
    make_sources(&config(&mount)).unwrap();
    assert_eq!(source.metadata().unwrap().permissions().mode(), 0o40755);
    Case::new(json!({"mounts": [mount]})).spec();

    // What is there is left as it is, a file too.
    let file = dir.path().join("file");
    std::fs::write(&file, "text").unwrap();
    mount["source"] = json!(file);
    make_sources(&config(&mount)).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "text");
    mount["source"] = json!(file.join("below"));
    let error = make_sources(&config(&mount)).unwrap_err();
    assert_eq!(error.detail["path"], "/config/mounts/0/source");
}

fn of_machine(target: &str, shared: bool, slave: bool) -> HostMount {
    HostMount {
        target: PathBuf::from(target),
        shared,
        slave,
    }
}

#[test]
fn propagation_needs_a_mount_that_has_it() {
    let with = |propagation: &str| {
        Case::new(
            json!({"mounts": [{"type": "bind", "source": "/usr", "target": "/x",
            "bind": {"propagation": propagation}}]}),
        )
    };
    for (propagation, root) in [
        ("rshared", "shared"),
        ("shared", "shared"),
        ("rslave", "rslave"),
    ] {
        let document = with(propagation).json();
        assert_eq!(
            mount(&document, "/x")["options"],
            json!(["rbind", "rw", propagation])
        );
        assert_eq!(document["linux"]["rootfsPropagation"], root);
    }
    let mut case = with("rshared");
    case.host.mounts = vec![
        of_machine("/", true, false),
        of_machine("/usr", false, true),
    ];
    assert_eq!(case.wrong_at(), "/config/mounts/0/bind/propagation");
    let mut case = with("rslave");
    case.host.mounts = vec![
        of_machine("/", true, false),
        of_machine("/usr", false, true),
    ];
    assert_eq!(case.json()["linux"]["rootfsPropagation"], "rslave");
    case.host.mounts = vec![of_machine("/", false, false)];
    assert_eq!(case.wrong_at(), "/config/mounts/0/bind/propagation");
}

#[test]
fn read_only_means_all_that_is_below() {
    let mut case = Case::new(json!({"mounts": [
        {"type": "bind", "source": "/usr", "target": "/x", "read_only": true}
    ]}));
    case.host.mounts.push(of_machine("/usrlocal", true, false));
    assert_eq!(mount(&case.json(), "/x")["options"][1], "ro");
    case.host.mounts.push(of_machine("/usr/local", true, false));
    assert_eq!(mount(&case.json(), "/x")["options"][1], "rro");
    case.host.kernel = (5, 11);
    assert_eq!(case.wrong_at(), "/config/mounts/0/read_only");
}
