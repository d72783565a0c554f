//! Modules that are containers in pods of their own, through containerd's Kubernetes interface. Their
//! definition lies in the state directory: nobody asks that interface for anything unless there is a
//! module of this kind.

mod client;
pub mod create;
mod end;
mod log;
mod output;
mod pod;
mod program;
mod record;
mod start;
mod state;
mod wait;

use std::fs;
use std::path::PathBuf;

use shellrt_api::v0::config::containerd_cri::Network;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::names::{self, ModuleName};

use crate::containerd::Containerd;
use crate::error::Error;
use crate::image;
use crate::store::Store;
use crate::Context;

use client::Cri;
use record::{Definition, Files};
pub use state::Now;

/// A module in a pod.
#[derive(Debug, Clone)]
pub struct Module {
    /// Its name.
    pub name: ModuleName,
    /// What it was made from.
    pub definition: Definition,
    /// Its files.
    pub files: Files,
    cri: Cri,
    store: Store,
    /// The plugin's own namespace.
    namespace: String,
    /// Where its log goes.
    log_dir: PathBuf,
}

impl Module {
    /// Finds the module of this name, if it is of this kind.
    ///
    /// # Errors
    /// What is wrong with the name or the daemon.
    pub fn find(context: &Context, name: &str) -> Result<Option<Module>, Error> {
        let name = names::check(name)?;
        let files = Files::new(&context.store.pod(&name));
        match files.definition()?.filter(|definition| definition.is_made) {
            Some(definition) => Module::of(context, name, definition).map(Some),
            None => Ok(None),
        }
    }

    /// The same with the lock of everything that changes it.
    ///
    /// # Errors
    /// As [`Module::find`].
    pub fn find_locked(context: &Context, name: &str) -> Result<Option<(Module, Lock)>, Error> {
        let Some(module) = Module::find(context, name)? else {
            return Ok(None);
        };
        let path = context.store.module_lock(&module.name);
        let lock = Lock::exclusive(&path, context.deadline)?;
        match Module::find(context, name)? {
            Some(module) => Ok(Some((module, lock))),
            None => {
                // It was removed while we waited.
                lock.remove()?;
                Ok(None)
            }
        }
    }

    fn of(context: &Context, name: ModuleName, definition: Definition) -> Result<Module, Error> {
        let containerd = context.containerd()?;
        let files = Files::new(&context.store.pod(&name));
        Ok(Module {
            log_dir: files.log_dir(),
            files,
            name,
            definition,
            cri: Cri::of(containerd)?,
            store: context.store.clone(),
            namespace: containerd.namespace().to_owned(),
        })
    }

    /// The connection to containerd for what the interface has no calls for.
    pub fn containerd(&self) -> &Containerd {
        self.cri.containerd()
    }

    /// What it may use of the memory, in bytes.
    pub fn memory_limit(&self) -> Option<u64> {
        let limit = self.definition.config.linux.resources.memory_limit_in_bytes;
        u64::try_from(limit).ok().filter(|limit| *limit > 0)
    }

    /// Whether its network is not the machine's.
    pub fn has_own_network(&self) -> bool {
        self.definition.config.network == Network::Pod
    }

    /// What its pod is made from.
    fn facts(&self) -> pod::Facts<'_> {
        pod::Facts {
            name: self.name.as_str(),
            namespace: &self.namespace,
            definition: &self.definition,
            log_dir: &self.log_dir,
        }
    }
}

/// All modules of this kind, sorted by their names.
///
/// # Errors
/// What is wrong with the state directory or the daemon.
pub fn all(context: &Context) -> Result<Vec<Module>, Error> {
    let mut modules = Vec::new();
    for (name, definition) in definitions(&context.store)? {
        if definition.is_made {
            modules.push(Module::of(context, name, definition)?);
        }
    }
    Ok(modules)
}

/// The names of all modules of this kind, sorted.
///
/// # Errors
/// What is wrong with the state directory.
pub fn names(store: &Store) -> Result<Vec<String>, Error> {
    let all = definitions(store)?.into_iter();
    let made = all.filter(|(_, definition)| definition.is_made);
    Ok(made.map(|(name, _)| name.to_string()).collect())
}

/// The modules that use images, with the names of those.
///
/// # Errors
/// What is wrong with the state directory.
pub fn users(store: &Store) -> Result<Vec<(String, String)>, Error> {
    let mut users = Vec::new();
    for (name, definition) in definitions(store)? {
        users.push((name.to_string(), definition.image));
        users.push((name.to_string(), definition.pause_image));
    }
    Ok(users)
}

/// Removes an image from where containerd's Kubernetes interface looks, if we have put it there.
///
/// # Errors
/// [`Error::Runtime`].
pub fn forget_image(context: &Context, reference: &str) -> Result<(), Error> {
    if !context.store.pods().exists() {
        return Ok(());
    }
    let ours = context.containerd()?;
    image::unshare(ours, Cri::of(ours)?.containerd(), reference)
}

fn definitions(store: &Store) -> Result<Vec<(ModuleName, Definition)>, Error> {
    let dir = store.pods();
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|source| Error::file("list", &dir, source))?,
    };
    let mut definitions = Vec::new();
    for entry in entries.flatten() {
        let Ok(name) = names::check(&entry.file_name().to_string_lossy()) else {
            continue;
        };
        if let Some(definition) = Files::new(&entry.path()).definition()? {
            definitions.push((name, definition));
        }
    }
    definitions.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    Ok(definitions)
}
