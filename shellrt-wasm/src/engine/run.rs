//! One run of a program.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::Arc;

use shellrt_api::v0::config::wasm::Config;
use tokio::runtime::{Builder, Runtime};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::config::{engine, Purpose};
use super::end::End;
use super::error::is_out_of_memory;
use super::grants::Grants;
use super::limits::{Budget, Limiter, Refusal};
use super::{component, core, edgeless, http};
use super::{Kind, Output, StartError, Tuning};

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// The compiled program. It was written by [`super::compile_in_child`] into a directory that
    /// nobody else can write to, and it does not change while the program runs: it is mapped and
    /// executed as it is.
    pub cwasm: &'a Path,
    /// What kind of program it is, as [`super::inspect`] said.
    pub kind: Kind,
    /// What it was compiled with.
    pub tuning: Tuning,
    /// What the program finds as its own name, `argv[0]`.
    pub name: &'a str,
}

/// What a run is given.
pub struct Settings<'a> {
    /// The module's config. Its `image`, `command`, `cpus`, `timeout`, `restart`, `log` and `labels`
    /// are the caller's business.
    pub config: &'a Config,
    /// The environment, merged already.
    pub env: &'a BTreeMap<String, String>,
    /// The arguments, without the program's own name.
    pub args: &'a [String],
    /// A pipe or FIFO to read from; it is made non-blocking. `None`: the program reads end of file.
    pub stdin: Option<OwnedFd>,
    /// Where the sum of all linear memories and tables is stored, in bytes, whenever it changes.
    pub memory_gauge: Option<&'static AtomicU64>,
}

/// Runs a program to its end. It is called in a process of its own that has a single thread and
/// nothing that must be cleaned up; threads may be left over when it returns.
///
/// `ready` is called exactly once, when nothing but the program itself can fail any more, and before
/// its first instruction (but for code that a module runs while it is made). With a [`StartError`] it
/// is not called, unless that is [`StartError::Ready`].
///
/// A program that serves HTTP runs until the process gets a SIGTERM, finishes the requests that it is
/// at, and has then exited with 0. Its fuel is counted for each request.
///
/// # Errors
/// Why the run could not begin. [`StartError::Stale`] asks to compile the program again.
pub fn run(
    program: Program,
    settings: Settings,
    output: Arc<dyn Output>,
    ready: impl FnOnce() -> io::Result<()>,
) -> Result<End, StartError> {
    let config = settings.config;
    let engine = engine(program.tuning, Purpose::Run).map_err(StartError::Engine)?;
    let grants = Grants::new(program.name, &settings, output)?;
    let budget = Budget::new(config.mem_limit.map(|limit| limit.0), settings.memory_gauge);
    // An engine that counts must be told how far, even if there is no limit.
    let fuel = program.tuning.fuel.then(|| config.fuel.unwrap_or(u64::MAX));
    let stdin = settings.stdin;
    let sockets = stdin.is_some() || grants.network;
    match program.kind {
        Kind::Core => {
            let module = load(&engine, program.cwasm, Module::deserialize_file)?;
            let run = core::run(&module, &grants, stdin, Limiter::new(budget), fuel, ready);
            one_thread(sockets)?.block_on(run)
        }
        Kind::Edgeless => {
            let module = load(&engine, program.cwasm, Module::deserialize_file)?;
            edgeless::run(&module, &grants, stdin, Limiter::new(budget), fuel, ready)
        }
        Kind::Command => {
            let component = load(&engine, program.cwasm, Component::deserialize_file)?;
            let run = component::run(
                &component,
                &grants,
                stdin,
                Limiter::new(budget),
                fuel,
                ready,
            );
            one_thread(sockets)?.block_on(run)
        }
        Kind::Http => {
            let component = load(&engine, program.cwasm, Component::deserialize_file)?;
            http::run(&component, config, grants, budget, fuel, ready)
        }
    }
}

/// The event loop of a program that has one thread. `sockets` says whether it must watch any.
fn one_thread(sockets: bool) -> Result<Runtime, StartError> {
    let mut builder = Builder::new_current_thread();
    builder.enable_time();
    if sockets {
        builder.enable_io();
    }
    builder.build().map_err(StartError::EventLoop)
}

/// Maps a compiled program.
fn load<'a, T>(
    engine: &Engine,
    path: &'a Path,
    deserialize: unsafe fn(&Engine, &'a Path) -> wasmtime::Result<T>,
) -> Result<T, StartError> {
    // SAFETY: loading runs whatever native code stands in the file. `Program::cwasm` promises that
    // our own compiler wrote it, that nobody else could have, and that it does not change while it is
    // mapped. The engine checks itself that version, settings and processor fit.
    let loaded = unsafe { deserialize(engine, path) };
    loaded.map_err(|error| {
        if is_out_of_memory(&error) {
            return StartError::OutOfMemory(error.into());
        }
        match File::open(path) {
            Ok(_) => StartError::Stale(error.into()),
            Err(source) => StartError::Unreadable {
                path: path.to_owned(),
                source,
            },
        }
    })
}

/// Why an instance could not be made, given what the memory limit refused on the way.
pub(super) fn not_started(error: wasmtime::Error, refused: Option<Refusal>) -> StartError {
    match refused {
        Some(Refusal { wanted, limit }) => StartError::MemoryLimit {
            needed: wanted,
            limit,
        },
        None if is_out_of_memory(&error) => StartError::OutOfMemory(error.into()),
        None => StartError::Instantiate(error.into()),
    }
}
