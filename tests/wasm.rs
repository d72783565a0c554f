//! What only `shellrt-wasm` can show: that a module's life needs no daemon and survives everything.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]
#![allow(clippy::print_stdout, reason = "a test says why it is ignored")]

/// Modules that outlive the request that started them, and processes that are killed.
#[path = "wasm/life.rs"]
mod life;

/// A machine that goes down.
#[path = "wasm/reboot.rs"]
mod reboot;

/// Output and input, byte by byte.
#[path = "wasm/streams.rs"]
mod streams;

/// Many clients at once.
#[path = "wasm/load.rs"]
mod load;

/// Programs that nobody here wrote.
#[path = "wasm/programs.rs"]
mod programs;

/// What a module and its plugin may do.
#[path = "wasm/rights.rs"]
mod rights;

/// Mounts, other users and cgroups need root. Without, a test is ignored, except in CI.
fn is_root() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "this test needs root");
    println!("ignored: this test needs root");
    false
}
