//! `top`: the processes of a running module, from procfs.

use std::fs;

use shellrt_api::v0::top::{Process, Request, Response};
use shellrt_plugin::process::{self, Stat};

use crate::error::Error;
use crate::module::{Module, Now};
use crate::Context;

/// Looks: at the engine, and at the monitor that every running module costs.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name } = request;
    let module = Module::find(&context.store, &name)?;
    let Now::Running(run) = module.now()? else {
        return Err(Error::WrongState {
            name,
            what: "does not run; start it first",
        });
    };
    let mut processes = Vec::new();
    for identity in [&run.monitor, &run.engine] {
        match Stat::read(identity.pid) {
            Ok(stat) if stat.started == identity.started => {
                processes.push(describe(identity.pid, &stat));
            }
            // It ended while we looked.
            _ => {}
        }
    }
    let Some(engine) = processes
        .iter()
        .find(|process| process.pid == run.engine.pid)
    else {
        return Err(Error::WrongState {
            name,
            what: "does not run any more; start it first",
        });
    };
    let (read, written) = block_bytes(engine.pid);
    let mut answer = Response {
        cpu_ns: Some(processes.iter().map(|process| process.cpu_ns).sum()),
        memory_bytes: Some(processes.iter().map(|process| process.memory_bytes).sum()),
        memory_limit_bytes: module.definition.config.mem_limit.map(|limit| limit.0),
        block_read_bytes: read,
        block_write_bytes: written,
        ..Response::default()
    };
    processes.sort_by_key(|process| process.pid);
    answer.processes = processes;
    Ok(answer)
}

fn describe(pid: u32, stat: &Stat) -> Process {
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    Process {
        pid,
        ppid: stat.parent,
        command: process::name(pid),
        cpu_ns: stat.cpu_ticks * (1_000_000_000 / ticks_per_second),
        memory_bytes: stat.resident_pages * rustix::param::page_size() as u64,
    }
}

/// What a process read from disks and wrote to them, where the kernel tells.
fn block_bytes(pid: u32) -> (Option<u64>, Option<u64>) {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    (field("read_bytes:"), field("write_bytes:"))
}
