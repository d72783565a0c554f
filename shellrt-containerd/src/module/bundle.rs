//! What containerd has kept of a task that was never made whole. Before 1.7 it leaves the task's directory
//! (its bundle) where whoever asked for the task is killed in the wrong moment, and refuses every other
//! task of that name then, until it is started anew itself. We take it away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::{unmount, UnmountFlags};
use rustix::process::{kill_process, Pid, Signal};

use super::Module;
use crate::error::Error;

/// The directory in containerd's own that has those of all tasks.
const TASKS: &str = "io.containerd.runtime.v2.task";

/// Whether `error` says that the runtime or containerd has something of the module's task that the other
/// one does not know of; or that the shim which was to make the task went away: that of a task that was
/// broken off is used again while it is still there; or that the task's directory did: containerd 1.6 was
/// late with removing that of the one before.
pub fn is_left(error: &Error) -> bool {
    match error {
        Error::Runtime { source, .. } => {
            source.words.contains("already exists")
                || source.words.contains(": file exists")
                || source.words.contains("log.json: no such file")
                || error.is_shim_gone()
        }
        _ => false,
    }
}

/// Takes away what is left of a task of `module` that containerd does not know, as `error` says.
///
/// # Errors
/// What the operating system refuses.
pub fn clear(module: &Module, error: &Error) -> Result<(), Error> {
    if let Error::Runtime { source, .. } = error {
        let (namespace, name) = (module.containerd.namespace(), module.name.as_str());
        if let Some(dir) = named(&source.words, namespace, name) {
            remove(&dir).map_err(|source| Error::file("remove", &dir, source))?;
        }
    }
    forget(module)
}

/// The directory of the task that `words` say is there already.
fn named(words: &str, namespace: &str, name: &str) -> Option<PathBuf> {
    let (_, path) = words.split_once("mkdir ")?;
    let (path, _) = path.split_once(": file exists")?;
    let path = PathBuf::from(path);
    let own = Path::new(TASKS).join(namespace).join(name);
    (path.is_absolute() && path.ends_with(own)).then_some(path)
}

/// Removes the directory of a task, the shim that works in it, and the other directory of that.
fn remove(dir: &Path) -> std::io::Result<()> {
    for pid in working_in(dir) {
        let _ = kill_process(pid, Signal::KILL);
    }
    let root = dir.join("rootfs");
    // Where nothing is mounted there is nothing to do; what is still in use is looked at below.
    let _ = unmount(&root, UnmountFlags::DETACH);
    match fs::remove_dir(&root) {
        // The module's files would be in it.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let work = fs::read_link(dir.join("work")).ok();
    let is_of_task = |work: &PathBuf| {
        let parts: Vec<_> = dir.components().rev().take(3).collect();
        work.components().rev().take(3).collect::<Vec<_>>() == parts
    };
    if let Some(work) = work.filter(is_of_task) {
        let _ = fs::remove_dir_all(work);
    }
    fs::remove_dir_all(dir)
}

/// The processes whose working directory is `dir`: shims.
fn working_in(dir: &Path) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let here = pids.filter(|pid| {
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|works_in| works_in == dir)
    });
    here.filter_map(Pid::from_raw).collect()
}

/// Makes runc forget the container.
fn forget(module: &Module) -> Result<(), Error> {
    let name = module.name.as_str();
    // The root is fixed in containerd's shim for runc.
    let root = PathBuf::from("/run/containerd/runc").join(module.containerd.namespace());
    let status = Command::new("runc")
        .arg("--root")
        .arg(root)
        .args(["delete", "--force", name])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match status {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::system("run runc delete", source)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{named, remove};

    #[test]
    fn only_the_tasks_own_directory_is_named() {
        let words =
            |path: &str| format!("failed to start shim: mkdir {path}: file exists: unknown");
        let own = "/run/containerd/io.containerd.runtime.v2.task/shellrt/web";
        assert_eq!(
            named(&words(own), "shellrt", "web"),
            Some(PathBuf::from(own))
        );
        for other in [
            "/run/containerd/io.containerd.runtime.v2.task/shellrt/other",
            "/run/containerd/io.containerd.runtime.v2.task/other/web",
            "/etc/shellrt/web",
            "io.containerd.runtime.v2.task/shellrt/web",
        ] {
            assert_eq!(named(&words(other), "shellrt", "web"), None, "{other}");
        }
        assert_eq!(named("id already exists", "shellrt", "web"), None);
    }

    #[test]
    fn a_root_with_files_in_it_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let task = dir
            .path()
            .join("state/io.containerd.runtime.v2.task/shellrt/web");
        let work = dir
            .path()
            .join("root/io.containerd.runtime.v2.task/shellrt/web");
        let elsewhere = dir.path().join("elsewhere");
        for dir in [&task.join("rootfs"), &work, &elsewhere] {
            std::fs::create_dir_all(dir).unwrap();
        }
        std::os::unix::fs::symlink(&work, task.join("work")).unwrap();
        let kept = task.join("rootfs/kept");
        std::fs::write(&kept, "").unwrap();
        assert!(remove(&task).is_err());
        assert!(kept.exists() && work.exists());
        std::fs::remove_file(&kept).unwrap();
        remove(&task).unwrap();
        assert!(!task.exists() && !work.exists());
        // What the link leads to is removed only if it is of the same task.
        std::fs::create_dir_all(&task).unwrap();
        std::os::unix::fs::symlink(&elsewhere, task.join("work")).unwrap();
        remove(&task).unwrap();
        assert!(!task.exists() && elsewhere.exists());
    }
}
