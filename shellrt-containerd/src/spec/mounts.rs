//! What is mounted in a container: what every container has, then what the config asks for and the
//! image wants.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use shellrt_api::v0::config::containerd::{self, MountKind, Namespace, Propagation};
use shellrt_api::v0::config::invalid;
use shellrt_api::v0::Error;

use super::document::Mount;
use super::host::{Host, HostMount};
use super::Facts;

/// The mounts of a container in the order in which they are made, and the propagation of its root,
/// empty for none.
///
/// # Errors
/// Error 4 at the mount: a source that is not there, a propagation that this machine's mounts do
/// not have, a read-only mount that this kernel can't make one throughout.
pub(super) fn mounts(facts: Facts) -> Result<(Vec<Mount>, String), Error> {
    let mut asked = Vec::new();
    let mut propagation = "";
    for (index, wanted) in facts.config.mounts.iter().enumerate() {
        let (mount, of_root) = from_config(facts, wanted)
            .map_err(|(field, reason)| invalid(&format!("/mounts/{index}/{field}"), &reason))?;
        asked.push(mount);
        propagation = wider(propagation, of_root);
    }
    for wanted in &facts.config.tmpfs {
        asked.push(tmpfs(&wanted.target, &wanted.options));
    }
    for (target, source) in facts.volumes {
        if !covers(&asked, target) {
            asked.push(rbind(
                &source.to_string_lossy(),
                target,
                "rw",
                Propagation::Rprivate,
            ));
        }
    }
    let files = [
        (facts.files.resolv_conf, "/etc/resolv.conf"),
        (facts.files.hostname, "/etc/hostname"),
        (facts.files.hosts, "/etc/hosts"),
    ];
    let access = if facts.config.read_only { "ro" } else { "rw" };
    for (source, target) in files {
        if !covers(&asked, target) {
            asked.push(rbind(
                &source.to_string_lossy(),
                target,
                access,
                Propagation::Rprivate,
            ));
        }
    }
    // What lies below another mount must be mounted after it.
    asked.sort_by_key(|mount| depth(&mount.destination));

    let mut all = default(facts);
    let dev_is_asked = covers(&asked, "/dev");
    all.retain(|mount| {
        let is_gone = dev_is_asked && mount.destination.starts_with("/dev/");
        !is_gone && !covers(&asked, &mount.destination)
    });
    all.extend(asked);
    Ok((all, propagation.to_owned()))
}

/// Makes the sources of binds that are not there and that the config wants made.
///
/// # Errors
/// Error 4 at the source that can't be made.
pub fn make_sources(config: &containerd::Config) -> Result<(), Error> {
    for (index, mount) in config.mounts.iter().enumerate() {
        let bind = mount.bind.as_ref();
        let wanted = bind.is_some_and(|bind| bind.create_host_path);
        let Some(source) = mount.source.as_deref().filter(|_| wanted) else {
            continue;
        };
        if Path::new(source).exists() {
            continue;
        }
        // The mask of whoever calls should not keep the container's users out.
        let made = fs::create_dir_all(source)
            .and_then(|()| fs::set_permissions(source, fs::Permissions::from_mode(0o755)));
        made.map_err(|error| {
            let path = format!("/mounts/{index}/source");
            invalid(&path, &format!("can't make {source:?}: {error}"))
        })?;
    }
    Ok(())
}

/// What every container has mounted.
fn default(facts: Facts) -> Vec<Mount> {
    let shm_size = facts
        .config
        .shm_size
        .unwrap_or(containerd::DEFAULT_SHM_SIZE);
    let shm_size = format!("size={}", shm_size.0);
    let kernel = if facts.config.privileged { "rw" } else { "ro" };
    let mount = |kind: &str, source: &str, destination: &str, options: &[&str]| Mount {
        destination: destination.to_owned(),
        kind: kind.to_owned(),
        source: source.to_owned(),
        options: options.iter().map(|&option| option.to_owned()).collect(),
    };
    let none = ["nosuid", "noexec", "nodev"];
    let plus = |more: &[&'static str]| [&none[..], more].concat();
    let terminals = [
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
        "gid=5",
    ];
    let dev = ["nosuid", "strictatime", "mode=755", "size=65536k"];
    let mut all = vec![
        mount("proc", "proc", "/proc", &none),
        mount("tmpfs", "tmpfs", "/dev", &dev),
        mount("devpts", "devpts", "/dev/pts", &terminals),
        mount("sysfs", "sysfs", "/sys", &plus(&[kernel])),
        mount("cgroup", "cgroup", "/sys/fs/cgroup", &plus(&[kernel])),
        mount("mqueue", "mqueue", "/dev/mqueue", &none),
    ];
    let shm = ["nosuid", "noexec", "nodev", "mode=1777", &shm_size];
    all.push(match facts.config.ipc {
        Namespace::Private => mount("tmpfs", "shm", "/dev/shm", &shm),
        // Shared memory is files there.
        Namespace::Host => rbind("/dev/shm", "/dev/shm", "rw", Propagation::Rprivate),
    });
    all
}

/// A mount of the config and the propagation of the root that it needs; or which field is wrong, and
/// why.
fn from_config(
    facts: Facts,
    wanted: &containerd::Mount,
) -> Result<(Mount, &'static str), (&'static str, String)> {
    match wanted.kind {
        MountKind::Tmpfs => Ok((tmpfs(&wanted.target, &tmpfs_options(wanted)), "")),
        MountKind::Bind => {
            let source = wanted.source.as_deref().unwrap_or_default();
            if !Path::new(source).exists() {
                let what = "is not on this machine; make it, or set create_host_path";
                return Err(("source", format!("{source:?} {what}")));
            }
            let propagation = wanted.bind.as_ref().and_then(|bind| bind.propagation);
            let propagation = propagation.unwrap_or_default();
            let of_root = root_propagation(propagation, Path::new(source), facts.host)
                .map_err(|reason| ("bind/propagation", reason))?;
            let mount = bind(source, wanted, propagation, facts.host)
                .map_err(|reason| ("read_only", reason))?;
            Ok((mount, of_root))
        }
        MountKind::Volume => {
            let Some(source) = facts.volumes.get(&wanted.target) else {
                return Err(("source", "the volume has no directory".to_owned()));
            };
            let mount = bind(
                &source.to_string_lossy(),
                wanted,
                Propagation::Rprivate,
                facts.host,
            )
            .map_err(|reason| ("read_only", reason))?;
            Ok((mount, ""))
        }
    }
}

/// A bind mount as the config asks for it.
fn bind(
    source: &str,
    mount: &containerd::Mount,
    propagation: Propagation,
    host: &Host,
) -> Result<Mount, String> {
    let below =
        |other: &&HostMount| other.target != Path::new(source) && other.target.starts_with(source);
    let access = match host.mounts.iter().find(below) {
        _ if !mount.read_only => "rw",
        None => "ro",
        // `ro` is for the mount itself; what is mounted below it could be written to.
        Some(_) if host.has_kernel((5, 12)) => "rro",
        Some(other) => {
            return Err(format!(
                "before Linux 5.12 what is mounted below {source:?} can't be made read-only with \
                 it, as {:?} would have to be; mount the parts one by one",
                other.target
            ));
        }
    };
    Ok(rbind(source, &mount.target, access, propagation))
}

fn rbind(source: &str, target: &str, access: &str, propagation: Propagation) -> Mount {
    let options = ["rbind", access, word(propagation)];
    Mount {
        destination: target.to_owned(),
        kind: "bind".to_owned(),
        source: source.to_owned(),
        options: options.into_iter().map(str::to_owned).collect(),
    }
}

/// A memory file system, by default without programs, devices and set-user-id bits. Of an option
/// and its opposite the later one counts.
fn tmpfs(target: &str, options: &[String]) -> Mount {
    let default = ["noexec", "nosuid", "nodev", "rprivate"].map(str::to_owned);
    Mount {
        destination: target.to_owned(),
        kind: "tmpfs".to_owned(),
        source: "tmpfs".to_owned(),
        options: default.into_iter().chain(options.iter().cloned()).collect(),
    }
}

/// The options of a mount of the type `tmpfs`. Without a mode the runtime takes that of the image's
/// directory, and docker documents 1777.
fn tmpfs_options(mount: &containerd::Mount) -> Vec<String> {
    let given = mount.tmpfs.clone().unwrap_or_default();
    let mut options = vec![format!("mode={:o}", given.mode.unwrap_or(0o1777))];
    options.extend(given.size.map(|size| format!("size={}", size.0)));
    if mount.read_only {
        options.push("ro".to_owned());
    }
    options
}

fn covers(mounts: &[Mount], target: &str) -> bool {
    let target = Path::new(target);
    mounts
        .iter()
        .any(|mount| Path::new(&mount.destination) == target)
}

fn depth(path: &str) -> usize {
    Path::new(path).components().count()
}

/// How the container's root must be mounted so that a bind mount can have the propagation.
fn root_propagation(
    wanted: Propagation,
    source: &Path,
    host: &Host,
) -> Result<&'static str, String> {
    // A bind's source may be reached through symbolic links.
    let real = source.canonicalize().unwrap_or_else(|_| source.to_owned());
    let above = host
        .mounts
        .iter()
        .filter(|mount| real.starts_with(&mount.target));
    // Of two mounts at one place the later one is seen.
    let above = above.max_by_key(|mount| mount.target.components().count());
    let (shared, slave) = above.map_or((false, false), |mount| (mount.shared, mount.slave));
    let needs = match wanted {
        Propagation::Private | Propagation::Rprivate => return Ok(""),
        Propagation::Shared | Propagation::Rshared if shared => return Ok("shared"),
        Propagation::Slave | Propagation::Rslave if shared || slave => return Ok("rslave"),
        Propagation::Shared | Propagation::Rshared => "a shared mount",
        Propagation::Slave | Propagation::Rslave => "a shared or slave mount",
    };
    Err(format!(
        "{:?} is not on {needs}; \"mount --make-rshared\" makes one",
        source
    ))
}

/// What is wide enough for both.
fn wider(one: &'static str, other: &'static str) -> &'static str {
    if one == "shared" || other.is_empty() {
        one
    } else {
        other
    }
}

fn word(propagation: Propagation) -> &'static str {
    match propagation {
        Propagation::Private => "private",
        Propagation::Rprivate => "rprivate",
        Propagation::Shared => "shared",
        Propagation::Rshared => "rshared",
        Propagation::Slave => "slave",
        Propagation::Rslave => "rslave",
    }
}
