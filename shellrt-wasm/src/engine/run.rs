//! One run of a program.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::Arc;

use shellrt_api::v0::config::wasm::Config;
use shellrt_api::v0::status;

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

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// `Exited`, `Trap` or `Memory`.
    pub end: status::End,
    /// 0 to 255 as the program says; a trap 134, the memory limit 137.
    pub exit_code: i64,
    /// Why, in words for people.
    pub description: String,
}

/// Runs a program to its end. It is called in a process of its own that has a single thread and
/// nothing that must be cleaned up; threads may be left over when it returns.
///
/// `ready` is called exactly once, when nothing but the program itself can fail any more, before the
/// program's first instruction; with a [`StartError`] it is not called, unless that is
/// [`StartError::Ready`].
///
/// # Errors
/// Why the run could not begin. [`StartError::Stale`] asks to compile the program again.
pub fn run(
    program: Program,
    settings: Settings,
    output: Arc<dyn Output>,
    ready: impl FnOnce() -> io::Result<()>,
) -> Result<End, StartError> {
    let _ = (program, settings, output, ready);
    Err(StartError::Ready(io::Error::other("not there yet")))
}
