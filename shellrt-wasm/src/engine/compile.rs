//! Compiling ahead of time, in a process of its own that is bounded in memory and time.

use std::env;
use std::path::Path;
use std::time::Instant;

use shellrt_api::v0::config::Bytes;
use wasmtime::component::Component;
use wasmtime::Module;

use super::config::{engine, Purpose};
use super::error::is_out_of_memory;
use super::{component, core, edgeless, inspect, Inspection, Kind, ProgramError, Tuning};

/// What to compile, and within which bounds.
#[derive(Debug, Clone)]
pub struct CompileRequest<'a> {
    /// The program.
    pub wasm: &'a Path,
    /// Where the compiled program goes. It appears there complete and synchronised, or not at all; a
    /// process that dies in between leaves a file beside it whose name ends in `.tmp`.
    pub output: &'a Path,
    /// What changes the compiled code.
    pub tuning: Tuning,
    /// How much it may take.
    pub limits: Limits,
    /// When the compiler is killed. `None` = never.
    pub deadline: Option<Instant>,
}

/// How much compiling may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest program, in bytes. `SHELLRT_WASM_MAX_PROGRAM`, default 256 MiB.
    pub program: u64,
    /// The memory of the compiler's process, in bytes. `SHELLRT_WASM_COMPILE_MEMORY`, default 4 GiB.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            program: 256 << 20,
            memory: 4 << 30,
        }
    }
}

impl Limits {
    /// The limits that the environment sets, or their defaults. The variables are sizes as in a
    /// config, like `64m`.
    ///
    /// # Errors
    /// [`ProgramError::Environment`] where a variable is no size.
    pub fn from_environment() -> Result<Limits, ProgramError> {
        let size = |name: &'static str, default: u64| match env::var(name) {
            Ok(text) => match text.parse::<Bytes>() {
                Ok(size) => Ok(size.0),
                Err(source) => Err(ProgramError::Environment { name, source }),
            },
            Err(_) => Ok(default),
        };
        let Limits { program, memory } = Limits::default();
        Ok(Limits {
            program: size("SHELLRT_WASM_MAX_PROGRAM", program)?,
            memory: size("SHELLRT_WASM_COMPILE_MEMORY", memory)?,
        })
    }
}

/// Compiles `wasm` in this process, and checks that its imports have the right types.
///
/// # Errors
/// What [`super::inspect`] says, and what only the compiler finds.
pub fn compile(wasm: &[u8], tuning: Tuning) -> Result<Vec<u8>, ProgramError> {
    let inspection = inspect(wasm)?;
    compile_kind(wasm, inspection.kind, tuning)
}

/// Compiles what is known to be of this kind.
pub(super) fn compile_kind(
    wasm: &[u8],
    kind: Kind,
    tuning: Tuning,
) -> Result<Vec<u8>, ProgramError> {
    let compiled = |error: wasmtime::Error| match is_out_of_memory(&error) {
        true => ProgramError::CompileMemory(Some(error.into())),
        false => ProgramError::Compile(error.into()),
    };
    let linked = |error: wasmtime::Error| ProgramError::WrongImports(error.into());
    let engine = engine(tuning, Purpose::Compile).map_err(ProgramError::Engine)?;
    match kind {
        Kind::Core => {
            let module = Module::from_binary(&engine, wasm).map_err(compiled)?;
            let linker =
                core::linker(&engine).map_err(|error| ProgramError::Engine(error.into()))?;
            linker.instantiate_pre(&module).map_err(linked)?;
            module.serialize().map_err(compiled)
        }
        Kind::Edgeless => {
            let module = Module::from_binary(&engine, wasm).map_err(compiled)?;
            let linker =
                edgeless::linker(&engine).map_err(|error| ProgramError::Engine(error.into()))?;
            linker.instantiate_pre(&module).map_err(linked)?;
            edgeless::check_exports(&module)
                .map_err(|error| ProgramError::WrongExports(error.into()))?;
            module.serialize().map_err(compiled)
        }
        Kind::Command | Kind::Http => {
            let program = Component::from_binary(&engine, wasm).map_err(compiled)?;
            let linker = component::linker(&engine);
            let linker = linker.map_err(|error| ProgramError::Engine(error.into()))?;
            linker.instantiate_pre(&program).map_err(linked)?;
            program.serialize().map_err(compiled)
        }
    }
}

/// Whether a program of `size` bytes may be compiled.
pub(super) fn check_size(size: u64, limits: Limits) -> Result<(), ProgramError> {
    if size > limits.program {
        return Err(ProgramError::TooLarge {
            size,
            limit: limits.program,
        });
    }
    Ok(())
}

/// A report that crosses from the child to its parent.
pub(super) type Answer = Result<Inspection, ProgramError>;
