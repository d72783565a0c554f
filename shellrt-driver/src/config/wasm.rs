//! A `wasm` config.

use serde_json::Value;
use shellrt_api::v0::config::containerd;
use shellrt_api::v0::config::wasm::{Config, Mount, MountKind};

use super::{begin, finish, replace, set_log};
use crate::args::{self, SharedFlags, WasmFlags};
use crate::failure::Failure;

pub(super) fn build(
    file: Option<Value>,
    image: Option<&str>,
    shared: &SharedFlags,
    flags: &WasmFlags,
) -> Result<Value, Failure> {
    let SharedFlags {
        mounts,
        mem_limit,
        cpus,
        restart,
        stdin,
        labels,
        log_max_size: _,
        log_max_files: _,
        log_streams: _,
        command,
    } = shared;
    let WasmFlags {
        timeout,
        fuel,
        connect,
        listen,
        dns,
    } = flags;
    let mut config: Config = begin(file, image)?;
    let mounts = mounts.iter().map(mount).collect::<Result<Vec<_>, _>>()?;
    replace(&mut config.command, command);
    replace(&mut config.mounts, &mounts);
    replace(&mut config.network.connect, connect);
    if listen.is_some() {
        config.network.listen.clone_from(listen);
    }
    config.network.dns |= dns;
    config.mem_limit = mem_limit.or(config.mem_limit);
    config.cpus = cpus.or(config.cpus);
    config.timeout = timeout.or(config.timeout);
    config.fuel = fuel.or(config.fuel);
    config.stdin |= stdin;
    config.restart = restart.unwrap_or(config.restart);
    config.labels.extend(labels.iter().cloned());
    set_log(&mut config.log, shared);
    finish(config)
}

/// What a WebAssembly program can have of what `--mount` can say.
fn mount(flag: &args::Mount) -> Result<Mount, Failure> {
    let args::Mount {
        kind,
        source,
        target,
        read_only,
        bind,
        tmpfs,
        volume,
    } = flag;
    let is_plain = bind.is_none() && tmpfs.is_none() && volume.is_none();
    match (kind, source) {
        (containerd::MountKind::Bind, Some(source)) if is_plain => Ok(Mount {
            kind: MountKind::Bind,
            source: source.into(),
            target: target.clone(),
            read_only: *read_only,
        }),
        _ => Err(Failure::usage(format!(
            "the mount at {target:?} is none for a \"wasm\" config, which has directories of this \
             machine alone; write HOST:GUEST or HOST:GUEST:ro"
        ))),
    }
}
