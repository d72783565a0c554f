//! `top`: the processes of a running module, from procfs.

use shellrt_api::v0::top::{Request, Response};
use shellrt_plugin::process::Stat;
use shellrt_plugin::{process, top};

use crate::cgroup;
use crate::containerd::Containerd;
use crate::cri;
use crate::error::Error;
use crate::module::{task, Module, Now};
use crate::spec;
use crate::Context;

/// Whose processes are looked at.
struct Subject<'a> {
    containerd: &'a Containerd,
    /// The container.
    id: &'a str,
    /// Its first process.
    pid: u32,
    /// What it may use of the memory, in bytes.
    memory_limit: Option<u64>,
    /// Whether its network is its own: else the numbers of that are the machine's.
    has_network: bool,
}

/// Looks at the processes that containerd names.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name } = request;
    let stopped = |name| Error::WrongState {
        name,
        what: "does not run; start it first",
    };
    if let Some(module) = cri::Module::find(context, &name)? {
        let cri::Now::Running(running) = module.now()? else {
            return Err(stopped(name));
        };
        let Some(pid) = running.pid else {
            return Err(stopped(name));
        };
        let subject = Subject {
            containerd: module.containerd(),
            id: &running.container,
            pid,
            memory_limit: module.memory_limit(),
            has_network: module.has_own_network(),
        };
        return describe(name, &subject);
    }
    let module = Module::find(context, &name)?;
    let Now::Running(running) = module.now()? else {
        return Err(stopped(name));
    };
    let config = &module.definition.config;
    let subject = Subject {
        containerd: &module.containerd,
        id: module.name.as_str(),
        pid: running.pid,
        memory_limit: config.mem_limit.map(|limit| limit.0),
        has_network: !spec::has_host_network(config),
    };
    describe(name, &subject)
}

fn describe(name: String, subject: &Subject<'_>) -> Result<Response, Error> {
    let mut processes = Vec::new();
    for pid in task::pids(subject.containerd, subject.id)? {
        // One that ended while we looked is left out.
        if let Ok(stat) = Stat::read(pid) {
            processes.push(top::describe(pid, &stat, process::command_line(pid)));
        }
    }
    if processes.is_empty() {
        return Err(Error::WrongState {
            name,
            what: "does not run any more; start it first",
        });
    }
    processes.sort_by_key(|process| process.pid);
    let usage = cgroup::usage(subject.pid);
    let network = subject.has_network.then(|| top::network_bytes(subject.pid));
    let network = network.flatten();
    Ok(Response {
        cpu_ns: usage.cpu_ns,
        memory_bytes: usage.memory_bytes,
        memory_limit_bytes: subject.memory_limit,
        network_rx_bytes: network.map(|(received, _)| received),
        network_tx_bytes: network.map(|(_, sent)| sent),
        block_read_bytes: usage.block_read_bytes,
        block_write_bytes: usage.block_write_bytes,
        processes,
    })
}
