//! Files of a plugin's state, written so that they are there whole or not at all, whenever the power
//! goes.

use serde::de::DeserializeOwned;
use serde::Serialize;
use shellrt_api::v0::Code;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a tree is removed once more in which somebody has written meanwhile, 10 ms later each time: a
/// module's own processes write their last while it goes.
const LAST_WRITES: u32 = 20;

/// Writes a JSON file, readable for this user alone: to a temporary name, to the disk, then to its own
/// name, then the directory.
///
/// # Errors
/// [`Error::System`]; then the file is as it was before.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    write_file(path, &encode(path, value)?)
}

/// As [`write_json`] up to the file's own name: after the power goes there may be the file of before,
/// until [`sync_dir`] has brought the directory to the disk.
///
/// # Errors
/// As [`write_json`].
pub fn place_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    replace(path, &encode(path, value)?, File::sync_data)
}

/// As [`write_json`] for what means nothing after a reboot: nothing waits for the disk.
///
/// # Errors
/// As [`write_json`].
pub fn note_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    replace(path, &encode(path, value)?, |_| Ok(()))
}

/// As [`write_json`], for bytes.
///
/// # Errors
/// As [`write_json`].
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace(path, bytes, File::sync_data)?;
    let synced = sync_dir(path.parent().unwrap_or(path));
    synced.map_err(|source| Error::new("write", path, source))
}

fn encode<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|source| Error::new("write", path, source))
}

fn replace(
    path: &Path,
    bytes: &[u8],
    sync: impl FnOnce(&File) -> io::Result<()>,
) -> Result<(), Error> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        sync(&file)?;
        fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        // What could not be finished must not stay.
        let _ = fs::remove_file(&temporary);
        Error::new("write", path, source)
    })
}

/// Brings a directory's entries to the disk.
///
/// # Errors
/// What the operating system refuses.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Reads a JSON file; `None` where there is none.
///
/// # Errors
/// [`Error::Damaged`] where it is not what the plugin writes, [`Error::System`] where it can't be read.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| Error::Damaged {
                path: path.to_owned(),
                source,
            }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::new("read", path, source)),
    }
}

/// Makes a directory that only this user can use, and its parents; an existing one is left alone.
///
/// # Errors
/// [`Error::System`].
pub fn make_dir(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| Error::new("make", path, source))
}

/// Removes a file or a directory tree; what is not there is removed already.
///
/// # Errors
/// [`Error::System`]; some of a tree may be gone then.
pub fn remove(path: &Path) -> Result<(), Error> {
    let remove = || match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    let mut removed = remove();
    for _ in 0..LAST_WRITES {
        match &removed {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                std::thread::sleep(Duration::from_millis(10));
                removed = remove();
            }
            _ => break,
        }
    }
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::new("remove", path, source))
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

/// Why a file can't be had or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refuses it.
    #[error("can't {doing} {path:?}")]
    System {
        /// What was tried, as in "read".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of the state is not what the plugin writes.
    #[error("{path:?} is damaged; remove the module or image it belongs to and make it again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Error {
    /// The operating system refuses something with a file; `doing` is a verb, as in "read".
    pub fn new(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Error {
        Error::System {
            doing,
            path: path.to_owned(),
            source: source.into(),
        }
    }

    /// Whether the file, or the directory it should be in, is not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            Error::System { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Error::Damaged { .. } => false,
        }
    }

    /// The code for the wire.
    pub fn code(&self) -> Code {
        match self {
            Error::System { source, .. } => crate::os::code(source),
            Error::Damaged { .. } => Code::RUNTIME_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_file_is_written_whole_and_for_its_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value.json");
        write_json(&path, &[1, 2]).unwrap();
        note_json(&path, &["two"]).unwrap();
        place_json(&path, &["three"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), br#"["three"]"#);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let read: Option<Vec<String>> = read_json(&path).unwrap();
        assert_eq!(read, Some(vec!["three".to_owned()]));
    }

    #[test]
    fn what_can_not_be_finished_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        // A directory can't be replaced by a file.
        let path = dir.path().join("taken");
        make_dir(&path.join("inside")).unwrap();
        let error = write_file(&path, b"text").unwrap_err();
        assert_eq!(error.to_string(), format!("can't write {path:?}"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn damaged_and_missing_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value.json");
        assert_eq!(read_json::<u32>(&path).unwrap(), None);
        fs::write(&path, b"{").unwrap();
        let error = read_json::<u32>(&path).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }));
        assert_eq!(error.code(), Code::RUNTIME_ERROR);
        // A power loss may leave a file without its bytes.
        fs::write(&path, b"").unwrap();
        let error = read_json::<u32>(&path).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }));
    }

    #[test]
    fn sizes_and_removals_are_of_whole_trees() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        make_dir(&tree.join("a/b")).unwrap();
        assert_eq!(fs::metadata(tree.join("a")).unwrap().mode() & 0o777, 0o700);
        fs::write(tree.join("a/b/file"), [0; 1000]).unwrap();
        fs::write(tree.join("file"), [0; 24]).unwrap();
        assert_eq!(size(&tree), 1024);
        // A link is removed, not what it points to.
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&tree, &link).unwrap();
        remove(&link).unwrap();
        assert_eq!(size(&tree), 1024);
        remove(&tree).unwrap();
        assert!(!tree.exists());
        remove(&tree).unwrap();
        assert_eq!(size(&tree), 0);
    }
}
