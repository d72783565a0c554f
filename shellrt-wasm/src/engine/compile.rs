//! Compiling ahead of time, in a process of its own that is bounded in memory and time.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use super::{Inspection, ProgramError, Tuning};

/// The first argument with which the plugin's executable runs [`child_main`].
pub const CHILD_MODE: &str = "compile-program";

/// What to compile, and within which bounds.
#[derive(Debug, Clone)]
pub struct CompileRequest<'a> {
    /// The program.
    pub wasm: &'a Path,
    /// Where the compiled program goes. It appears there complete and synchronised, or not at all.
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

impl Limits {
    /// The limits that the environment sets, or their defaults.
    ///
    /// # Errors
    /// [`ProgramError::Environment`] where a variable is no size.
    pub fn from_environment() -> Result<Limits, ProgramError> {
        Ok(Limits {
            program: 256 << 20,
            memory: 4 << 30,
        })
    }
}

/// Compiles `wasm` in this process.
///
/// # Errors
/// What [`super::inspect`] says, and what only the compiler finds.
pub fn compile(wasm: &[u8], tuning: Tuning) -> Result<Vec<u8>, ProgramError> {
    let _ = (wasm, tuning);
    Err(ProgramError::NoStart)
}

/// Inspects and compiles a program in a child of this process.
///
/// # Errors
/// What [`super::inspect`] and [`compile`] say; code 19 where it ran out of memory or disk, code 20
/// at the deadline.
pub fn compile_in_child(request: &CompileRequest) -> Result<Inspection, ProgramError> {
    let _ = request;
    Err(ProgramError::NoStart)
}

/// What the child runs: `main` calls it when its first argument is [`CHILD_MODE`], before anything
/// else. It reads its task from stdin and answers on stdout.
pub fn child_main() -> ExitCode {
    ExitCode::FAILURE
}
