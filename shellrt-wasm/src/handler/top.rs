//! `top`: the processes of a running module, from procfs.

use shellrt_api::v0::top::{Request, Response};
use shellrt_plugin::process::{self, Stat};
use shellrt_plugin::top::{block_bytes, describe};

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
                // Both were forked and not executed, so their command line is not their own.
                let name = process::name(identity.pid);
                processes.push(describe(identity.pid, &stat, name));
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
