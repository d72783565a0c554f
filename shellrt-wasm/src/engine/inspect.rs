//! What some bytes are, without compiling them.

use serde::{Deserialize, Serialize};

use super::ProgramError;

/// The kinds of programs that run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A core module that is a WASI preview1 command.
    Core,
    /// A component that exports `wasi:cli/run` 0.2.
    Command,
    /// A component that exports `wasi:http/incoming-handler` 0.2.
    Http,
}

/// What [`inspect`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// The kind of program.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u64,
    /// What it imports: `module.name` of a core module, the interfaces of a component; sorted.
    pub imports: Vec<String>,
}

/// Says what kind of program `wasm` is.
///
/// # Errors
/// Why it can't be run here. What only the compiler finds (an invalid function body, an import of the
/// wrong type) is found by [`super::compile`].
pub fn inspect(wasm: &[u8]) -> Result<Inspection, ProgramError> {
    let _ = wasm;
    Err(ProgramError::NoStart)
}
