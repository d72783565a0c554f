//! gRPC as EDGELESS speaks it: package `edgeless_api`, unary calls only.
//!
//! Who serves implements [`Function`] or [`Host`]; who calls uses [`FunctionClient`] or [`HostClient`].

mod client;
mod message;
mod serve;
mod tls;
mod unary;

pub use client::{was_not_sent, Channel, FunctionClient, HostClient};
pub use message::{
    BootData, CallRetType, CallReturn, DelayedEventData, Empty, EventSerializedMetadata,
    FunctionInstanceInit, InputEventData, InstanceId, OutputEventData, OutputEventDataRaw,
    SyncData, TelemetryLogEvent, TelemetryLogLevel,
};
pub use serve::{listen, serve, Function, FunctionService, Host, HostService};
pub use tls::{Tls, TlsError};

/// The longest message, in bytes, in both directions: what fits into a component's line, and some room.
pub const LONGEST_MESSAGE: usize = 32 << 20;
