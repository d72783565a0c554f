//! The WebAssembly engine: what a program is, how it is compiled ahead of time, and how one run of
//! it goes.
//!
//! Nothing here knows where files lie or what a module's life is. A program passes through in this
//! order:
//!
//! 1. [`inspect`] says what kind of program some bytes are, or why they can't be run;
//! 2. [`compile_in_child`] turns them into native code, in a process that is bounded;
//! 3. [`check_config`] says whether a module's config fits the program;
//! 4. [`run`] runs it once, in a process of its own.

mod check;
mod child;
mod compile;
mod component;
mod config;
mod core;
mod edgeless;
mod end;
mod error;
mod grants;
mod http;
mod input;
mod inspect;
mod limits;
mod names;
mod network;
mod outgoing;
mod output;
mod run;
mod stdio;
#[cfg(test)]
mod tests;

pub use self::check::check_config;
pub use self::child::{child_main, compile_in_child, CHILD_MODE};
pub use self::compile::{compile, CompileRequest, Limits};
pub use self::config::{Tuning, VERSION};
pub use self::end::End;
pub use self::error::{EngineError, ProgramError, StartError};
pub use self::inspect::{inspect, Inspection, Kind};
pub use self::output::Output;
pub use self::run::{run, Program, Settings};
