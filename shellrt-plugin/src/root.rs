//! The state directory of a plugin: where it is, and that it is ours alone.

use crate::file;
use shellrt_api::v0::Code;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Opens the state directory of `plugin` (as in `wasm`), and makes it where there is none: the one
/// that the environment's `variable` names, else `/var/lib/shellrt/<plugin>` for root and
/// `$XDG_DATA_HOME/shellrt/<plugin>` (`~/.local/share/shellrt/<plugin>`) for others. The path is
/// absolute: the processes of modules live elsewhere, where a relative one would change its meaning.
///
/// # Errors
/// [`Error::Foreign`] where somebody else owns it or can write to it; [`Error::NoPlace`].
pub fn open(variable: &'static str, plugin: &str) -> Result<PathBuf, Error> {
    let root = find(variable, plugin)?;
    file::make_dir(&root)?;
    check(variable, &root)?;
    Ok(root)
}

fn find(variable: &'static str, plugin: &str) -> Result<PathBuf, Error> {
    let set = |name| env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let name = Path::new("shellrt").join(plugin);
    let root = if let Some(root) = set(variable) {
        PathBuf::from(root)
    } else if rustix::process::geteuid().is_root() {
        Path::new("/var/lib").join(name)
    } else if let Some(data) = set("XDG_DATA_HOME") {
        PathBuf::from(data).join(name)
    } else if let Some(home) = set("HOME") {
        PathBuf::from(home).join(".local/share").join(name)
    } else {
        return Err(Error::NoPlace { variable });
    };
    std::path::absolute(&root).map_err(|source| refused("find", &root, source))
}

fn check(variable: &'static str, root: &Path) -> Result<(), Error> {
    let found = fs::metadata(root).map_err(|source| refused("open", root, source))?;
    let user = rustix::process::geteuid().as_raw();
    if found.uid() != user || found.mode() & 0o022 != 0 {
        return Err(Error::Foreign {
            path: root.to_owned(),
            owner: found.uid(),
            user,
            variable,
        });
    }
    Ok(())
}

fn refused(doing: &'static str, path: &Path, source: io::Error) -> Error {
    Error::File(file::Error::new(doing, path, source))
}

/// Why there is no state directory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no place for the state.
    #[error("there is no place for the state; set {variable} or HOME")]
    NoPlace {
        /// The variable that would name one.
        variable: &'static str,
    },
    /// The state directory is not ours alone.
    #[error(
        "the state directory {path:?} belongs to user {owner} or others can write to it; it must \
         belong to user {user} alone (mode 0700), or set {variable} to another one"
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it should be.
        user: u32,
        /// The variable that names another one.
        variable: &'static str,
    },
    /// The operating system refuses it.
    #[error(transparent)]
    File(#[from] file::Error),
}

impl Error {
    /// The code for the wire.
    pub fn code(&self) -> Code {
        match self {
            Error::NoPlace { .. } | Error::Foreign { .. } => Code::PERMISSION_DENIED,
            Error::File(error) => error.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{check, Error};
    use shellrt_api::v0::Code;
    use std::fs::{set_permissions, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_that_others_can_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let with = |mode| {
            set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
            check("SHELLRT_TEST_ROOT", dir.path())
        };
        assert!(with(0o755).is_ok());
        for mode in [0o777, 0o720, 0o702] {
            let error = with(mode).unwrap_err();
            assert!(matches!(error, Error::Foreign { .. }), "{mode:o}");
            assert_eq!(error.code(), Code::PERMISSION_DENIED);
            assert!(error.to_string().contains("SHELLRT_TEST_ROOT"), "{error}");
        }
    }
}
