//! Runs components: `wasi:cli/command` here, and what [`super::http`] shares with it.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2;
use wasmtime_wasi::p2::bindings::{CommandPre, LinkOptions};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::end::End;
use super::grants::Grants;
use super::limits::Limiter;
use super::names;
use super::outgoing::Outgoing;
use super::run::not_started;
use super::StartError;

/// How many resources (files, streams, timers, requests, ...) an instance may hold at once.
const RESOURCES: usize = 100_000;

/// What an instance carries.
pub(super) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    /// The names that are being looked up, by the resource that gives their addresses.
    pub lookups: BTreeMap<u32, String>,
    limiter: Limiter,
}

impl State {
    /// The state of a new instance. It must be called inside the event loop.
    pub fn new(
        grants: &Grants,
        stdin: Option<OwnedFd>,
        limiter: Limiter,
    ) -> Result<State, StartError> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        Ok(State {
            wasi: grants.context(stdin)?.build(),
            table,
            http: WasiHttpCtx::new(),
            outgoing: Outgoing::new(grants.allowed.clone()),
            lookups: BTreeMap::new(),
            limiter,
        })
    }

    /// A store around it, with its limits set.
    pub fn store(self, engine: &Engine, fuel: Option<u64>) -> wasmtime::Result<Store<State>> {
        let mut store = Store::new(engine, self);
        store.limiter(|state| &mut state.limiter);
        if let Some(fuel) = fuel {
            store.set_fuel(fuel)?;
        }
        Ok(store)
    }

    /// What the memory limit refused, if nothing has grown since.
    pub fn refused(&self) -> Option<super::limits::Refusal> {
        self.limiter.refused()
    }

    /// Where it may connect to.
    pub fn allowed(&self) -> &super::network::AllowList {
        self.outgoing.allowed()
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.outgoing,
        }
    }
}

/// Everything that a component may import. `wasi:http` is among it for commands too: what is made
/// from JavaScript imports it even if it only prints.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let mut options = LinkOptions::default();
    options.network_error_code(true);
    p2::add_to_linker_with_options_async(&mut linker, &options)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    names::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Runs a command to its end.
pub(super) async fn run(
    component: &Component,
    grants: &Grants,
    stdin: Option<OwnedFd>,
    limiter: Limiter,
    fuel: Option<u64>,
    ready: impl FnOnce() -> io::Result<()>,
) -> Result<End, StartError> {
    let engine = component.engine();
    let engine_error = |error: wasmtime::Error| StartError::Engine(error.into());
    let mut store = State::new(grants, stdin, limiter)?
        .store(engine, fuel)
        .map_err(engine_error)?;
    let linker = linker(engine).map_err(engine_error)?;
    let started = async {
        let pre = CommandPre::new(linker.instantiate_pre(component)?)?;
        pre.instantiate_async(&mut store).await
    };
    let result = match started.await {
        Ok(command) => {
            ready().map_err(StartError::Ready)?;
            command.wasi_cli_run().call_run(&mut store).await
        }
        // A component may have code that runs while it is made; what that does is the program's doing.
        Err(error) if End::is_the_programs(&error) => {
            ready().map_err(StartError::Ready)?;
            Err(error)
        }
        Err(error) => return Err(not_started(error, store.data().refused())),
    };
    let refused = store.data().refused();
    Ok(match result {
        Ok(Ok(())) => End::exited(0, refused),
        Ok(Err(())) => End::exited(1, refused),
        Err(error) => {
            if End::is_failure(&error) {
                grants.tell(&format!("{error:?}\n"));
            }
            End::failed(&error, refused)
        }
    })
}
