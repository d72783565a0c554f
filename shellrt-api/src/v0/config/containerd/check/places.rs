//! Where things are: mounts, memory file systems and devices.

use super::super::super::super::Error;
use super::super::super::invalid;
use super::super::{Config, Device, Mount, MountKind, Tmpfs};
use super::no_nul;

pub(super) fn check(config: &Config) -> Result<(), Error> {
    // Where something is already, and the field that says so.
    let mut taken = Vec::new();
    for (index, mount) in config.mounts.iter().enumerate() {
        let path = format!("/mounts/{index}");
        sound(&path, mount)?;
        free(&mut taken, &format!("{path}/target"), &mount.target)?;
    }
    for (index, tmpfs) in config.tmpfs.iter().enumerate() {
        let path = format!("/tmpfs/{index}");
        target(&path, &tmpfs.target)?;
        options(&path, tmpfs)?;
        free(&mut taken, &path, &tmpfs.target)?;
    }
    for (index, device) in config.devices.iter().enumerate() {
        let path = format!("/devices/{index}");
        match device {
            Device::Node(device) => {
                absolute(&path, &device.source)?;
                target(&path, &device.target)?;
                free(&mut taken, &path, &device.target)?;
            }
            Device::Cdi(name) => {
                if config.devices[..index].contains(device) {
                    return Err(invalid(&path, &format!("{name:?} is there already")));
                }
            }
        }
    }
    Ok(())
}

/// A mount by itself.
pub(in super::super::super) fn sound(path: &str, mount: &Mount) -> Result<(), Error> {
    let Mount {
        kind,
        source,
        target: place,
        read_only: _,
        bind,
        tmpfs,
        volume,
    } = mount;
    let (at_source, at_target) = (format!("{path}/source"), format!("{path}/target"));
    match (kind, source) {
        (MountKind::Bind, Some(source)) => absolute(&at_source, source)?,
        (MountKind::Volume, Some(name)) if is_volume(name) => {}
        (MountKind::Volume, Some(name)) => {
            let reason = format!(
                "{name:?} is no volume's name; it begins with a letter or digit, and letters, \
                 digits, \"_\", \".\" and \"-\" follow, 128 at most"
            );
            return Err(invalid(&at_source, &reason));
        }
        (MountKind::Tmpfs | MountKind::Volume, None) => {}
        (MountKind::Tmpfs, Some(_)) => {
            return Err(invalid(&at_source, "a memory file system has no source"));
        }
        (MountKind::Bind, None) => {
            let reason = "a bind mount needs a \"source\", a path on the machine";
            return Err(invalid(path, reason));
        }
    }
    target(&at_target, place)?;
    for (key, own, given) in [
        ("bind", MountKind::Bind, bind.is_some()),
        ("tmpfs", MountKind::Tmpfs, tmpfs.is_some()),
        ("volume", MountKind::Volume, volume.is_some()),
    ] {
        if given && own != *kind {
            let reason = format!("it is for mounts of the type {key:?} only");
            return Err(invalid(&format!("{path}/{key}"), &reason));
        }
    }
    let tmpfs = tmpfs.as_ref();
    if tmpfs
        .and_then(|tmpfs| tmpfs.mode)
        .is_some_and(|mode| mode > 0o7777)
    {
        let reason = "permissions end at octal 7777; text like \"1777\" is octal, numbers are not";
        return Err(invalid(&format!("{path}/tmpfs/mode"), reason));
    }
    if tmpfs
        .and_then(|tmpfs| tmpfs.size)
        .is_some_and(|size| size.0 == 0)
    {
        let reason = "it must be more than 0; leave it out for half of the memory";
        return Err(invalid(&format!("{path}/tmpfs/size"), reason));
    }
    Ok(())
}

/// Fails unless `place` is an absolute path without `..`.
pub(in super::super::super) fn absolute(path: &str, place: &str) -> Result<(), Error> {
    no_nul(path, place)?;
    if !place.starts_with('/') {
        return Err(invalid(path, &format!("{place:?} is no absolute path")));
    }
    if place.split('/').any(|part| part == "..") {
        let reason = format!("{place:?} goes through \"..\"; write the path without it");
        return Err(invalid(path, &reason));
    }
    Ok(())
}

/// Fails unless something can be put at `place` in the container.
fn target(path: &str, place: &str) -> Result<(), Error> {
    absolute(path, place)?;
    match parts(place).is_empty() {
        true => Err(invalid(
            path,
            "\"/\" is the image's own; write a path below it",
        )),
        false => Ok(()),
    }
}

/// Fails if `place` is one of `taken`, and adds it.
pub(in super::super::super) fn free<'a>(
    taken: &mut Vec<(Vec<&'a str>, String)>,
    path: &str,
    place: &'a str,
) -> Result<(), Error> {
    let parts = parts(place);
    if let Some((_, first)) = taken.iter().find(|(other, _)| *other == parts) {
        let first = first.trim_start_matches('/');
        let reason = format!("{place:?} is taken by {first:?} already");
        return Err(invalid(path, &reason));
    }
    taken.push((parts, path.to_owned()));
    Ok(())
}

/// The parts of a path that mean something.
fn parts(place: &str) -> Vec<&str> {
    let all = place.split('/');
    all.filter(|part| !part.is_empty() && *part != ".")
        .collect()
}

/// docker's form, with a limit because the name becomes that of a directory.
fn is_volume(name: &str) -> bool {
    let sound = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    name.len() <= 128
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(sound)
}

/// The options of a memory file system that stand alone; those of mount(8) that docker takes.
const FLAGS: [&str; 22] = [
    "rw",
    "ro",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "mand",
    "nomand",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "defaults",
];

/// The options of a memory file system that have a value.
const SETTINGS: [&str; 7] = [
    "size",
    "mode",
    "uid",
    "gid",
    "nr_inodes",
    "nr_blocks",
    "mpol",
];

fn options(path: &str, tmpfs: &Tmpfs) -> Result<(), Error> {
    for option in &tmpfs.options {
        let known = match option.split_once('=') {
            Some((_, "")) => false,
            Some((key, _)) => SETTINGS.contains(&key),
            None => FLAGS.contains(&option.as_str()),
        };
        if !known {
            let reason = format!(
                "{option:?} is no option of a memory file system; there are \"size=64m\", \
                 \"mode=1777\", \"uid=0\", \"gid=0\", \"ro\", \"exec\" and more of mount(8)"
            );
            return Err(invalid(path, &reason));
        }
    }
    Ok(())
}
