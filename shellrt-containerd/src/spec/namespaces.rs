//! What a container has for itself: namespaces, their kernel settings, its cgroup, and what it does
//! not get to see of the kernel.

use std::collections::BTreeMap;
use std::path::Path;

use shellrt_api::v0::config::containerd::{Config, Namespace as Whose};
use shellrt_api::v0::config::invalid;
use shellrt_api::v0::Error;

use super::document::Namespace;
use super::host::Host;
use super::Facts;

/// The namespaces of the container's own. A cgroup namespace came with version 2 of the cgroups: with
/// version 1 docker leaves the machine's, since older programs look for their cgroup by the path in
/// /proc.
///
/// The network's is another one that exists, where there is a network.
pub(super) fn namespaces(facts: Facts) -> Vec<Namespace> {
    let config = facts.config;
    let own = [
        ("mount", true),
        ("network", !has_host_network(config)),
        ("uts", config.uts == Whose::Private),
        ("pid", config.pid == Whose::Private),
        ("ipc", config.ipc == Whose::Private),
        ("cgroup", facts.host.cgroups.unified),
    ];
    let own = own.into_iter().filter(|(_, is_own)| *is_own);
    let path = |kind| facts.network.filter(|_| kind == "network");
    let own = own.map(|(kind, _)| Namespace {
        kind,
        path: path(kind).map(Path::to_owned),
    });
    own.collect()
}

/// The host name that the container of `module` sees: the given one; the machine's where the network
/// or the name are the machine's; else the module's name as far as it fits.
pub fn hostname(config: &Config, module: &str, host: &Host) -> String {
    match &config.hostname {
        Some(name) => name.clone(),
        None if config.uts == Whose::Host || has_host_network(config) => host.name.clone(),
        None => fitting(module),
    }
}

/// A module's name is letters, digits and marks between them; a label of a host name is at most 63
/// of them and does not end with a mark.
fn fitting(name: &str) -> String {
    let end = name.len().min(63);
    name[..end]
        .trim_end_matches(|c: char| !c.is_ascii_alphanumeric())
        .to_owned()
}

/// Whether the container has the machine's network; records of before there were others name none.
pub fn has_host_network(config: &Config) -> bool {
    matches!(config.network.as_deref(), None | Some("host"))
}

/// The kernel settings: docker's two, which let every user ping and listen on any port, then those
/// of the config.
///
/// # Errors
/// Error 4 at a setting that this kernel has not.
pub(super) fn sysctls(facts: Facts) -> Result<BTreeMap<String, String>, Error> {
    let host_network = has_host_network(facts.config);
    let mut all = BTreeMap::new();
    let docker = [
        ("net.ipv4.ping_group_range", "0 2147483647"),
        ("net.ipv4.ip_unprivileged_port_start", "0"),
    ];
    for (name, value) in docker {
        if !host_network && exists(name) {
            all.insert(name.to_owned(), value.to_owned());
        }
    }
    for (name, value) in &facts.config.sysctls {
        if !exists(name) {
            let pointer = name.replace('~', "~0").replace('/', "~1");
            return Err(invalid(
                &format!("/sysctls/{pointer}"),
                &format!("this kernel has no setting {name:?}"),
            ));
        }
        all.insert(name.clone(), value.clone());
    }
    Ok(all)
}

/// Whether this kernel has the setting, which may be written with dots or, like a path, with
/// slashes. What belongs to a network device is there with the device, which only the container may
/// have.
fn exists(name: &str) -> bool {
    let is_path = name
        .find(['.', '/'])
        .is_some_and(|at| name[at..].starts_with('/'));
    let path = if is_path {
        name.to_owned()
    } else {
        name.replace('.', "/")
    };
    let of_device = ["/conf/", "/neigh/"].iter().any(|part| path.contains(part));
    of_device || Path::new("/proc/sys").join(path).exists()
}

/// The cgroup, in the form of the machine's driver.
pub(super) fn cgroups_path(facts: Facts) -> String {
    if facts.host.systemd_cgroup {
        // The runtime makes `shellrt-NAME.scope` of it; a `:` can't be in a name.
        format!("system.slice:{}:{}", facts.namespace, facts.name)
    } else {
        format!("/{}/{}", facts.namespace, facts.name)
    }
}

/// What shows nothing to a container on any machine.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What can't be written to in a container.
pub const READONLY_PATHS: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// What shows nothing to a container: it tells too much about the machine or lets it be changed.
pub(super) fn masked_paths(facts: Facts) -> Vec<String> {
    if facts.config.privileged {
        return Vec::new();
    }
    let fixed = MASKED_PATHS.iter().map(|&path| path.to_owned());
    fixed.chain(facts.host.thermal.iter().cloned()).collect()
}

/// What can't be written to in a container.
pub(super) fn readonly_paths(facts: Facts) -> Vec<String> {
    if facts.config.privileged {
        return Vec::new();
    }
    READONLY_PATHS.map(str::to_owned).to_vec()
}
