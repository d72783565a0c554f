//! What it sees of the machine's files.

use shellrt_api::v0::config::containerd::{
    BindOptions, Mount, MountKind, Propagation, Tmpfs, TmpfsOptions, VolumeOptions,
};
use shellrt_api::v0::config::{docker, invalid, Bytes};
use shellrt_api::v0::Error;

use super::{escaped, Machine, Mapped};

pub(super) fn map(
    mapped: &mut Mapped,
    body: &docker::Config,
    machine: &Machine,
) -> Result<(), Error> {
    let host = &body.host_config;
    for (index, text) in host.binds.iter().enumerate() {
        let place = format!("/HostConfig/Binds/{index}");
        let (mount, has_label) = bind(text).map_err(|reason| invalid(&place, &reason))?;
        if has_label && machine.selinux {
            mapped.ignore(&place);
        }
        add(mapped, mount, &place, None);
    }
    for (index, wanted) in host.mounts.iter().enumerate() {
        let place = format!("/HostConfig/Mounts/{index}");
        let mount = long(wanted)
            .map_err(|(field, reason)| invalid(&format!("{place}/{field}"), &reason))?;
        add(mapped, mount, &place, Some(["Source", "Target"]));
    }
    for (target, options) in &host.tmpfs {
        let options = options.split(',').filter(|option| !option.is_empty());
        let place = format!("/HostConfig/Tmpfs/{}", escaped(target));
        mapped.comes_from(format!("/tmpfs/{}", mapped.config.tmpfs.len()), place);
        mapped.config.tmpfs.push(Tmpfs {
            target: target.clone(),
            options: options.map(str::to_owned).collect(),
        });
    }
    for target in body.volumes.keys() {
        let trimmed = |path: &str| path.trim_end_matches('/').to_owned();
        let config = &mapped.config;
        let mut taken = (config.mounts.iter().map(|mount| &mount.target))
            .chain(config.tmpfs.iter().map(|tmpfs| &tmpfs.target));
        if taken.any(|other| trimmed(other) == trimmed(target)) {
            continue;
        }
        let place = format!("/Volumes/{}", escaped(target));
        add(mapped, bare(MountKind::Volume, None, target), &place, None);
    }
    Ok(())
}

fn add(mapped: &mut Mapped, mount: Mount, place: &str, fields: Option<[&str; 2]>) {
    let ours = format!("/mounts/{}", mapped.config.mounts.len());
    for (field, key) in fields.into_iter().flatten().zip(["source", "target"]) {
        mapped.comes_from(format!("{ours}/{key}"), format!("{place}/{field}"));
    }
    mapped.comes_from(ours, place);
    mapped.config.mounts.push(mount);
}

fn bare(kind: MountKind, source: Option<&str>, target: &str) -> Mount {
    Mount {
        kind,
        source: source.map(str::to_owned),
        target: target.to_owned(),
        read_only: false,
        bind: None,
        tmpfs: None,
        volume: None,
    }
}

/// Reads `source:target:options`, and whether the options ask for a label of SELinux.
fn bind(text: &str) -> Result<(Mount, bool), String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => {
            return Err(format!(
                "{text:?} is no mount; write \"source:target\" or \"source:target:options\""
            ))
        }
    };
    let mut mount = match source {
        None => bare(MountKind::Volume, None, target),
        Some(source) if source.starts_with('/') => Mount {
            bind: Some(BindOptions {
                create_host_path: true,
                ..BindOptions::default()
            }),
            ..bare(MountKind::Bind, Some(source), target)
        },
        Some(source) => bare(MountKind::Volume, Some(source), target),
    };
    let mut has_label = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let is_known = match option {
            "rw" => true,
            "ro" => {
                mount.read_only = true;
                true
            }
            "z" | "Z" => {
                has_label = true;
                true
            }
            "nocopy" if mount.kind == MountKind::Volume => {
                mount.volume = Some(VolumeOptions { nocopy: true });
                true
            }
            // Of docker's for the desktop; on Linux they are all the same.
            "consistent" | "cached" | "delegated" | "default" => true,
            word => match (propagation(word), &mut mount.bind) {
                (Some(propagation), Some(bind)) => {
                    bind.propagation = Some(propagation);
                    true
                }
                _ => false,
            },
        };
        if !is_known {
            return Err(format!(
                "{option:?} is no option of a mount; there are \"ro\", \"rw\", \"z\", \"Z\", for a \
                 path \"rshared\", \"rslave\" and others of mount(8), for a volume \"nocopy\""
            ));
        }
    }
    Ok((mount, has_label))
}

fn propagation(word: &str) -> Option<Propagation> {
    match word {
        "private" => Some(Propagation::Private),
        "rprivate" => Some(Propagation::Rprivate),
        "shared" => Some(Propagation::Shared),
        "rshared" => Some(Propagation::Rshared),
        "slave" => Some(Propagation::Slave),
        "rslave" => Some(Propagation::Rslave),
        _ => None,
    }
}

/// Reads the long form; or says which field is wrong, and why.
fn long(wanted: &docker::Mount) -> Result<Mount, (&'static str, String)> {
    let kind = match wanted.r#type.as_str() {
        "bind" => MountKind::Bind,
        "volume" => MountKind::Volume,
        "tmpfs" => MountKind::Tmpfs,
        other => {
            let reason = format!(
                "there are no mounts of the type {other:?} here; there are \
                                  \"bind\", \"volume\" and \"tmpfs\""
            );
            return Err(("Type", reason));
        }
    };
    for (field, own, given) in [
        (
            "BindOptions",
            MountKind::Bind,
            wanted.bind_options.is_some(),
        ),
        (
            "VolumeOptions",
            MountKind::Volume,
            wanted.volume_options.is_some(),
        ),
        (
            "TmpfsOptions",
            MountKind::Tmpfs,
            wanted.tmpfs_options.is_some(),
        ),
    ] {
        if given && own != kind {
            let reason = format!("it is not for mounts of the type {:?}", wanted.r#type);
            return Err((field, reason));
        }
    }
    let source = (!wanted.source.is_empty()).then_some(wanted.source.as_str());
    let mut mount = bare(kind, source, &wanted.target);
    mount.read_only = wanted.read_only;
    if let Some(options) = &wanted.bind_options {
        let word = match options.propagation.as_str() {
            "" => None,
            word => Some(propagation(word).ok_or_else(|| {
                let reason = format!("{word:?} is no propagation of mount(8)");
                ("BindOptions/Propagation", reason)
            })?),
        };
        mount.bind = Some(BindOptions {
            propagation: word,
            create_host_path: options.create_mountpoint,
        });
    }
    if let Some(options) = &wanted.volume_options {
        let driver = options.driver_config.clone().unwrap_or_default();
        if !matches!(driver.name.as_str(), "" | "local") || !driver.options.is_empty() {
            let reason = "volumes are directories of this machine here; mount what is elsewhere \
                          and bind it";
            return Err(("VolumeOptions/DriverConfig", reason.to_owned()));
        }
        mount.volume = options.no_copy.then_some(VolumeOptions { nocopy: true });
    }
    if let Some(options) = &wanted.tmpfs_options {
        mount.tmpfs = Some(TmpfsOptions {
            size: (options.size_bytes > 0).then_some(Bytes(options.size_bytes)),
            mode: (options.mode > 0).then_some(options.mode),
        });
    }
    Ok(mount)
}
