//! Volumes: directories of ours that modules have as mounts. One with a name outlives its modules,
//! one without belongs to its module.

mod copy;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use shellrt_api::v0::config::containerd::{Config, MountKind};
use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;

use crate::error::Error;
use crate::module::Files;
use crate::spec::{ImageConfig, Layers};
use crate::Context;

/// Makes the directories of the volumes that `config` and `image` want; the answer has them by the
/// path in the container. A new one gets what the image has at its place, as in docker: `layers` are
/// the container's, `None` where they can't be seen.
///
/// # Errors
/// What the operating system refuses.
pub fn prepare(
    context: &Context,
    files: &Files,
    config: &Config,
    image: &ImageConfig,
    layers: Option<&Layers>,
) -> Result<BTreeMap<String, PathBuf>, Error> {
    let mut volumes = BTreeMap::new();
    for (index, mount) in config.mounts.iter().enumerate() {
        if mount.kind != MountKind::Volume {
            continue;
        }
        let copied = match &mount.volume {
            Some(options) if options.nocopy => None,
            _ => layers,
        };
        // The config was checked: a volume's name is no path, and does not begin with a dot.
        let Some(name) = mount.source.as_deref() else {
            let dir = files.volumes().join(format!("mount-{index}"));
            file::make_dir(&files.volumes())?;
            fill(&dir, &mount.target, copied)?;
            volumes.insert(mount.target.clone(), dir);
            continue;
        };
        // Two modules may be created with it at once.
        file::make_dir(&context.store.volumes())?;
        let lock = context.store.volume_lock(name);
        let _lock = Lock::exclusive(&lock, context.deadline)?;
        let dir = context.store.volume(name);
        fill(&dir, &mount.target, copied)?;
        volumes.insert(mount.target.clone(), dir);
    }
    let wanted = image.volumes.iter().flatten();
    for (index, (target, _)) in wanted.enumerate() {
        let target = format!("/{}", target.trim_matches('/'));
        let is_mount = config
            .mounts
            .iter()
            .any(|mount| mount.target.trim_end_matches('/') == target)
            || config
                .tmpfs
                .iter()
                .any(|tmpfs| tmpfs.target.trim_end_matches('/') == target);
        if target == "/" || target.contains('\0') || is_mount {
            continue;
        }
        let dir = files.volumes().join(index.to_string());
        file::make_dir(&files.volumes())?;
        fill(&dir, &target, layers)?;
        volumes.insert(target, dir);
    }
    Ok(volumes)
}

/// Makes the directory of a volume with what the image has at `target`; one that is there is left as
/// it is. It is there whole or not at all.
fn fill(dir: &Path, target: &str, layers: Option<&Layers>) -> Result<(), Error> {
    if dir.exists() {
        return Ok(());
    }
    let mut draft = dir.as_os_str().to_owned();
    // No volume has such a name.
    draft.push("~");
    let draft = PathBuf::from(draft);
    file::remove(&draft)?;
    let made = make(&draft, target, layers).and_then(|()| fs::rename(&draft, dir));
    made.map_err(|source| {
        let _ = file::remove(&draft);
        Error::file("fill", dir, source)
    })
}

fn make(draft: &Path, target: &str, layers: Option<&Layers>) -> io::Result<()> {
    // What a program in the container sees, so no user is shut out.
    DirBuilder::new().mode(0o755).create(draft)?;
    match layers
        .map(|layers| layers.directory(target))
        .transpose()?
        .flatten()
    {
        Some(directory) => copy::tree(&directory, draft),
        None => Ok(()),
    }
}
