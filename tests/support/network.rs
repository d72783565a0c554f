//! What modules have of the machine's network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Where the machine's CNI plugins are.
pub fn cni_plugins() -> Option<PathBuf> {
    let dirs = [
        "/opt/cni/bin",
        "/usr/local/libexec/cni",
        "/usr/local/lib/cni",
        "/usr/libexec/cni",
        "/usr/lib/cni",
    ];
    let mut dirs = dirs.into_iter().map(PathBuf::from);
    dirs.find(|dir| dir.join("bridge").exists())
}

/// Removes the bridges of the networks in a directory, which stay when all modules are gone.
pub fn remove_bridges(networks: &Path) {
    for entry in fs::read_dir(networks).into_iter().flatten().flatten() {
        let text = fs::read(entry.path()).unwrap_or_default();
        let network: Value = serde_json::from_slice(&text).unwrap_or_default();
        for plugin in network["plugins"].as_array().into_iter().flatten() {
            if let Some(bridge) = plugin["bridge"].as_str() {
                let _ = Command::new("ip")
                    .args(["link", "delete", bridge])
                    .stdin(Stdio::null())
                    .stderr(Stdio::null())
                    .status();
            }
        }
    }
}

/// What the machine knows of the modules of a containerd namespace: network namespaces, firewall rules,
/// addresses that are given away, and what is written of them.
pub fn left_of(namespace: &str) -> Vec<String> {
    let marked = format!("-{namespace}--");
    let mut left = Vec::new();
    for dir in ["/run/netns", "/run/shellrt/network"] {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains(&marked) {
                left.push(entry.path().display().to_string());
            }
        }
    }
    for program in ["iptables-save", "ip6tables-save"] {
        let output = Command::new(program).output();
        let text = output.map(|it| it.stdout).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines = text.lines().filter(|line| line.contains(&marked));
        left.extend(lines.map(|line| format!("{program}: {line}")));
    }
    for network in fs::read_dir("/var/lib/cni/networks")
        .into_iter()
        .flatten()
        .flatten()
    {
        for entry in fs::read_dir(network.path()).into_iter().flatten().flatten() {
            let owner = fs::read_to_string(entry.path()).unwrap_or_default();
            if owner.contains(&marked) {
                left.push(format!("{}: {owner}", entry.path().display()));
            }
        }
    }
    left
}

/// Frees the addresses that modules of a containerd namespace have still: what a test that fails leaves.
pub fn free_addresses(namespace: &str) {
    let marked = format!("-{namespace}--");
    let networks = fs::read_dir("/var/lib/cni/networks").into_iter().flatten();
    for network in networks.flatten() {
        for entry in fs::read_dir(network.path()).into_iter().flatten().flatten() {
            let owner = fs::read_to_string(entry.path()).unwrap_or_default();
            if owner.contains(&marked) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Takes what a power loss does of the modules of a containerd namespace: all but the addresses that are
/// written down as given away.
pub fn wipe(namespace: &str) {
    let marked = format!("-{namespace}--");
    for dir in ["/run/netns", "/run/shellrt/network"] {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains(&marked) {
                let text = fs::read(entry.path()).unwrap_or_default();
                let joined: Value = serde_json::from_slice(&text).unwrap_or_default();
                for address in joined["result"]["ips"].as_array().into_iter().flatten() {
                    let address = address["address"].as_str().unwrap_or_default();
                    let address = address.split('/').next().unwrap_or_default();
                    remove_rules("filter", &format!(" {address}/32 "));
                }
                run(&format!("umount -l {}", entry.path().display()));
                let _ = fs::remove_file(entry.path());
            }
        }
    }
    remove_rules("nat", &marked);
}

/// Removes the rules of a table that have `mark` in them, and the chains that they lead to.
fn remove_rules(table: &str, mark: &str) {
    let output = Command::new("iptables-save").args(["-t", table]).output();
    let text = output.map(|it| it.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let rules = text.lines().filter(|line| line.contains(mark));
    let rules: Vec<&str> = rules.filter_map(|line| line.strip_prefix("-A ")).collect();
    for rule in &rules {
        run(&format!("iptables -w -t {table} -D {rule}"));
    }
    for rule in rules {
        let chain = rule.rsplit_once(" -j CNI-").map(|(_, chain)| chain);
        if let Some(chain) = chain {
            run(&format!("iptables -w -t {table} -F CNI-{chain}"));
            run(&format!("iptables -w -t {table} -X CNI-{chain}"));
        }
    }
}

fn run(line: &str) {
    let _ = Command::new("sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
}
