//! `shellrt-edged silverline` as its orchestrator sees it: a real broker, real modules, and a script that
//! sends what orchestrators were seen to send.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

/// A daemon with its broker, its plugin and its orchestrator.
#[path = "edge_silverline/fleet.rs"]
mod fleet;

/// What its orchestrator sends.
#[path = "edge_silverline/orchestrator.rs"]
mod orchestrator;

/// The way to the broker: TLS, certificates, passwords.
#[path = "edge_silverline/connection.rs"]
mod connection;

/// What the settings change.
#[path = "edge_silverline/settings.rs"]
mod settings;

/// The life of a module in each dialect.
#[path = "edge_silverline/life.rs"]
mod life;

/// Programs in containers.
#[path = "edge_silverline/containers.rs"]
mod containers;

/// Losses: of the broker, and of the daemon.
#[path = "edge_silverline/losses.rs"]
mod losses;

/// What nobody should send, and too much of the rest.
#[path = "edge_silverline/hostile.rs"]
mod hostile;
