//! The state directory: the only file that knows its paths, and how a file in it is written so that
//! it is there whole or not at all, whenever the power goes.
//!
//! ```text
//! boot                         the boot for which the modules that were due have been started
//! events, events.1             what happened, as JSON lines
//! lock/<name>                  held while a module is changed
//! lock/images                  held while records and programs are changed
//! downloads/                   partial downloads, resumed by the next pull
//! images/<key>.json            one record per image reference
//! programs/<digest>/           one program: program.wasm, and its compiled forms
//! modules/<name>/              one module: see `module`
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::Serialize;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::names::ModuleName;

use crate::error::Error;

/// The variable that names the state directory.
pub const ROOT_VARIABLE: &str = "SHELLRT_WASM_ROOT";

/// The state directory, checked: it is ours alone.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the state directory that the environment names, and makes it where there is none:
    /// `SHELLRT_WASM_ROOT`, else `/var/lib/shellrt/wasm` for root and `$XDG_DATA_HOME/shellrt/wasm`
    /// (`~/.local/share/shellrt/wasm`) for others.
    ///
    /// # Errors
    /// [`Error::Foreign`] where somebody else owns it or can write to it: native code is loaded from
    /// it, so that must not be.
    pub fn open() -> Result<Store, Error> {
        let root = root()?;
        make_dir(&root)?;
        let found = fs::metadata(&root).map_err(|source| Error::file("open", &root, source))?;
        let user = rustix::process::geteuid().as_raw();
        if found.uid() != user || found.mode() & 0o022 != 0 {
            return Err(Error::Foreign {
                path: root,
                owner: found.uid(),
                user,
            });
        }
        for part in ["lock", "downloads", "images", "programs", "modules"] {
            make_dir(&root.join(part))?;
        }
        Ok(Store { root })
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The boot id for which the modules that were due have been started.
    pub fn boot(&self) -> PathBuf {
        self.root.join("boot")
    }

    /// Held by whoever starts the modules that are due after a boot.
    pub fn boot_lock(&self) -> PathBuf {
        self.locks().join(".boot")
    }

    /// The current file of events.
    pub fn events(&self) -> PathBuf {
        self.root.join("events")
    }

    /// Removes what is kept beside modules and images, if there are none: the events, the note of the
    /// boot and the files of locks. Whoever waits for one of these locks notices.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn tidy(&self) -> Result<(), Error> {
        let soon = Some(Instant::now() + Duration::from_secs(1));
        let paths = [self.boot_lock(), self.images_lock(), self.downloads_lock()];
        let mut locks = Vec::new();
        for path in paths {
            match Lock::exclusive(&path, soon) {
                Ok(lock) => locks.push(lock),
                // Somebody is at work, so there will be something to keep.
                Err(_) => return Ok(()),
            }
        }
        for dir in [
            self.modules(),
            self.images(),
            self.programs(),
            self.downloads(),
        ] {
            let entries = fs::read_dir(&dir).map_err(|source| Error::file("list", &dir, source))?;
            if entries.count() > 0 {
                return Ok(());
            }
        }
        for file in [self.boot(), self.events(), self.old_events()] {
            remove(&file)?;
        }
        for lock in locks {
            lock.remove()?;
        }
        Ok(())
    }

    /// The file of events before the current one.
    pub fn old_events(&self) -> PathBuf {
        self.root.join("events.1")
    }

    /// All locks.
    pub fn locks(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The lock of everything that changes a module.
    pub fn module_lock(&self, name: &ModuleName) -> PathBuf {
        self.locks().join(name.as_str())
    }

    /// The lock of everything that changes image records and programs. It is held for moments only,
    /// never over a download or a compilation.
    pub fn images_lock(&self) -> PathBuf {
        // No module can have this name, so it is never a module's lock.
        self.locks().join(".images")
    }

    /// Held, together with others, by every pull that runs.
    pub fn downloads_lock(&self) -> PathBuf {
        self.locks().join(".downloads")
    }

    /// Partial downloads.
    pub fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }

    /// Image records.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// All programs.
    pub fn programs(&self) -> PathBuf {
        self.root.join("programs")
    }

    /// All modules.
    pub fn modules(&self) -> PathBuf {
        self.root.join("modules")
    }

    /// One module.
    pub fn module(&self, name: &ModuleName) -> PathBuf {
        self.modules().join(name.as_str())
    }
}

fn root() -> Result<PathBuf, Error> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let root = if let Some(root) = variable(ROOT_VARIABLE) {
        PathBuf::from(root)
    } else if rustix::process::geteuid().is_root() {
        PathBuf::from("/var/lib/shellrt/wasm")
    } else if let Some(data) = variable("XDG_DATA_HOME") {
        PathBuf::from(data).join("shellrt/wasm")
    } else if let Some(home) = variable("HOME") {
        PathBuf::from(home).join(".local/share/shellrt/wasm")
    } else {
        return Err(Error::NoRoot);
    };
    // A forked monitor lives in `/`, so a relative path would change its meaning.
    std::path::absolute(&root).map_err(|source| Error::file("find", &root, source))
}

/// Makes a directory that only this user can use, and its parents; an existing one is left alone.
pub fn make_dir(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| Error::file("make", path, source))
}

/// Writes a JSON file: to a temporary name, to the disk, then to its own name, then the directory.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let bytes =
        serde_json::to_vec(value).map_err(|source| Error::file("write", path, source.into()))?;
    write_file(path, &bytes)
}

/// As [`write_json`], for bytes.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&temporary, path)?;
        sync_dir(path.parent().unwrap_or(path))
    };
    write().map_err(|source| {
        // What could not be finished must not stay.
        let _ = fs::remove_file(&temporary);
        Error::file("write", path, source)
    })
}

/// Brings a directory's entries to the disk.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Reads a JSON file; `None` where there is none.
///
/// # Errors
/// [`Error::Damaged`] where it is not what this plugin writes.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| Error::Damaged {
                path: path.to_owned(),
                source,
            }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::file("read", path, source)),
    }
}

/// Removes a file or a directory tree; what is not there is removed already.
pub fn remove(path: &Path) -> Result<(), Error> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", path, source))
        }
        _ => Ok(()),
    }
}

/// How long ago a file or a directory changed last; nothing where that can't be said.
pub fn age(path: &Path) -> Duration {
    let changed = fs::symlink_metadata(path).and_then(|found| found.modified());
    changed
        .ok()
        .and_then(|time| time.elapsed().ok())
        .unwrap_or_default()
}

/// The bytes that a file or a directory tree takes; what can't be read counts nothing.
pub fn size(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| size(&entry.path())).sum()
        }
        Ok(found) => found.len(),
        Err(_) => 0,
    }
}
