//! `shellrt-edged edgeless`, driven by a node that grpcio makes, and `edgeless-cli`, which plays one.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

#[path = "edge_edgeless/abi.rs"]
mod abi;
#[path = "edge_edgeless/broken.rs"]
mod broken;
#[path = "edge_edgeless/component.rs"]
mod component;
#[path = "edge_edgeless/containers.rs"]
mod containers;
#[path = "edge_edgeless/emulator.rs"]
mod emulator;
#[path = "edge_edgeless/hosts.rs"]
mod hosts;
#[path = "edge_edgeless/recipe.rs"]
mod recipe;
#[path = "edge_edgeless/sample.rs"]
mod sample;
#[path = "edge_edgeless/states.rs"]
mod states;
#[path = "edge_edgeless/tls.rs"]
mod tls;
