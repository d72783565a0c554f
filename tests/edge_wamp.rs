//! `shellrt-edged wamp` against real routers, with callers and subscribers in Autobahn-Python. Where a router is
//! not installed (`tests/programs/fetch` does that), its tests say so and do nothing.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

#[path = "edge_wamp/daemon.rs"]
mod daemon;
// Registering, calling, publishing, subscribing, and how these go wrong.
#[path = "edge_wamp/talk.rs"]
mod talk;
// Serializers, transports, TLS, authentication.
#[path = "edge_wamp/ways.rs"]
mod ways;
// Lost connections, dead components, necromancy, the end.
#[path = "edge_wamp/death.rs"]
mod death;
// A router that does whatever it should not.
#[path = "edge_wamp/hostile/mod.rs"]
mod hostile;
// Programs in containers: components, and what connects by itself.
#[path = "edge_wamp/containers.rs"]
mod containers;
