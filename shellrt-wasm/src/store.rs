//! The state directory: the only file that knows its paths.
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

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shellrt_plugin::event::Events;
use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::names::ModuleName;
use shellrt_plugin::root;

use crate::error::Error;

/// The variable that names the state directory.
pub const ROOT_VARIABLE: &str = "SHELLRT_WASM_ROOT";

/// The state directory, checked: it is ours alone.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the state directory, see [`root::open`].
    ///
    /// # Errors
    /// [`root::Error::Foreign`] where somebody else owns it or can write to it: native code is loaded
    /// from it, so that must not be.
    pub fn open() -> Result<Store, Error> {
        let root = root::open(ROOT_VARIABLE, "wasm")?;
        for part in ["lock", "downloads", "images", "programs", "modules"] {
            file::make_dir(&root.join(part))?;
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

    /// What happened.
    pub fn events(&self) -> Events {
        Events::new(&self.root)
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
        file::remove(&self.boot())?;
        for events in self.events().files() {
            file::remove(&events)?;
        }
        for lock in locks {
            lock.remove()?;
        }
        Ok(())
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
