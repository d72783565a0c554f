//! WAMP's messages: what they mean, and the lists that cross the wire.

mod parse;
mod write;

use serde_json::{Map, Value};

pub use parse::Malformed;

/// The largest id: 2^53.
pub const MAX_ID: u64 = 1 << 53;

/// A dictionary of details or options.
pub type Dict = Map<String, Value>;

/// What a message carries for the application.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Payload {
    /// By position.
    pub args: Vec<Value>,
    /// By name.
    pub kwargs: Dict,
}

/// The messages, each with its number.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the members have the specification's names")]
pub enum Message {
    /// 1
    Hello { realm: String, details: Dict },
    /// 2
    Welcome { session: u64, details: Dict },
    /// 3
    Abort { details: Dict, reason: String },
    /// 4
    Challenge { method: String, extra: Dict },
    /// 5
    Authenticate { signature: String, extra: Dict },
    /// 6
    Goodbye { details: Dict, reason: String },
    /// 8
    Error {
        kind: u64,
        request: u64,
        details: Dict,
        uri: String,
        payload: Payload,
    },
    /// 16
    Publish {
        request: u64,
        options: Dict,
        topic: String,
        payload: Payload,
    },
    /// 17
    Published { request: u64, publication: u64 },
    /// 32
    Subscribe {
        request: u64,
        options: Dict,
        topic: String,
    },
    /// 33
    Subscribed { request: u64, subscription: u64 },
    /// 34
    Unsubscribe { request: u64, subscription: u64 },
    /// 35; where the router ends a subscription by itself, the request is 0 and the details name it.
    Unsubscribed { request: u64, details: Dict },
    /// 36
    Event {
        subscription: u64,
        publication: u64,
        details: Dict,
        payload: Payload,
    },
    /// 48
    Call {
        request: u64,
        options: Dict,
        procedure: String,
        payload: Payload,
    },
    /// 49
    Cancel { request: u64, options: Dict },
    /// 50
    Result {
        request: u64,
        details: Dict,
        payload: Payload,
    },
    /// 64
    Register {
        request: u64,
        options: Dict,
        procedure: String,
    },
    /// 65
    Registered { request: u64, registration: u64 },
    /// 66
    Unregister { request: u64, registration: u64 },
    /// 67; where the router ends a registration by itself, the request is 0 and the details name it.
    Unregistered { request: u64, details: Dict },
    /// 68
    Invocation {
        request: u64,
        registration: u64,
        details: Dict,
        payload: Payload,
    },
    /// 69
    Interrupt { request: u64, options: Dict },
    /// 70
    Yield {
        request: u64,
        options: Dict,
        payload: Payload,
    },
}

/// The numbers of requests, which an ERROR names.
pub mod kind {
    /// PUBLISH
    pub const PUBLISH: u64 = 16;
    /// SUBSCRIBE
    pub const SUBSCRIBE: u64 = 32;
    /// UNSUBSCRIBE
    pub const UNSUBSCRIBE: u64 = 34;
    /// CALL
    pub const CALL: u64 = 48;
    /// REGISTER
    pub const REGISTER: u64 = 64;
    /// UNREGISTER
    pub const UNREGISTER: u64 = 66;
    /// INVOCATION
    pub const INVOCATION: u64 = 68;
}

#[cfg(test)]
mod tests;
