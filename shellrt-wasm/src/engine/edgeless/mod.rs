//! Runs EDGELESS functions as they are: core modules that import `env.cast_asm` and its like and export
//! handlers. What the function says and hears goes over stdin and stdout, in lines of JSON.
//!
//! ```text
//! init --> handle_init --> ready --> cast, call: one after the other --> stop --> handle_stop
//! ```
//! A function has one thread. While it waits for a call of its own, nothing may enter its memory, so what
//! comes meanwhile waits; only `stop` does not: it ends the function where it is.

mod guest;
mod host;
mod lines;
mod message;

use std::borrow::Cow;
use std::io;
use std::os::fd::OwnedFd;

use shellrt_api::v0::logs::Stream;
use wasmtime::{Engine, ExternType, FuncType, Linker, Module, Store, ValType};
use wasmtime_wasi::I32Exit;

use super::end::End;
use super::grants::Grants;
use super::limits::Limiter;
use super::run::not_started;
use super::StartError;
use guest::{Answer, Guest};
use lines::{Lines, Talk};
use message::{Instance, Line, Op};

/// The module that the functions below are imported from.
const MODULE: &str = "env";

/// What a function may import.
const IMPORTS: [&str; 8] = [
    "call_asm",
    "call_raw_asm",
    "cast_asm",
    "cast_raw_asm",
    "delayed_cast_asm",
    "slf_asm",
    "sync_asm",
    "telemetry_log_asm",
];

/// What a function must export, with how many numbers of 32 bits it takes and gives; a memory has none.
const EXPORTS: [(&str, Option<(usize, usize)>); 8] = [
    ("edgeless_mem_alloc", Some((1, 1))),
    ("edgeless_mem_clear", Some((0, 0))),
    ("edgeless_mem_free", Some((2, 0))),
    ("handle_call_asm", Some((6, 1))),
    ("handle_cast_asm", Some((4, 0))),
    ("handle_init_asm", Some((4, 0))),
    ("handle_stop_asm", Some((0, 0))),
    ("memory", None),
];

/// What an instance carries.
pub(in crate::engine) struct State {
    limiter: Limiter,
    talk: Talk,
    guest: Option<Guest>,
}

/// Whether a module that exports and imports these is such a function, complete or not.
pub(in crate::engine) fn is_meant(exports: &[String], imports: &[(String, String)]) -> bool {
    let handles = |name: &String| name.starts_with("handle_") && name.ends_with("_asm");
    exports.iter().any(handles) || imports.iter().any(|(module, name)| provided(module, name))
}

/// Whether `module.name` may be imported.
pub(in crate::engine) fn provided(module: &str, name: &str) -> bool {
    module == MODULE && IMPORTS.contains(&name)
}

/// What such a function must export, and these do not.
pub(in crate::engine) fn missing(exports: &[String]) -> Vec<String> {
    let names = EXPORTS.iter().map(|(name, _)| (*name).to_owned());
    names.filter(|name| !exports.contains(name)).collect()
}

/// Everything that a function may import.
pub(in crate::engine) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    host::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Checks that the exports have the right types.
///
/// # Errors
/// Which one has not.
pub(in crate::engine) fn check_exports(module: &Module) -> wasmtime::Result<()> {
    for (name, numbers) in EXPORTS {
        let fits = match (module.get_export(name), numbers) {
            (Some(ExternType::Memory(memory)), None) => !memory.is_64() && !memory.is_shared(),
            (Some(ExternType::Func(function)), Some(numbers)) => has(&function, numbers),
            _ => false,
        };
        if !fits {
            let message = format!("the export {name:?} has not the type of EDGELESS's ABI");
            return Err(wasmtime::Error::msg(message));
        }
    }
    Ok(())
}

fn has(function: &FuncType, (takes, gives): (usize, usize)) -> bool {
    let is_number = |value: ValType| matches!(value, ValType::I32);
    function.params().len() == takes
        && function.results().len() == gives
        && function.params().all(is_number)
        && function.results().all(is_number)
}

/// Runs a function until it is stopped or its stdin has ended. It takes the thread: the function has
/// nothing else to do than to wait, and calls of it are many times faster without an event loop.
pub(in crate::engine) fn run(
    module: &Module,
    grants: &Grants,
    stdin: Option<OwnedFd>,
    limiter: Limiter,
    fuel: Option<u64>,
    ready: impl FnOnce() -> io::Result<()>,
) -> Result<End, StartError> {
    let engine_error = |error: wasmtime::Error| StartError::Engine(error.into());
    let talk = Talk::new(
        Lines::new(stdin).map_err(StartError::EventLoop)?,
        grants.sink(Stream::Stdout),
    );
    let state = State {
        limiter,
        talk,
        guest: None,
    };
    let mut store = Store::new(module.engine(), state);
    store.limiter(|state| &mut state.limiter);
    if let Some(fuel) = fuel {
        store.set_fuel(fuel).map_err(engine_error)?;
    }
    let linker = linker(module.engine()).map_err(engine_error)?;
    let instance = linker.instantiate(&mut store, module);
    let result = match instance.and_then(|instance| Guest::of(&instance, &mut store)) {
        Ok(guest) => {
            ready().map_err(StartError::Ready)?;
            store.data_mut().guest = Some(guest.clone());
            live(&guest, &mut store)
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

/// From `init` to `stop`.
fn live(guest: &Guest, store: &mut Store<State>) -> wasmtime::Result<()> {
    while let Some(mut message) = store.data_mut().talk.next() {
        let data = match message.take_data() {
            Ok(data) => data,
            Err(why) => {
                store.data_mut().talk.complain(&message, &why)?;
                continue;
            }
        };
        match message.op {
            Op::Init => {
                let state = match message.take_state() {
                    Ok(state) => state,
                    Err(why) => {
                        store.data_mut().talk.complain(&message, &why)?;
                        continue;
                    }
                };
                let Instance { node, function } = &message.instance;
                store.data_mut().talk.named([node, function]);
                guest.init(&mut *store, &data, &state)?;
                store.data_mut().talk.say(&Line::new("ready"))?;
            }
            Op::Cast => {
                let from = store.data_mut().talk.ids(message.sender());
                guest.cast(&mut *store, from, &data)?;
            }
            Op::Call => {
                let from = store.data_mut().talk.ids(message.sender());
                let answer = guest.call(&mut *store, from, &data)?;
                let line = match &answer {
                    Answer::Reply(data) => Line::new("reply").with_data(data),
                    Answer::NoReply => Line::new("no_reply"),
                    Answer::Error => Line {
                        message: Some("the function has answered with an error"),
                        ..Line::new("error")
                    },
                };
                let id = message.id.map(Cow::Owned);
                store.data_mut().talk.say(&Line { id, ..line })?;
            }
            Op::Stop => return guest.stop(&mut *store),
            // The answer to a call that is given up, or something that is for others.
            Op::Reply | Op::NoReply | Op::Error | Op::Cancel | Op::Other => {}
        }
    }
    // Nobody is there any more.
    guest.stop(store)
}

/// Ends the function where it is, as if it had ended by itself.
fn ended() -> wasmtime::Error {
    I32Exit(0).into()
}
