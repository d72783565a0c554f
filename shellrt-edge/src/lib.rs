//! The edge daemon: joins modules, which shellrt plugins run, to orchestrators.
//!
//! A **link** knows one orchestrator's protocol and decides nothing. The [`supervisor`] owns the state of
//! all modules, and [`policy`] has its decisions as pure functions. Plugins are processes ([`plugin`]), and
//! what has to outlive the daemon lies in the [`store`].
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test stops where it fails")
)]

pub mod causes;
pub mod component;
pub mod daemon;
pub mod endpoint;
pub mod link;
pub mod logging;
pub mod lookup;
pub mod mqtt;
pub mod notify;
pub mod order;
pub mod plugin;
pub mod policy;
pub mod settings;
pub mod shutdown;
pub mod store;
pub mod supervisor;
