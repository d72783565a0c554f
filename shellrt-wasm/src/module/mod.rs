//! A module: its directory, and what is known of it.
//!
//! ```text
//! definition.json    what it was created from; never changed
//! lock               held by its monitor: as long as that lives, and not a moment longer
//! run.json           its last run, written when the engine was ready
//! end.json           the end of a run, by its number; without one for the last run it still runs or
//!                    was lost
//! stopped            there while an explicit stop holds: the boot in which it came
//! log/               its output
//! stdin              a FIFO, where it has an open stdin
//! stdin_closed       there when an attach closed that for the rest of the run
//! attach/            one FIFO per attached client
//! ```
//!
//! The state is derived from these at every look and trusted from nowhere else, so no process has to
//! be alive for it to be right.

pub mod attach;
mod engine_process;
mod monitor;
mod output;
mod record;
mod running;
mod start;
mod state;
pub mod stop;
mod verdict;
mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use shellrt_api::v0::config::wasm::Config;
use shellrt_plugin::attach::make_fifo;
use shellrt_plugin::boot;
use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::names::{self, ModuleName};
use shellrt_plugin::process::Identity;

use crate::error::Error;
use crate::image;
use crate::store::Store;

pub use self::record::{Ended, Run};
pub use self::start::start;
pub use self::state::{Now, State};

/// A module that exists.
#[derive(Debug, Clone)]
pub struct Module {
    /// Its name.
    pub name: ModuleName,
    /// What it was created from.
    pub definition: Definition,
    dir: PathBuf,
}

/// What a module was created from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Definition {
    /// When, in nanoseconds since the epoch.
    pub created_at: i64,
    /// The environment that its request gave; it wins over the image's.
    pub env: BTreeMap<String, String>,
    /// Its config.
    pub config: Config,
    /// The image as it was then: a tag may move, the module stays what it is.
    pub image: image::Record,
}

impl Module {
    /// The module called `name`.
    ///
    /// # Errors
    /// A name that is none, and [`Error::ModuleNotFound`].
    pub fn find(store: &Store, name: &str) -> Result<Module, Error> {
        let name = names::check(name)?;
        let dir = store.module(&name);
        match file::read_json(&dir.join(DEFINITION))? {
            Some(definition) => Ok(Module {
                name,
                definition,
                dir,
            }),
            None => Err(Error::ModuleNotFound(name.to_string())),
        }
    }

    /// As [`find`](Self::find), with the module's lock: until that is dropped nobody else changes the
    /// module.
    ///
    /// # Errors
    /// As [`find`](Self::find), and a lock that is not had by `deadline`.
    pub fn find_locked(
        store: &Store,
        name: &str,
        deadline: Option<Instant>,
    ) -> Result<(Module, Lock), Error> {
        let lock = Lock::exclusive(&store.module_lock(&names::check(name)?), deadline)?;
        match Module::find(store, name) {
            Ok(module) => Ok((module, lock)),
            Err(error) => {
                if matches!(error, Error::ModuleNotFound(_)) {
                    // The lock's file was made for nothing; whoever waits for it notices.
                    lock.remove()?;
                }
                Err(error)
            }
        }
    }

    /// All modules, sorted by name. One that goes meanwhile is left out.
    pub fn all(store: &Store) -> Result<Vec<Module>, Error> {
        let mut modules = Vec::new();
        for name in names(store)? {
            match Module::find(store, &name) {
                Ok(module) => modules.push(module),
                Err(Error::ModuleNotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(modules)
    }

    /// Makes a module; it is there whole or not at all. The caller holds its lock.
    ///
    /// # Errors
    /// [`Error::ModuleExists`].
    pub fn create(
        store: &Store,
        name: ModuleName,
        definition: Definition,
    ) -> Result<Module, Error> {
        let dir = store.module(&name);
        if dir.join(DEFINITION).exists() {
            return Err(Error::ModuleExists(name.to_string()));
        }
        // Without a definition it is what a power loss left.
        file::remove(&dir)?;
        let draft = hidden(store);
        let module = Module {
            name,
            definition,
            dir,
        };
        module
            .write(&draft)
            .and_then(|()| {
                fs::rename(&draft, &module.dir)
                    .and_then(|()| file::sync_dir(&store.modules()))
                    .map_err(|source| Error::file("make", &module.dir, source))
            })
            .inspect_err(|_| {
                // Nothing half-made stays; `prune` finds what could not be removed now.
                let _ = file::remove(&draft);
            })?;
        Ok(module)
    }

    fn write(&self, dir: &Path) -> Result<(), Error> {
        file::make_dir(dir)?;
        file::make_dir(&dir.join("log"))?;
        file::make_dir(&dir.join("attach"))?;
        if self.definition.config.stdin {
            make_fifo(&dir.join("stdin"))?;
        }
        Ok(file::write_json(&dir.join(DEFINITION), &self.definition)?)
    }

    /// Removes the module, which does not run. From one moment to the next it is gone by its name,
    /// then its files go.
    pub fn remove(self, store: &Store) -> Result<(), Error> {
        // Its monitor may be about to end.
        let _ended = Lock::exclusive(&self.lock(), None)?;
        if let Some(run) = self.run()? {
            if let Some(cgroup) = run.cgroup {
                crate::cgroup::remove_leftover(&cgroup);
            }
        }
        let gone = hidden(store);
        fs::rename(&self.dir, &gone).map_err(|source| Error::file("remove", &self.dir, source))?;
        file::sync_dir(&store.modules())
            .map_err(|source| Error::file("remove", &self.dir, source))?;
        Ok(file::remove(&gone)?)
    }

    /// Notes that its restart after a boot failed, so that it is due no longer. Until both the run and
    /// its end are written, whoever looks finds the module watched.
    pub fn note_refusal(&self, last: &Run, boot: &str, error: &Error) -> Result<(), Error> {
        let _watched = Lock::exclusive(&self.lock(), None)?;
        let this = Identity::of(std::process::id())
            .map_err(|source| Error::system("read the own start time", source))?;
        let end = verdict::refused(self, last.number + 1, 0, boot, &this, error);
        Ok(file::write_json(&self.end_file(), &end)?)
    }

    /// Where its log lies.
    pub fn log_dir(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Its directory, in which a file is renamed into place whenever its state changes.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its last run.
    pub fn run(&self) -> Result<Option<Run>, Error> {
        Ok(file::read_json(&self.run_file())?)
    }

    /// Whether an explicit stop holds.
    pub fn is_stopped(&self) -> bool {
        self.stop_mark().exists()
    }

    /// The boot in which it was stopped explicitly, while that holds.
    pub fn stopped_in(&self) -> Option<String> {
        fs::read_to_string(self.stop_mark()).ok()
    }

    /// Marks it as stopped explicitly.
    fn mark_stopped(&self) -> Result<(), Error> {
        let boot = boot::id()?;
        Ok(file::write_file(&self.stop_mark(), boot.as_bytes())?)
    }

    fn run_file(&self) -> PathBuf {
        self.dir.join("run.json")
    }

    fn end_file(&self) -> PathBuf {
        self.dir.join("end.json")
    }

    fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    fn stop_mark(&self) -> PathBuf {
        self.dir.join("stopped")
    }

    fn stdin_fifo(&self) -> PathBuf {
        self.dir.join("stdin")
    }

    fn stdin_closed_mark(&self) -> PathBuf {
        self.dir.join("stdin_closed")
    }

    fn attach_dir(&self) -> PathBuf {
        self.dir.join("attach")
    }
}

const DEFINITION: &str = "definition.json";

/// The names of all modules, sorted.
pub fn names(store: &Store) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for entry in entries(store)? {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if !name.starts_with('.') && entry.path().join(DEFINITION).exists() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes what broken requests left of modules, if it has not been touched for `older_than`
/// seconds; returns the bytes it took.
pub fn remove_leftovers(store: &Store, older_than: u64) -> Result<u64, Error> {
    let mut bytes = 0;
    for entry in entries(store)? {
        let name = entry.file_name();
        // Drafts carry the pid of their maker; as long as that lives they are no leftovers.
        let Some(maker) = name.to_str().and_then(|name| name.strip_prefix('.')) else {
            continue;
        };
        let maker = maker.split('-').next().unwrap_or_default();
        if Path::new("/proc").join(maker).exists() && maker != std::process::id().to_string() {
            continue;
        }
        let age = entry.metadata().and_then(|found| found.modified());
        let age = age
            .ok()
            .and_then(|time| time.elapsed().ok())
            .unwrap_or_default();
        if age.as_secs() >= older_than {
            bytes += file::size(&entry.path());
            file::remove(&entry.path())?;
        }
    }
    remove_unused_locks(store)?;
    Ok(bytes)
}

/// The locks of modules that are gone, or never came to be because their maker was killed.
fn remove_unused_locks(store: &Store) -> Result<(), Error> {
    let dir = store.locks();
    let entries = fs::read_dir(&dir).map_err(|source| Error::file("list", &dir, source))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(Ok(name)) = name.to_str().map(names::check) else {
            continue;
        };
        if store.module(&name).exists() {
            continue;
        }
        if let Some(lock) = Lock::try_exclusive(&entry.path())? {
            if !store.module(&name).exists() {
                lock.remove()?;
            }
        }
    }
    Ok(())
}

fn entries(store: &Store) -> Result<Vec<fs::DirEntry>, Error> {
    let path = store.modules();
    let list = || fs::read_dir(&path)?.collect::<io::Result<Vec<_>>>();
    list().map_err(|source| Error::file("list", &path, source))
}

/// A name in the directory of modules that no module can have, and no other draft has.
fn hidden(store: &Store) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    store
        .modules()
        .join(format!(".{}-{count}", std::process::id()))
}
