//! What of the machine a request is looked at with.

use std::path::{Path, PathBuf};

/// The program that takes runc's place for NVIDIA's devices.
const NVIDIA: &str = "nvidia-container-runtime";

/// What of the machine a request is looked at with.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Whether SELinux is there, so that labels mean something.
    pub selinux: bool,
    /// Where NVIDIA's runtime is.
    pub nvidia: Option<PathBuf>,
}

impl Machine {
    /// Looks.
    pub fn read() -> Self {
        Machine {
            selinux: Path::new("/sys/fs/selinux/enforce").exists(),
            nvidia: program(NVIDIA),
        }
    }
}

/// A program in the search path, or where packages put it.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/bin")]);
    let mut found = dirs.filter(|dir| dir.is_absolute());
    found
        .find(|dir| dir.join(name).is_file())
        .map(|dir| dir.join(name))
}
