//! Which plugin is meant.

use std::collections::BTreeSet;
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The executable that `typed` means: a path where it contains a `/`; else `shellrt-<typed>` beside
/// this program, then on `PATH`, then `typed` itself on `PATH`.
///
/// The short name goes first, so that `wasm` never starts a program that has nothing to do with
/// this protocol.
///
/// # Errors
/// A usage failure that lists what was tried.
pub fn find(typed: &OsStr) -> Result<PathBuf, Failure> {
    let beside = env::current_exe().ok();
    let beside = beside.as_deref().and_then(Path::parent);
    let path = env::var_os("PATH").unwrap_or_default();
    let candidates = candidates(typed, beside, &path);
    let mut tried = String::new();
    for candidate in candidates {
        match why_not(&candidate) {
            None => return Ok(candidate),
            Some(reason) => {
                tried.push_str(&format!("\n  {} ({reason})", candidate.display()));
            }
        }
    }
    let typed = typed.to_string_lossy();
    let hint = if typed.contains('/') {
        ""
    } else {
        "; a plugin elsewhere is named by its path, with a \"/\""
    };
    Err(Failure::usage(format!(
        "there is no plugin {typed:?}{hint}; tried:{tried}"
    )))
}

fn candidates(typed: &OsStr, beside: Option<&Path>, path: &OsStr) -> Vec<PathBuf> {
    if typed.as_bytes().contains(&b'/') {
        return vec![PathBuf::from(typed)];
    }
    // An empty entry means the working directory, where nobody expects a plugin.
    let folders = || env::split_paths(path).filter(|folder| folder.is_absolute());
    let mut short = OsString::from("shellrt-");
    short.push(typed);
    let full = typed.as_bytes().starts_with(b"shellrt-");
    let first = if full { typed } else { &short };
    let mut candidates = Vec::new();
    candidates.extend(beside.map(|folder| folder.join(first)));
    candidates.extend(folders().map(|folder| folder.join(first)));
    if !full && !typed.is_empty() {
        candidates.extend(folders().map(|folder| folder.join(typed)));
    }
    // PATH may name a folder twice.
    let mut seen = BTreeSet::new();
    candidates.retain(|candidate| seen.insert(candidate.clone()));
    candidates
}

/// Why `candidate` can't be started; `None` = it can.
fn why_not(candidate: &Path) -> Option<String> {
    match candidate.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some("not there".to_owned()),
        Err(error) => Some(error.to_string()),
        Ok(metadata) if !metadata.is_file() => Some("not a file".to_owned()),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => {
            Some("not executable; \"chmod +x\" makes it so".to_owned())
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::{Path, PathBuf};

    fn candidates(typed: &str) -> Vec<PathBuf> {
        super::candidates(
            OsStr::new(typed),
            Some(Path::new("/beside")),
            OsStr::new("/bin::relative:/sbin"),
        )
    }

    #[test]
    fn order() {
        let paths = |all: &[&str]| all.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(candidates("./x"), paths(&["./x"]));
        assert_eq!(
            candidates("wasm"),
            paths(&[
                "/beside/shellrt-wasm",
                "/bin/shellrt-wasm",
                "/sbin/shellrt-wasm",
                "/bin/wasm",
                "/sbin/wasm"
            ])
        );
        assert_eq!(
            candidates("shellrt-wasm"),
            paths(&[
                "/beside/shellrt-wasm",
                "/bin/shellrt-wasm",
                "/sbin/shellrt-wasm"
            ])
        );
    }
}
