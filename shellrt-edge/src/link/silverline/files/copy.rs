//! Copies a program's folder from a repository that is a folder of this machine.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{disk, Budget, Error, Extent, Wanted, MAX_DEPTH};

/// Copies `below` of the repository `root` into the folder `into`, which is there.
///
/// # Errors
/// [`Error`].
pub fn copy(wanted: &Wanted, root: &Path, below: &Path, into: &Path) -> Result<(), Error> {
    let root = fs::canonicalize(root).map_err(disk("found", root))?;
    let folder = inside(&root, &root.join(below))?;
    let mut copying = Copying {
        root,
        budget: Budget::of(wanted),
    };
    match wanted.extent {
        Extent::File => copying.entry(&folder.join(&wanted.program), &into.join(&wanted.program)),
        Extent::Folder => copying.folder(&folder, into, 0),
    }
}

/// The path without links in it, which must not lead out of `root`.
fn inside(root: &Path, path: &Path) -> Result<PathBuf, Error> {
    let found = fs::canonicalize(path).map_err(disk("found", path))?;
    match found.starts_with(root) {
        true => Ok(found),
        false => Err(Error::LeadsOut(path.to_owned())),
    }
}

struct Copying {
    root: PathBuf,
    budget: Budget,
}

impl Copying {
    fn folder(&mut self, from: &Path, into: &Path, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        let entries = fs::read_dir(from).map_err(disk("read", from))?;
        for entry in entries {
            let entry = entry.map_err(disk("read", from))?;
            let kind = entry.file_type().map_err(disk("read", &entry.path()))?;
            let target = into.join(entry.file_name());
            match kind.is_dir() {
                true => {
                    self.budget.file()?;
                    fs::create_dir(&target).map_err(disk("made", &target))?;
                    self.folder(&entry.path(), &target, depth + 1)?;
                    let readable = Permissions::from_mode(0o755);
                    fs::set_permissions(&target, readable).map_err(disk("made", &target))?;
                }
                false => self.entry(&entry.path(), &target)?,
            }
        }
        Ok(())
    }

    /// A file, or a link to one in the repository.
    fn entry(&mut self, from: &Path, into: &Path) -> Result<(), Error> {
        let from = inside(&self.root, from)?;
        let about = fs::metadata(&from).map_err(disk("read", &from))?;
        if !about.is_file() {
            return Err(Error::Strange(from));
        }
        self.budget.file()?;
        self.budget.bytes(about.len())?;
        fs::copy(&from, into).map_err(disk("copied", &from))?;
        // Whoever the program runs as has to read it.
        let mode = match about.permissions().mode() & 0o111 {
            0 => 0o644,
            _ => 0o755,
        };
        fs::set_permissions(into, Permissions::from_mode(mode)).map_err(disk("copied", into))
    }
}
