//! Where it was measured.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A paragraph about this machine and the peers that are installed on it.
pub fn description() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("an unknown processor", |line| {
        line.trim_start_matches([' ', '\t', ':'])
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    let peers = [
        ("containerd", "--version"),
        ("runc", "--version"),
        ("podman", "--version"),
        ("docker-registry", "--version"),
    ];
    let peers: Vec<String> = peers
        .iter()
        .map(|(program, argument)| first_line(program, argument))
        .collect();
    format!(
        "Machine: {model}, {cores} cores, {} GiB, Linux {}, state on {}; load at the begin {load}. Peers: {}.",
        memory.unwrap_or_default() >> 20,
        kernel.trim(),
        file_system(Path::new("/tmp")),
        peers.join("; ")
    )
}

/// The type of the file system that `path` lies on. statfs(2) has one number for ext2, ext3 and ext4.
fn file_system(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let found = mounts.lines().filter_map(|line| {
        // Some optional fields end with a hyphen; the mount point is the fifth.
        let (mount, what) = line.split_once(" - ")?;
        let point = Path::new(mount.split(' ').nth(4)?);
        let depth = point.components().count();
        path.starts_with(point).then_some((depth, what))
    });
    // Of mounts in one place the last one is seen.
    let (_, what) = found.max_by_key(|(depth, _)| *depth).unwrap_or_default();
    what.split(' ').next().unwrap_or_default().to_owned()
}

fn first_line(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split(' ')).output();
    let text = output.map(|it| it.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().next().unwrap_or("not installed").to_owned()
}
