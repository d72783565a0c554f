//! The shellrt protocol: one small JSON protocol through which any edge daemon runs modules on any
//! runtime.
//!
//! A client starts a plugin process, writes one JSON request to its stdin and reads the answer from
//! its stdout. This crate holds the messages ([`v0`]), the plugin's side of the wire
//! ([`v0::plugin::serve`]) and the client's side ([`v0::client::Plugin`]). It needs serde and
//! serde_json and nothing else, it has no async code and no `unsafe`, and it builds with Rust 1.71.
//!
//! The normative text is `SPEC.md` beside this crate's manifest.
#![forbid(unsafe_code)]

pub mod v0;
