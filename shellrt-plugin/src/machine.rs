//! What machine this is, from procfs and uname.

use shellrt_api::v0::sys_info::Response;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs;
use std::path::Path;

/// The answer to `sys_info`, as far as the machine alone knows it: all but the runtime's name and
/// version, with `cgroup_version` among `more`.
pub fn sys_info() -> Response {
    let system = rustix::system::uname();
    let text = |text: &CStr| text.to_string_lossy().into_owned();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    Response {
        os_type: text(system.sysname()).to_lowercase(),
        operating_system: operating_system(),
        kernel_version: text(system.release()),
        architecture: text(system.machine()),
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        memory_bytes: memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        hostname: text(system.nodename()),
        runtime: String::new(),
        runtime_version: String::new(),
        more: BTreeMap::from([("cgroup_version".to_owned(), cgroup_version().into())]),
    }
}

/// Which hierarchy of cgroups the machine uses: 2 where it is the unified one alone, else 1.
pub fn cgroup_version() -> u32 {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        2
    } else {
        1
    }
}

/// The distribution, from os-release(5).
fn operating_system() -> String {
    let text = fs::read_to_string("/etc/os-release")
        .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    pretty_name(&text).to_owned()
}

fn pretty_name(text: &str) -> &str {
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"')
}

/// The physical memory that /proc/meminfo tells of, in bytes.
fn memory(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn it_says_what_uname_says() {
        let said = |option| {
            let output = Command::new("uname").arg(option).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let info = sys_info();
        assert_eq!(info.os_type, said("-s").to_lowercase());
        assert_eq!(info.kernel_version, said("-r"));
        assert_eq!(info.architecture, said("-m"));
        assert_eq!(info.hostname, said("-n"));
        let cpus = Command::new("nproc").output().unwrap();
        assert_eq!(info.cpus.to_string().as_bytes(), cpus.stdout.trim_ascii());
    }

    #[test]
    fn the_distribution_and_the_memory() {
        let text = "NAME=\"Debian GNU/Linux\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(pretty_name(text), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(pretty_name("PRETTY_NAME=Alpine\n"), "Alpine");
        assert_eq!(pretty_name(""), "Linux");
        let text = "MemTotal:        2048 kB\nMemFree:         1000 kB\n";
        assert_eq!(memory(text), 2_097_152);
        assert_eq!(memory(""), 0);
    }
}
