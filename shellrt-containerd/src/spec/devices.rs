//! The devices of a container: which nodes it has, and which it may use.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use shellrt_api::v0::{config, Error};

use super::document::{Device, DeviceRule};
use super::Facts;

/// The nodes beside those that the runtime makes for every container, and the rules, of which a
/// later one wins.
///
/// # Errors
/// Error 4 at the device: it is not there, or it is none.
pub(super) fn devices(facts: Facts) -> Result<(Vec<Device>, Vec<DeviceRule>), Error> {
    let privileged = facts.config.privileged;
    let mut nodes = Vec::new();
    let mut rules = vec![DeviceRule {
        allow: privileged,
        access: "rwm".to_owned(),
        ..DeviceRule::default()
    }];
    if privileged {
        below(Path::new("/dev"), Path::new("/dev"), &mut nodes);
    } else {
        rules.extend(DEFAULT.map(|(major, minor)| rule("c", major, minor, "rwm")));
    }
    for (index, wanted) in facts.config.devices.iter().enumerate() {
        let config::containerd::Device::Node(wanted) = wanted else {
            // What it means is in a file; see `cdi`.
            continue;
        };
        let found = find(Path::new(&wanted.source), Path::new(&wanted.target));
        let found =
            found.map_err(|reason| config::invalid(&format!("/devices/{index}"), &reason))?;
        if !privileged {
            let allowed = found.iter();
            rules.extend(
                allowed.map(|node| rule(node.kind, node.major, node.minor, &wanted.permissions)),
            );
        }
        for node in found {
            // Of two with one path the one that is asked for last is made.
            nodes.retain(|other: &Device| other.path != node.path);
            nodes.push(node);
        }
    }
    Ok((nodes, rules))
}

/// What docker allows to every container, by major and minor number: zero, null, urandom, random,
/// tty and console. The runtime adds full, the terminals of devpts, and making nodes.
const DEFAULT: [(i64, i64); 6] = [(1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1)];

/// Directories of /dev that are file systems of their own, or another program's.
const NOT_DEVICES: [&str; 7] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"];

pub(super) fn rule(kind: &'static str, major: i64, minor: i64, access: &str) -> DeviceRule {
    DeviceRule {
        allow: true,
        kind: Some(kind),
        major: Some(major),
        minor: Some(minor),
        access: access.to_owned(),
    }
}

/// The device at `source`, or all below it where it is a directory.
fn find(source: &Path, target: &Path) -> Result<Vec<Device>, String> {
    // Names like /dev/disk/by-id/... are links.
    let real = fs::canonicalize(source)
        .map_err(|error| format!("there is no device {source:?} on this machine: {error}"))?;
    if real.is_dir() {
        let mut found = Vec::new();
        below(&real, target, &mut found);
        if found.is_empty() {
            return Err(format!("there are no devices in {source:?}"));
        }
        return Ok(found);
    }
    let node = node(&real, target);
    node.map(|node| vec![node])
        .ok_or_else(|| format!("{source:?} is no device; a file or directory is for mounts"))
}

/// Adds the devices below a directory, in the order of their names. What is none is passed over, as
/// are links, which would name a device twice.
fn below(source: &Path, target: &Path, found: &mut Vec<Device>) {
    let entries = fs::read_dir(source).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let Some(name) = path.file_name() else {
            continue;
        };
        let target = target.join(name);
        if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            if !NOT_DEVICES.iter().any(|other| name == *other) {
                below(&path, &target, found);
            }
        } else if name != "console" {
            // The console is the container's own terminal.
            found.extend(node(&path, &target));
        }
    }
}

/// The device at `source`, under the name `target`.
pub(super) fn node(source: &Path, target: &Path) -> Option<Device> {
    let metadata = fs::symlink_metadata(source).ok()?;
    let kind = metadata.file_type();
    let kind = match (kind.is_char_device(), kind.is_block_device()) {
        (true, _) => "c",
        (_, true) => "b",
        _ => return None,
    };
    let number = metadata.rdev();
    Some(Device {
        path: target.to_string_lossy().into_owned(),
        kind,
        major: rustix::fs::major(number).into(),
        minor: rustix::fs::minor(number).into(),
        file_mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
    })
}
