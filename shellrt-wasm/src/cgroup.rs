//! Processor limits by cgroups, where there are some that this user may use.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use shellrt_api::v0::config;

use crate::error::Error;

/// How long a period of the processor's time is, in microseconds; the kernel's default.
const PERIOD: u64 = 100_000;

/// A cgroup of one run.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes a cgroup called `name` that may use `cpus` processors on average.
    ///
    /// # Errors
    /// An invalid config where there are no cgroups to use: a limit that is not enforced is a lie.
    pub fn new(name: &str, cpus: f64) -> Result<Self, Error> {
        // The kernel takes no quota below one millisecond.
        let quota = (cpus * PERIOD as f64).round().max(1000.0) as u64;
        let mut reasons = Vec::new();
        for version in [Version::Two, Version::One] {
            match version.make(name, quota) {
                Ok(path) => return Ok(Cgroup { path }),
                Err(error) => reasons.push(format!("{}: {error}", version.root())),
            }
        }
        let reason = format!(
            "there is no cgroup to enforce it with ({}); leave it out, or run as root or with a \
             delegated cpu controller",
            reasons.join("; ")
        );
        Err(config::invalid("/cpus", &reason).into())
    }

    /// Moves the calling process in.
    pub fn enter(&self) -> io::Result<()> {
        fs::write(
            self.path.join("cgroup.procs"),
            std::process::id().to_string(),
        )
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // It is empty when its process has been waited for; if not, a later `prune` finds it.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Removes what a killed monitor left behind.
pub fn remove_leftover(path: &Path) {
    let _ = fs::remove_dir(path);
}

/// The two generations of cgroups.
#[derive(Clone, Copy)]
enum Version {
    One,
    Two,
}

impl Version {
    /// The usual mount point.
    fn root(self) -> &'static str {
        match self {
            Version::One => "/sys/fs/cgroup/cpu",
            Version::Two => "/sys/fs/cgroup",
        }
    }

    fn make(self, name: &str, quota: u64) -> io::Result<PathBuf> {
        let root = Path::new(self.root());
        let parent = root.join("shellrt");
        let path = parent.join(name);
        match self {
            Version::One => {
                if !root.join("cpu.cfs_quota_us").exists() && !root.join("cpu.shares").exists() {
                    return Err(io::Error::new(io::ErrorKind::NotFound, "no cpu controller"));
                }
                fs::create_dir_all(&path)?;
                self.limit(&path, "cpu.cfs_period_us", &PERIOD.to_string())?;
                self.limit(&path, "cpu.cfs_quota_us", &quota.to_string())?;
            }
            Version::Two => {
                let controllers = fs::read_to_string(root.join("cgroup.controllers"))?;
                if !controllers
                    .split_whitespace()
                    .any(|controller| controller == "cpu")
                {
                    return Err(io::Error::new(io::ErrorKind::NotFound, "no cpu controller"));
                }
                fs::create_dir_all(&parent)?;
                fs::write(root.join("cgroup.subtree_control"), "+cpu")?;
                fs::write(parent.join("cgroup.subtree_control"), "+cpu")?;
                fs::create_dir_all(&path)?;
                self.limit(&path, "cpu.max", &format!("{quota} {PERIOD}"))?;
            }
        }
        Ok(path)
    }

    /// Writes a limit; on failure the half-made cgroup goes.
    fn limit(self, path: &Path, file: &str, value: &str) -> io::Result<()> {
        fs::write(path.join(file), value).inspect_err(|_| remove_leftover(path))
    }
}
