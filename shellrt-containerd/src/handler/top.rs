//! `top`: the processes of a running module, from procfs.

use shellrt_api::v0::top::{Request, Response};
use shellrt_plugin::process::Stat;
use shellrt_plugin::{process, top};

use crate::cgroup;
use crate::error::Error;
use crate::module::{task, Module, Now};
use crate::spec;
use crate::Context;

/// Looks at the processes that containerd names.
pub fn handle(context: &Context, request: Request) -> Result<Response, Error> {
    let Request { name } = request;
    let module = Module::find(context, &name)?;
    let Now::Running(running) = module.now()? else {
        return Err(Error::WrongState {
            name,
            what: "does not run; start it first",
        });
    };
    let mut processes = Vec::new();
    for pid in task::pids(&module.containerd, &name)? {
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
    let usage = cgroup::usage(running.pid);
    // With the machine's network these would be the machine's numbers.
    let is_own = !spec::has_host_network(&module.definition.config);
    let network = is_own.then(|| top::network_bytes(running.pid)).flatten();
    Ok(Response {
        cpu_ns: usage.cpu_ns,
        memory_bytes: usage.memory_bytes,
        memory_limit_bytes: module.definition.config.mem_limit.map(|limit| limit.0),
        network_rx_bytes: network.map(|(received, _)| received),
        network_tx_bytes: network.map(|(_, sent)| sent),
        block_read_bytes: usage.block_read_bytes,
        block_write_bytes: usage.block_write_bytes,
        processes,
    })
}
