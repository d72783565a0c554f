//! The MQTT client against a real broker.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

#[path = "../../../tests/support/broker/mod.rs"]
#[allow(dead_code, unused_imports, reason = "others use the rest of it")]
mod broker;
#[path = "../../../tests/support/registry/certificates.rs"]
#[allow(dead_code, reason = "others use the rest of it")]
mod certificates;
mod client;
mod doors;
mod flow;
mod loss;
