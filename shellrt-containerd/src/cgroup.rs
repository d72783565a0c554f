//! What cgroups tell of a module, on hosts with v1, v2 or both.

use std::fs;
use std::path::{Path, PathBuf};

/// What a module has used, where the kernel tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The time on processors, in nanoseconds.
    pub cpu_ns: Option<u64>,
    /// The memory that it has now, in bytes.
    pub memory_bytes: Option<u64>,
    /// What it read from disks, in bytes.
    pub block_read_bytes: Option<u64>,
    /// What it wrote to disks, in bytes.
    pub block_write_bytes: Option<u64>,
}

/// The usage of the cgroup of the process `pid`.
pub fn usage(pid: u32) -> Usage {
    let file = |controller, name: &str| {
        let text = fs::read_to_string(dir(pid, controller)?.join(name)).ok();
        text.filter(|text| !text.is_empty())
    };
    let number = |text: Option<String>| text?.trim().parse::<u64>().ok();
    let cpu = number(file("cpuacct", "cpuacct.usage")).or_else(|| {
        let text = file("cpu", "cpu.stat")?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "))?;
        Some(line.trim().parse::<u64>().ok()?.saturating_mul(1000))
    });
    let memory = number(file("memory", "memory.usage_in_bytes"))
        .or_else(|| number(file("memory", "memory.current")));
    let blocks = match file("blkio", "blkio.throttle.io_service_bytes") {
        Some(text) => Some((sum_v1(&text, "Read"), sum_v1(&text, "Write"))),
        None => {
            let text = file("io", "io.stat").unwrap_or_default();
            dir(pid, "io")
                .filter(|dir| dir.join("io.stat").exists())
                .map(|_| (sum_v2(&text, "rbytes="), sum_v2(&text, "wbytes=")))
        }
    };
    Usage {
        cpu_ns: cpu,
        memory_bytes: memory,
        block_read_bytes: blocks.map(|(read, _)| read),
        block_write_bytes: blocks.map(|(_, written)| written),
    }
}

/// Lines as `8:0 Read 4096`.
fn sum_v1(text: &str, operation: &str) -> u64 {
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (_, found, bytes) = (fields.next()?, fields.next()?, fields.next()?);
        (found == operation)
            .then(|| bytes.parse::<u64>().ok())
            .flatten()
    });
    lines.sum()
}

/// Lines as `8:0 rbytes=4096 wbytes=0 rios=1 ...`.
fn sum_v2(text: &str, field: &str) -> u64 {
    let fields = text.split_whitespace();
    fields
        .filter_map(|word| word.strip_prefix(field)?.parse::<u64>().ok())
        .sum()
}

/// The directory of the memory cgroup of a process, where it has one.
pub fn memory_dir(pid: u32) -> Option<PathBuf> {
    dir(pid, "memory")
}

/// How often the kernel killed somebody in the cgroup `dir` because its memory limit was reached.
pub fn memory_kills(dir: &Path) -> u64 {
    // v2, then v1; both count under the same name.
    ["memory.events", "memory.oom_control"]
        .iter()
        .filter_map(|file| fs::read_to_string(dir.join(file)).ok())
        .find_map(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        })
        .unwrap_or_default()
}

/// Whether the process `pid` is certainly not frozen; a cgroup that is below a frozen one is frozen too.
pub fn is_thawed(pid: u32) -> bool {
    dir(pid, "freezer").is_some_and(|dir| has_thawed(&dir))
}

fn has_thawed(dir: &Path) -> bool {
    // v1, then v2, where no controller has this name. In the root of either there is no such file.
    match fs::read_to_string(dir.join("freezer.state")) {
        Ok(state) => state.trim() == "THAWED",
        Err(_) => fs::read_to_string(dir.join("cgroup.events"))
            .is_ok_and(|events| events.lines().any(|line| line == "frozen 0")),
    }
}

/// The directory of the cgroup of a process with `controller`.
fn dir(pid: u32, controller: &str) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    dir_of(&text, controller)
}

/// A controller is either in a hierarchy of version 1 or in the unified one, whose number is 0.
fn dir_of(text: &str, controller: &str) -> Option<PathBuf> {
    let mut unified = None;
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let path = path.trim_start_matches('/');
        if controllers.split(',').any(|name| name == controller) {
            return Some(Path::new("/sys/fs/cgroup").join(controller).join(path));
        }
        if number == "0" {
            unified = Some(Path::new("/sys/fs/cgroup").join(path));
        }
    }
    unified
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{dir_of, has_thawed, sum_v1, sum_v2};

    #[test]
    fn directories_of_both_versions() {
        let v1 = "5:memory:/shellrt/web\n4:cpu,cpuacct:/shellrt/web\n0::/system.slice\n";
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(
            dir_of(v1, "memory"),
            path("/sys/fs/cgroup/memory/shellrt/web")
        );
        assert_eq!(
            dir_of(v1, "cpuacct"),
            path("/sys/fs/cgroup/cpuacct/shellrt/web")
        );
        let v2 = "0::/shellrt/web\n";
        assert_eq!(dir_of(v2, "memory"), path("/sys/fs/cgroup/shellrt/web"));
        assert_eq!(dir_of("", "memory"), None);
    }

    #[test]
    fn the_freezers_of_both_versions() {
        for (file, text, expected) in [
            ("freezer.state", "THAWED\n", true),
            ("freezer.state", "FREEZING\n", false),
            ("freezer.state", "FROZEN\n", false),
            ("cgroup.events", "populated 1\nfrozen 0\n", true),
            ("cgroup.events", "populated 1\nfrozen 1\n", false),
            // Linux before 5.2.
            ("cgroup.events", "populated 1\n", false),
            ("cgroup.procs", "1\n", false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(file), text).unwrap();
            assert_eq!(has_thawed(dir.path()), expected, "{file}: {text}");
        }
    }

    #[test]
    fn blocks_of_both_versions() {
        let v1 = "8:0 Read 4096\n8:0 Write 10\n8:16 Read 4\n8:0 Total 4106\nTotal 4110\n";
        assert_eq!((sum_v1(v1, "Read"), sum_v1(v1, "Write")), (4100, 10));
        let v2 = "8:0 rbytes=4096 wbytes=1 rios=3\n8:16 rbytes=4 wbytes=2\n";
        assert_eq!((sum_v2(v2, "rbytes="), sum_v2(v2, "wbytes=")), (4100, 3));
    }
}
