//! Runtimes below a runtime manager: `shellrt-edged linux-minimal` as any manager sees it, and
//! `shellrt-edged manager` as the orchestrator and any runtime see it.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

/// A program that a test has started, and that ends with it.
#[path = "edge_runtimes/process.rs"]
mod process;

/// The frames of SLSocket, written and read byte by byte.
#[path = "edge_runtimes/frames.rs"]
mod frames;

/// `shellrt-edged linux-minimal`, driven byte by byte.
#[path = "edge_runtimes/minimal.rs"]
mod minimal;

/// A broker, a manager, and the test in the orchestrator's place.
#[path = "edge_runtimes/site.rs"]
mod site;

/// `shellrt-edged manager` above child processes.
#[path = "edge_runtimes/children.rs"]
mod children;

/// `shellrt-edged manager` above our own runtimes.
#[path = "edge_runtimes/own.rs"]
mod own;

/// The example of a runtime of one's own.
#[path = "edge_runtimes/example.rs"]
mod example;

/// `shellrt-edged manager` above containers.
#[path = "edge_runtimes/containers.rs"]
mod containers;
