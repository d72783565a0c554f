//! What is kept of an image: one JSON file per reference.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::registry::Digest;

use super::program;
use super::source::canonical;
use crate::engine::Kind;
use crate::error::Error;
use crate::module::Module;
use crate::store::Store;

/// An image on this machine. A module holds a copy, because a tag may move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its canonical reference.
    pub reference: String,
    /// The digest of what the reference names: an index, a manifest, or a file.
    pub digest: String,
    /// The digest of the manifest; of the file where there is none.
    pub manifest: String,
    /// The digest of the config; of the program where there is none.
    pub image_id: String,
    /// The platform that its config or index says; empty where nothing says one.
    pub platform: String,
    /// The platform that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// Config and layers in bytes, as transferred.
    pub size: u64,
    /// When it was pulled first, in nanoseconds since the epoch.
    pub created_at: i64,
    /// When it was pulled last, in nanoseconds since the epoch.
    pub pulled_at: i64,
    /// The sha256 of the program in hexadecimal; its name in the store.
    pub program: String,
    /// What kind of program it is.
    pub kind: Kind,
    /// What the program finds as its own name, `argv[0]`: its path in the image, or where that has
    /// no paths the last part of the reference.
    pub name: String,
    /// The arguments that always come first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// The arguments after those, where the module's config gives none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The environment that the image gives; the module's wins.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The labels of the image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// The image that `reference` names on this machine, in any of its spellings.
///
/// # Errors
/// What [`canonical`] says of the reference, and [`file::Error::Damaged`].
pub fn find(store: &Store, reference: &str) -> Result<Option<Record>, Error> {
    Ok(file::read_json(&path(store, &canonical(reference)?))?)
}

/// All images on this machine, sorted by reference.
///
/// # Errors
/// [`file::Error::Damaged`], and what the operating system refuses.
pub fn all(store: &Store) -> Result<Vec<Record>, Error> {
    let dir = store.images();
    let entries = fs::read_dir(&dir).map_err(|source| Error::file("list", &dir, source))?;
    let mut records = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|source| Error::file("list", &dir, source))?
            .path();
        if path.extension() != Some(OsStr::new("json")) {
            continue;
        }
        // One that goes meanwhile is left out.
        records.extend(file::read_json::<Record>(&path)?);
    }
    records.sort_unstable_by(|a, b| a.reference.cmp(&b.reference));
    Ok(records)
}

/// The names of the modules that were created from the image with this canonical reference, sorted.
///
/// # Errors
/// [`file::Error::Damaged`], and what the operating system refuses.
pub fn users(store: &Store, reference: &str) -> Result<Vec<String>, Error> {
    let modules = Module::all(store)?.into_iter();
    let users = modules.filter(|module| module.definition.image.reference == reference);
    Ok(users.map(|module| module.name.to_string()).collect())
}

/// Removes the record with this canonical reference; its program stays until it is collected. The
/// caller holds the lock of the images.
///
/// # Errors
/// [`Error::ImageNotFound`].
pub fn remove(store: &Store, reference: &str) -> Result<(), Error> {
    let path = path(store, reference);
    match fs::remove_file(&path).and_then(|()| file::sync_dir(&store.images())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::ImageNotFound(reference.to_owned()))
        }
        removed => removed.map_err(|source| Error::file("remove", &path, source)),
    }
}

impl Record {
    /// The program's arguments, without its name, where the module's config has `command`.
    pub fn arguments(&self, command: &[String]) -> Vec<String> {
        let command = if command.is_empty() {
            &self.command
        } else {
            command
        };
        self.entrypoint.iter().chain(command).cloned().collect()
    }

    /// Whether the program is there too, which only somebody's meddling with the store changes.
    pub fn is_whole(&self, store: &Store) -> bool {
        program::file(store, &self.program).is_file()
    }

    /// Writes it down. The caller holds the program's lock, so that nobody collects that before.
    pub(super) fn write(&self, store: &Store) -> Result<(), Error> {
        let _images = Lock::exclusive(&store.images_lock(), None)?;
        Ok(file::write_json(&path(store, &self.reference), self)?)
    }
}

/// The file of the image with this canonical reference, which may be longer than a file's name and
/// has slashes in it.
fn path(store: &Store, reference: &str) -> PathBuf {
    let name = Digest::of(reference.as_bytes());
    store.images().join(format!("{}.json", name.hex()))
}
