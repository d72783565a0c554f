//! Links: each knows the protocol of one orchestrator and decides nothing about modules.

pub mod edgeless;
pub mod silverline;
pub mod wamp;
