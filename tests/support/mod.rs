//! Fixtures: real programs, each with its own directories and ports, ended by their owner.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

pub mod binaries;
pub mod broker;
pub mod containerd;
pub mod edged;
pub mod edgeless;
pub mod emulator;
pub mod image;
pub mod name_server;
pub mod network;
pub mod plugin;
pub mod registry;
pub mod router;
pub mod shellrt;
pub mod tcp_proxy;
pub mod wasm;
