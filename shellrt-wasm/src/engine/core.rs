//! Runs core modules: preview1 commands.

use std::io;
use std::os::fd::OwnedFd;

use shellrt_api::v0::logs::Stream;
use wasmtime::{Engine, Linker, Module, Store};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::{I32Exit, WasiCtxBuilder};

use super::end::End;
use super::grants::Grants;
use super::limits::{Budget, Limiter};
use super::run::not_started;
use super::stdio::{self, Stdio};
use super::StartError;

/// What an instance carries.
pub(super) struct State {
    pub wasi: WasiP1Ctx,
    pub stdio: Stdio,
    limiter: Limiter,
}

/// Everything that a core module may import.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, |state: &mut State| &mut state.wasi)?;
    // WASI's own refuses codes from 126 on, and programs use them: `exit(-1)` is common.
    linker.allow_shadowing(true);
    let exit = |code: i32| -> wasmtime::Result<()> { Err(I32Exit(code).into()) };
    linker.func_wrap("wasi_snapshot_preview1", "proc_exit", exit)?;
    stdio::add_to_linker(&mut linker)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

/// A test of whether `module.name` may be imported.
pub(super) fn provided(engine: &Engine) -> wasmtime::Result<impl Fn(&str, &str) -> bool> {
    let linker = linker(engine)?;
    // A linker names what it has only with a store at hand; nothing runs in this one.
    let mut store = Store::new(engine, State::empty());
    let names: Vec<(String, String)> = linker
        .iter(&mut store)
        .map(|(module, name, _)| (module.to_owned(), name.to_owned()))
        .collect();
    Ok(move |module: &str, name: &str| names.iter().any(|(m, n)| m == module && n == name))
}

/// Runs a module to its end.
pub(super) async fn run(
    module: &Module,
    grants: &Grants,
    stdin: Option<OwnedFd>,
    limiter: Limiter,
    fuel: Option<u64>,
    ready: impl FnOnce() -> io::Result<()>,
) -> Result<End, StartError> {
    let engine = module.engine();
    let wasi = grants.context(stdin)?.build_p1();
    let stdio = Stdio::new(grants.sink(Stream::Stdout), grants.sink(Stream::Stderr));
    let mut store = Store::new(
        engine,
        State {
            wasi,
            stdio,
            limiter,
        },
    );
    store.limiter(|state| &mut state.limiter);
    if let Some(fuel) = fuel {
        store
            .set_fuel(fuel)
            .map_err(|error| StartError::Engine(error.into()))?;
    }
    let linker = linker(engine).map_err(|error| StartError::Engine(error.into()))?;
    let started = async {
        let instance = linker.instantiate_async(&mut store, module).await?;
        instance.get_typed_func::<(), ()>(&mut store, "_start")
    };
    let result = match started.await {
        Ok(start) => {
            ready().map_err(StartError::Ready)?;
            start.call_async(&mut store, ()).await
        }
        // A module may have code that runs while it is made; what that does is the program's doing.
        Err(error) if End::is_the_programs(&error) => {
            ready().map_err(StartError::Ready)?;
            Err(error)
        }
        Err(error) => return Err(not_started(error, store.data().limiter.refused())),
    };
    let refused = store.data().limiter.refused();
    Ok(match result {
        Ok(()) => End::exited(0, refused),
        Err(error) => {
            if End::is_failure(&error) {
                grants.tell(&format!("{error:?}\n"));
            }
            End::failed(&error, refused)
        }
    })
}

impl State {
    fn empty() -> State {
        let limiter = Limiter::new(Budget::new(None, None));
        State {
            wasi: WasiCtxBuilder::new().build_p1(),
            stdio: Stdio::none(),
            limiter,
        }
    }
}
