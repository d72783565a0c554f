//! Where it was measured.

use std::fs;
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
        first_line("stat", "--file-system --format=%T /tmp"),
        peers.join("; ")
    )
}

fn first_line(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split(' ')).output();
    let text = output.map(|it| it.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().next().unwrap_or("not installed").to_owned()
}
