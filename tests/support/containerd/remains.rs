//! What belongs to a containerd beside the daemon, and how it is removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::super::network::{free_addresses, left_of, wipe};
use super::super::plugin::{pids, signal, until};
use super::Containerd;

impl Containerd {
    /// Every process that belongs to it, the daemon aside, with its command line: shims, what they
    /// started, and the processes of modules.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let daemon = self.child.as_ref().map(Child::id);
        let pids = pids().into_iter();
        pids.filter(|pid| Some(*pid) != daemon && *pid != std::process::id())
            .filter(|pid| self.owns(*pid))
            .map(|pid| (pid, command_line(pid)))
            .collect()
    }

    /// What is left of modules, in the daemon, in the kernel and among the processes; nothing where
    /// all have been removed. What goes by itself gets some time.
    pub fn left_of_modules(&self) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let mut left: Vec<String> = Vec::new();
            for (pid, line) in self.processes() {
                left.push(format!("process {pid} {line}"));
            }
            for mount in self.mounts() {
                left.push(format!("mount {}", mount.display()));
            }
            for cgroup in self.cgroups() {
                for module in fs::read_dir(cgroup).into_iter().flatten().flatten() {
                    if module.path().is_dir() {
                        left.push(format!("cgroup {}", module.path().display()));
                    }
                }
            }
            left.extend(left_of(&self.namespace));
            let (containers, snapshots) = (["containers", "ls", "-q"], ["snapshots", "ls"]);
            let mut known = vec![(self.ctr(&containers), self.ctr(&snapshots))];
            if self.options.pause_image.is_some() {
                known.push((self.ctr_of_pods(&containers), self.ctr_of_pods(&snapshots)));
            }
            for (containers, snapshots) in known {
                left.extend(containers.lines().map(|line| format!("container {line}")));
                let active = snapshots.lines().filter(|line| line.ends_with("Active"));
                left.extend(active.map(|line| format!("snapshot {line}")));
            }
            if left.is_empty() || Instant::now() > deadline {
                return left;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The mounts below its folder, the innermost last.
    pub fn mounts(&self) -> Vec<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs");
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        points
            .map(PathBuf::from)
            .filter(|point| point.starts_with(&self.folder))
            .collect()
    }

    /// The cgroups of its modules, one path per hierarchy.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let top = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(top).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = hierarchies
            .map(|entry| entry.path().join(&self.namespace))
            .chain([top.join(&self.namespace)])
            .filter(|path| path.is_dir())
            .collect();
        found.sort();
        found
    }

    fn owns(&self, pid: u32) -> bool {
        let folder = self.folder.to_string_lossy();
        let has = |file: &str| {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            text.contains(&*folder) || text.contains(&self.namespace)
        };
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let in_cgroup = cgroups
            .lines()
            .filter_map(|line| line.splitn(3, ':').nth(2))
            .any(|path| path.split('/').any(|part| part == self.namespace));
        let works_in = fs::read_link(format!("/proc/{pid}/cwd"));
        in_cgroup
            || has("cmdline")
            || has("environ")
            || works_in.is_ok_and(|path| path.starts_with(&self.folder))
    }

    /// Kills everything and removes what a power loss would: runc's state, sockets, cgroups, mounts.
    pub(super) fn wipe_memory(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
        self.thaw();
        until("its processes are gone", || {
            let left = self.processes();
            for (pid, _) in &left {
                signal(*pid, Signal::KILL);
            }
            left.is_empty()
        });
        self.remove_bundles();
        for mount in self.mounts().iter().rev() {
            // One that lies in another is gone with it.
            let _ = Command::new("umount")
                .arg("-l")
                .arg(mount)
                .stderr(Stdio::null())
                .status();
        }
        let _ = fs::remove_dir_all(Path::new("/run/containerd/runc").join(&self.namespace));
        wipe(&self.namespace);
        until("its cgroups are gone", || {
            let left = self.cgroups();
            left.iter().for_each(|cgroup| remove_cgroup(cgroup));
            self.cgroups().is_empty()
        });
    }

    /// A frozen process of the first cgroup version can't be killed.
    fn thaw(&self) {
        for cgroup in self.cgroups() {
            for module in fs::read_dir(cgroup).into_iter().flatten().flatten() {
                let state = module.path().join("freezer.state");
                if state.exists() {
                    let _ = fs::write(state, "THAWED");
                }
            }
        }
    }

    /// The shims' sockets and the runtime's state lie in directories of the machine; each bundle says
    /// which are its own.
    fn remove_bundles(&self) {
        let tasks = self.folder.join("state/io.containerd.runtime.v2.task");
        let children = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
        for namespace in children(tasks) {
            let states = Path::new("/run/containerd/runc").join(namespace.file_name());
            for bundle in children(namespace.path()) {
                let _ = fs::remove_dir_all(states.join(bundle.file_name()));
                let Ok(address) = fs::read_to_string(bundle.path().join("address")) else {
                    continue;
                };
                if let Some(socket) = address.trim().strip_prefix("unix://") {
                    let _ = fs::remove_file(socket);
                }
            }
        }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.wipe_memory();
        free_addresses(&self.namespace);
    }
}

fn command_line(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

fn remove_cgroup(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
}
