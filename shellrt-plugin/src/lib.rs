//! What shellrt's plugins share.
//!
//! - [`log`]: the output of a module, kept in files of bounded size and read back exactly, also
//!   while it grows.
//! - [`names`]: what a module may be called.
//! - [`lock`]: locks between processes, which the kernel releases however their holder died.
//! - [`hangup`]: noticing that the reader of our output went away.
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

pub mod hangup;
pub mod lock;
pub mod log;
pub mod names;
pub mod os;
pub mod registry;
