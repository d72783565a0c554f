//! What shellrt's plugins share.
//!
//! - [`log`]: the output of a module, kept in files of bounded size and read back exactly, also
//!   while it grows.
//! - [`event`]: what happened, as lines in a file.
//! - [`file`]: files that are there whole or not at all, whenever the power goes.
//! - [`names`]: what a module may be called.
//! - [`lock`]: locks between processes, which the kernel releases however their holder died.
//! - [`hangup`]: noticing that the reader of our output went away.
//! - [`watch`]: noticing that something in a directory changed.
//! - [`process`]: who a process is, beyond reuse of its pid.
//! - [`os`]: what the wire calls an error of the operating system.
//! - [`registry`]: images from OCI registries.
//!
//! All but the registry start no thread and no runtime, so a process that forks can use them. They
//! are written for Linux.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test stops where it fails")
)]

pub mod event;
pub mod file;
pub mod hangup;
pub mod lock;
pub mod log;
pub mod names;
pub mod os;
pub mod process;
pub mod registry;
pub mod watch;
