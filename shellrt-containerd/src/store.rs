//! The state directory: the only file that knows its paths. What containerd keeps itself is not here:
//! a module's definition is part of its container's record.
//!
//! ```text
//! <id of the daemon>/<namespace>/          one containerd and one namespace have nothing of another's
//!   boot                                   the boot for which the due modules have been seen to
//!   events, events.1                       what happened, as JSON lines
//!   lock/<name>                            held while a module is changed
//!   pull/<id>                              held while an image is pulled
//!   modules/<name>/                        one module: its log, its runs, its files: see `module`
//!   cri/<name>/                            one module in a pod: see `cri`
//!   volumes/<name>/                        named volumes, which outlive modules
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use shellrt_plugin::file::make_dir;
use shellrt_plugin::names::ModuleName;
use shellrt_plugin::root;

use crate::containerd::Place;
use crate::error::Error;

/// The variable that names the state directory.
pub const ROOT_VARIABLE: &str = "SHELLRT_CONTAINERD_ROOT";

/// The part of the state directory that belongs to one containerd and one namespace, checked: it is
/// ours alone.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the state directory, see [`root::open`].
    ///
    /// # Errors
    /// [`root::Error::Foreign`] where somebody else owns it or can write to it.
    pub fn open(place: &Place) -> Result<Store, Error> {
        let top = root::open(ROOT_VARIABLE, "containerd")?;
        let store = Store {
            root: top.join(daemon_id(&place.address)).join(&place.namespace),
        };
        for part in ["lock", "pull", "modules"] {
            make_dir(&store.root.join(part))?;
        }
        Ok(store)
    }

    /// The one that has the module in `dir`, for the module's own process, with the module's name and
    /// the namespace.
    pub fn of_module(dir: &Path) -> Option<(Store, String, String)> {
        let name = dir.file_name()?.to_str()?.to_owned();
        let root = dir.parent()?.parent()?.to_owned();
        let namespace = root.file_name()?.to_str()?.to_owned();
        Some((Store { root }, name, namespace))
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What tells a module from all others on this machine, of other namespaces and other daemons.
    pub fn machine_wide(&self, name: &str) -> String {
        let part = |path: Option<&Path>| {
            let name = path.and_then(Path::file_name);
            name.map(|name| name.to_string_lossy().into_owned())
        };
        let namespace = part(Some(&self.root)).unwrap_or_default();
        let daemon = part(self.root.parent()).unwrap_or_default();
        // Neither a namespace nor a name has two marks in a row.
        format!("shellrt-{daemon}-{namespace}--{name}")
    }

    /// All locks.
    pub fn locks(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The lock of everything that changes a module.
    pub fn module_lock(&self, name: &ModuleName) -> PathBuf {
        self.locks().join(name.as_str())
    }

    /// The lock of the pull with this id.
    pub fn pull_lock(&self, id: &str) -> PathBuf {
        self.root.join("pull").join(id)
    }

    /// All modules.
    pub fn modules(&self) -> PathBuf {
        self.root.join("modules")
    }

    /// Whether there may be modules.
    pub fn has_modules(&self) -> bool {
        fs::read_dir(self.modules()).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// The boot id for which the modules that were due have been seen to.
    pub fn boot(&self) -> PathBuf {
        self.root.join("boot")
    }

    /// Held by whoever sees to the modules that are due after a boot.
    pub fn boot_lock(&self) -> PathBuf {
        // No module can have this name, so it is never a module's lock.
        self.locks().join(".boot")
    }

    /// One module.
    pub fn module(&self, name: &ModuleName) -> PathBuf {
        self.modules().join(name.as_str())
    }

    /// All modules in pods; there is no such directory before the first.
    pub fn pods(&self) -> PathBuf {
        self.root.join("cri")
    }

    /// One module in a pod.
    pub fn pod(&self, name: &ModuleName) -> PathBuf {
        self.pods().join(name.as_str())
    }

    /// All named volumes.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// Held while a named volume is made.
    pub fn volume_lock(&self, name: &str) -> PathBuf {
        // No module can have this name, so it is never a module's lock.
        self.locks().join(format!(".volume-{name}"))
    }

    /// A named volume.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.volumes().join(name)
    }
}

/// What keeps the state of one containerd apart from another's: its socket's path, shortened.
fn daemon_id(address: &Path) -> String {
    let address = fs::canonicalize(address).unwrap_or_else(|_| address.to_owned());
    let hash = Sha256::digest(address.as_os_str().as_encoded_bytes());
    hash.iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
