//! `sys_info`: what machine this is, from procfs and uname.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use shellrt_api::v0::sys_info::{Request, Response};

use crate::engine;
use crate::error::Error;
use crate::Context;

/// Looks.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request {} = request;
    let system = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let root = context.store.root().display().to_string();
    Ok(Response {
        os_type: text(system.sysname()).to_lowercase(),
        operating_system: operating_system(),
        kernel_version: text(system.release()),
        architecture: text(system.machine()),
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        memory_bytes: memory(),
        hostname: text(system.nodename()),
        runtime: "wasmtime".to_owned(),
        runtime_version: engine::VERSION.to_owned(),
        more: BTreeMap::from([
            ("cgroup_version".to_owned(), cgroup_version().into()),
            ("root".to_owned(), root.into()),
        ]),
    })
}

/// The distribution, from os-release(5).
fn operating_system() -> String {
    let text = fs::read_to_string("/etc/os-release")
        .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

fn memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

fn cgroup_version() -> u32 {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        2
    } else {
        1
    }
}
