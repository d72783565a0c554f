//! A directory tree in one digest: names, kinds, owners, modes, times, targets, bytes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The digest of everything below `root`.
///
/// # Panics
/// Where something can't be read.
pub fn digest(root: &Path) -> String {
    let mut hash = Sha256::new();
    // The first name of each file that has several.
    let mut first: BTreeMap<u64, PathBuf> = BTreeMap::new();
    add(root, root, &mut hash, &mut first);
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn add(root: &Path, path: &Path, hash: &mut Sha256, first: &mut BTreeMap<u64, PathBuf>) {
    let found = fs::symlink_metadata(path).unwrap();
    let kind = found.file_type();
    let name = path.strip_prefix(root).unwrap();
    hash.update(name.as_os_str().as_bytes());
    let times = (found.mtime(), found.mtime_nsec());
    // The root's own time is that of who made it.
    if path != root {
        hash.update(format!(
            "\0{:o} {} {} {times:?}",
            found.mode(),
            found.uid(),
            found.gid()
        ));
    }
    if kind.is_symlink() {
        hash.update(fs::read_link(path).unwrap().as_os_str().as_bytes());
    } else if kind.is_dir() {
        let entries = fs::read_dir(path).unwrap().flatten();
        let mut entries: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        entries.sort();
        for entry in entries {
            add(root, &entry, hash, first);
        }
    } else if kind.is_char_device() || kind.is_block_device() {
        hash.update(found.rdev().to_le_bytes());
    } else if kind.is_file() {
        if found.nlink() > 1 {
            let known = first.entry(found.ino()).or_insert_with(|| name.to_owned());
            hash.update(known.as_os_str().as_bytes());
        }
        hash.update(fs::read(path).unwrap());
    }
}
