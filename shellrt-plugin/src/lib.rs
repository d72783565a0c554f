//! What shellrt's plugins share.
//!
//! Of a module:
//! - [`names`]: what it may be called.
//! - [`create`]: what every `create` refuses.
//! - [`log`]: its output, kept in files of bounded size and read back exactly, also while it grows;
//!   [`logs`] is the answer to that message.
//! - [`attach`]: its output as it comes, and its input.
//! - [`stop`]: how long it may take to end.
//! - [`restart`]: whether and when it is started again.
//! - [`top`]: what its processes use.
//!
//! Of images:
//! - [`registry`]: fetching them from OCI registries.
//! - [`lookup`]: the addresses of a host's name.
//! - [`pull`]: the answer to `img_pull`: progress, and when a pull is given up.
//!
//! Of the state and the machine:
//! - [`root`]: the directory that it is in, which is ours alone.
//! - [`boot`]: the first request after a boot.
//! - [`event`]: what happened, as lines in a file.
//! - [`mod@file`]: files that are there whole or not at all, whenever the power goes.
//! - [`lock`]: locks between processes, which the kernel releases however their holder died.
//! - [`watch`]: noticing that something in a directory changed.
//! - [`hangup`]: noticing that the reader of our output went away.
//! - [`process`]: who a process is, beyond reuse of its pid.
//! - [`machine`]: what machine this is.
//! - [`cli`]: what a plugin that was given arguments answers.
//! - [`os`]: what the wire calls an error of the operating system.
//!
//! All but the registry, pulls and lookups start no thread and no runtime, so a process that forks can use
//! them. They are written for Linux.
#![deny(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test stops where it fails")
)]

pub mod attach;
pub mod boot;
pub mod cli;
pub mod create;
pub mod event;
pub mod file;
pub mod hangup;
pub mod lock;
pub mod log;
pub mod logs;
pub mod lookup;
pub mod machine;
pub mod names;
pub mod os;
pub mod process;
pub mod pull;
pub mod registry;
pub mod restart;
pub mod root;
pub mod stop;
pub mod top;
pub mod watch;
