//! The directory of downloads: blobs that are complete, partial ones, and temporary files. Whatever
//! ends a pull, the next one of that image goes on from there.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::pull::Patience;
use shellrt_plugin::registry::{Descriptor, Digest};

use crate::error::Error;
use crate::store::Store;

/// How long what a broken pull left is kept.
pub const DOWNLOADS_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The directory, in use: as long as this lives, nobody removes a file from it that is not old.
pub(super) struct Downloads {
    dir: PathBuf,
    _in_use: Lock,
}

impl Downloads {
    /// Uses the directory, and removes what is too old from it.
    pub(super) fn enter(store: &Store, patience: &Patience) -> Result<Downloads, Error> {
        let in_use = Lock::shared(&store.downloads_lock(), patience.deadline)?;
        let dir = store.downloads();
        remove_older(&dir, DOWNLOADS_KEPT)?;
        Ok(Downloads {
            dir,
            _in_use: in_use,
        })
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a complete and verified blob lies.
    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.dir
            .join(format!("{}-{}", digest.algorithm(), digest.hex()))
    }

    /// How many bytes of a blob are here already.
    pub(super) fn present(&self, digest: &Digest) -> u64 {
        let blob = self.blob(digest);
        let partial = self
            .dir
            .join(format!("{}-{}.partial", digest.algorithm(), digest.hex()));
        let found = fs::metadata(blob).or_else(|_| fs::metadata(partial));
        found.map_or(0, |found| found.len())
    }

    /// Waits until nobody else works with one of these layers, of this image or another.
    pub(super) fn lock(&self, layers: &[Descriptor], patience: &Patience) -> Result<Layers, Error> {
        // All in the same order, so that two pulls never wait for each other.
        let digests: BTreeSet<&Digest> = layers.iter().map(|layer| &layer.digest).collect();
        let mut locks = Vec::new();
        for digest in digests {
            let path = self.blob(digest).with_extension("lock");
            locks.push(Lock::exclusive(&path, patience.deadline)?);
        }
        Ok(Layers { locks })
    }

    /// A new file that goes when this value does.
    pub(super) fn temporary(&self) -> Result<Temporary, Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{}-{count}.tmp", std::process::id()));
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600);
        let file = options
            .open(&path)
            .map_err(|source| Error::file("make", &path, source))?;
        Ok(Temporary { file, path })
    }

    /// Removes blobs that are of no use any more, because their program is in the store.
    pub(super) fn forget<'a>(&self, blobs: impl IntoIterator<Item = &'a Digest>) {
        for digest in blobs {
            if let Err(error) = file::remove(&self.blob(digest)) {
                log::warn!("{error}; it goes after a week");
            }
        }
    }
}

/// Layers that nobody else works with, as long as this lives.
pub(super) struct Layers {
    locks: Vec<Lock>,
}

impl Drop for Layers {
    fn drop(&mut self) {
        for lock in self.locks.drain(..) {
            if let Err(error) = lock.remove() {
                log::warn!("{error}; it goes after a week");
            }
        }
    }
}

/// A file that goes when this value does.
pub(super) struct Temporary {
    pub(super) file: File,
    pub(super) path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What can't be removed goes after a week.
        let _ = fs::remove_file(&self.path);
    }
}

/// Keeps a blob for another week, because it is used again.
pub(super) fn touch(path: &Path) {
    let touched = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(error) = touched {
        log::warn!("can't set the time of {path:?}: {error}");
    }
}

/// Removes what broken pulls left `age` ago or before; returns the bytes that took. While a pull
/// runs only partial downloads go, those that it does not work on.
pub(super) fn remove_leftovers(store: &Store, age: Duration) -> Result<u64, Error> {
    let dir = store.downloads();
    if let Some(_nobody) = Lock::try_exclusive(&store.downloads_lock())? {
        return remove_older(&dir, age);
    }
    remove(&dir, age, |path| {
        path.extension()
            .is_some_and(|extension| extension == "partial")
    })
}

fn remove_older(dir: &Path, age: Duration) -> Result<u64, Error> {
    remove(dir, age, |_| true)
}

fn remove(dir: &Path, age: Duration, which: impl Fn(&Path) -> bool) -> Result<u64, Error> {
    let entries = fs::read_dir(dir).map_err(|source| Error::file("list", dir, source))?;
    let mut bytes = 0;
    for entry in entries {
        let path = entry
            .map_err(|source| Error::file("list", dir, source))?
            .path();
        if !which(&path) || file::age(&path) < age {
            continue;
        }
        // Locked while a process works on it. Between the look and the removal somebody may begin
        // to; then its file has no name, which it notices, and it begins anew.
        match Lock::is_held(&path) {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => log::warn!("{error}"),
        }
        let size = file::size(&path);
        match fs::remove_file(&path) {
            Ok(()) => bytes += size,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::file("remove", &path, source)),
        }
    }
    Ok(bytes)
}
