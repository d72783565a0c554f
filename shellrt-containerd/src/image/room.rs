//! Where containerd keeps images, and whether there is room for one more.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use containerd_client::services::v1 as api;

use crate::containerd::{ask, Containerd};
use crate::error::Error;

/// The variable that names the snapshotter, as for containerd's other clients.
const SNAPSHOTTER_VARIABLE: &str = "CONTAINERD_SNAPSHOTTER";

/// Those that are taken unless the variable says otherwise: the first that works.
const SNAPSHOTTERS: [&str; 3] = ["overlayfs", "fuse-overlayfs", "native"];

/// What containerd has for images.
#[derive(Debug)]
pub(super) struct Stores {
    /// The snapshotter that is used.
    pub(super) snapshotter: String,
    /// Where the blobs are.
    pub(super) content: Option<PathBuf>,
    /// Where the snapshots are.
    snapshots: Option<PathBuf>,
}

impl Stores {
    /// # Errors
    /// [`Error::Runtime`].
    pub(super) async fn find(containerd: &Containerd) -> Result<Stores, Error> {
        let request = api::PluginsRequest {
            filters: vec![
                "type==io.containerd.snapshotter.v1".to_owned(),
                "type==io.containerd.content.v1".to_owned(),
            ],
        };
        let answer = ask(
            "list the plugins",
            containerd.introspection().plugins(request),
        )
        .await?;
        let plugins = answer.plugins.into_iter();
        let working = plugins.filter(|plugin| plugin.init_err.is_none());
        let mut content = None;
        let mut snapshotters: HashMap<String, Option<PathBuf>> = HashMap::new();
        for mut plugin in working {
            let root = plugin.exports.remove("root").map(PathBuf::from);
            if plugin.r#type == "io.containerd.content.v1" {
                content = content.or(root);
            } else {
                snapshotters.insert(plugin.id, root);
            }
        }
        let named = std::env::var(SNAPSHOTTER_VARIABLE).ok();
        let snapshotter = named.filter(|name| !name.is_empty()).unwrap_or_else(|| {
            let works = |name: &&&str| snapshotters.contains_key(**name);
            let first = SNAPSHOTTERS.iter().find(works);
            (*first.unwrap_or(&SNAPSHOTTERS[0])).to_owned()
        });
        Ok(Stores {
            content,
            snapshots: snapshotters.remove(&snapshotter).flatten(),
            snapshotter,
        })
    }

    /// Whether so many bytes of blobs and of snapshots fit.
    ///
    /// # Errors
    /// [`Error::DiskFull`].
    pub(super) fn check(&self, blobs: u64, snapshots: u64) -> Result<(), Error> {
        let disks = (
            self.content.as_deref().and_then(Disk::of),
            self.snapshots.as_deref().and_then(Disk::of),
        );
        match disks {
            (Some(content), Some(other)) if content.id == other.id => {
                content.check(blobs.saturating_add(snapshots))
            }
            (content, other) => {
                content.map_or(Ok(()), |disk| disk.check(blobs))?;
                other.map_or(Ok(()), |disk| disk.check(snapshots))
            }
        }
    }
}

/// The disk of a directory. containerd may see other directories than we do; then nothing is known,
/// and it will say itself when there is no more room.
struct Disk<'a> {
    path: &'a Path,
    id: u64,
    available: u64,
}

impl Disk<'_> {
    fn of(path: &Path) -> Option<Disk<'_>> {
        let found = rustix::fs::statvfs(path).ok()?;
        Some(Disk {
            path,
            id: rustix::fs::stat(path).ok()?.st_dev,
            available: found.f_bavail.saturating_mul(found.f_frsize),
        })
    }

    fn check(&self, needed: u64) -> Result<(), Error> {
        match needed > self.available {
            true => Err(Error::DiskFull {
                path: self.path.to_owned(),
                needed,
                available: self.available,
            }),
            false => Ok(()),
        }
    }
}
