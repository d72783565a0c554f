//! The link to Silverline over MQTT: a runtime of an orchestrator's fleet, in one of four dialects.
//!
//! What goes over the wire is pure: [`envelope`] and [`incoming`] read it, [`messages`], [`stdio`] and
//! [`keepalive`] write it, with the words of a [`dialect`] to its [`topics`] in the name of an
//! [`identity`]; [`registration`] says when to register once more.

pub mod dialect;
pub mod envelope;
pub mod identity;
pub mod incoming;
pub mod keepalive;
pub mod messages;
pub mod registration;
pub mod stdio;
pub mod topics;
