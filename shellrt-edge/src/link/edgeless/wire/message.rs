//! The messages of `edgeless_api`, as `shellrt-edge/edgeless/edgeless_api.proto` has them.
//!
//! They are written by hand, so that the build needs no compiler of protocol buffers.

use bytes::Bytes;

/// An instance of a function: any texts.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct InstanceId {
    /// The node that it is on.
    #[prost(string, tag = "1")]
    pub node_id: String,
    /// Its own id.
    #[prost(string, tag = "2")]
    pub function_id: String,
}

/// Tells a function where its host is, and who it is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BootData {
    /// The URL of the host.
    #[prost(string, tag = "1")]
    pub guest_api_host_endpoint: String,
    /// Who it is.
    #[prost(message, optional, tag = "2")]
    pub instance_id: Option<InstanceId>,
}

/// Has a function begin.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FunctionInstanceInit {
    /// What it is started with.
    #[prost(string, tag = "1")]
    pub init_payload: String,
    /// What it has synced last, or empty.
    #[prost(bytes = "bytes", tag = "10")]
    pub serialized_state: Bytes,
}

/// Something for a function.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InputEventData {
    /// From whom.
    #[prost(message, optional, tag = "1")]
    pub src: Option<InstanceId>,
    /// What.
    #[prost(bytes = "bytes", tag = "2")]
    pub msg: Bytes,
}

/// How a call was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum CallRetType {
    /// There is no reply.
    NoReply = 0,
    /// There is one.
    Reply = 1,
    /// It went wrong.
    Err = 2,
}

/// The answer to a call.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CallReturn {
    /// How it was answered.
    #[prost(enumeration = "CallRetType", tag = "1")]
    pub r#type: i32,
    /// The reply.
    #[prost(bytes = "bytes", tag = "2")]
    pub msg: Bytes,
}

impl CallReturn {
    /// An answer.
    pub fn new(kind: CallRetType, msg: Bytes) -> CallReturn {
        CallReturn {
            r#type: kind.into(),
            msg,
        }
    }
}

/// Something for whom the host has mapped to an alias.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OutputEventData {
    /// From whom.
    #[prost(message, optional, tag = "1")]
    pub originator: Option<InstanceId>,
    /// The alias.
    #[prost(string, tag = "2")]
    pub alias: String,
    /// What.
    #[prost(bytes = "bytes", tag = "3")]
    pub msg: Bytes,
}

/// Something for an instance.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OutputEventDataRaw {
    /// From whom.
    #[prost(message, optional, tag = "1")]
    pub originator: Option<InstanceId>,
    /// For whom.
    #[prost(message, optional, tag = "2")]
    pub dst: Option<InstanceId>,
    /// What.
    #[prost(bytes = "bytes", tag = "3")]
    pub msg: Bytes,
}

/// How important a line for the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum TelemetryLogLevel {
    /// Something went wrong.
    Error = 0,
    /// Something may go wrong.
    Warn = 1,
    /// Something has happened.
    Info = 2,
    /// For who looks for a fault.
    Debug = 3,
    /// Everything.
    Trace = 4,
}

/// A line for the host's log.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TelemetryLogEvent {
    /// From whom.
    #[prost(message, optional, tag = "1")]
    pub originator: Option<InstanceId>,
    /// How important it is.
    #[prost(enumeration = "TelemetryLogLevel", tag = "2")]
    pub log_level: i32,
    /// Which part of the function writes it.
    #[prost(string, tag = "3")]
    pub target: String,
    /// The line.
    #[prost(string, tag = "4")]
    pub msg: String,
}

/// Where something belongs to in a trace.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EventSerializedMetadata {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
}

impl EventSerializedMetadata {
    /// No trace, in the form that hosts want it.
    pub fn none() -> EventSerializedMetadata {
        EventSerializedMetadata {
            trace_id: vec![0; 16],
            span_id: vec![0; 8],
        }
    }
}

/// Something that the host passes on later.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DelayedEventData {
    /// From whom.
    #[prost(message, optional, tag = "1")]
    pub originator: Option<InstanceId>,
    /// The alias.
    #[prost(string, tag = "2")]
    pub alias: String,
    /// What.
    #[prost(bytes = "bytes", tag = "3")]
    pub msg: Bytes,
    /// How much later, in milliseconds.
    #[prost(uint64, tag = "4")]
    pub delay: u64,
    /// Hosts refuse it without.
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<EventSerializedMetadata>,
}

/// The state that the function wants to be given again.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SyncData {
    /// From whom.
    #[prost(message, optional, tag = "1")]
    pub originator: Option<InstanceId>,
    /// The state.
    #[prost(bytes = "bytes", tag = "2")]
    pub serialized_state: Bytes,
}

/// `google.protobuf.Empty`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Empty {}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    /// Bytes by hand: (number << 3 | 2), length, content for texts and messages; (number << 3), value for
    /// numbers.
    #[test]
    fn fields_have_the_numbers_of_the_protocol() {
        let id = || InstanceId {
            node_id: "n".to_owned(),
            function_id: "f".to_owned(),
        };
        let id_bytes = [0x0a, 1, b'n', 0x12, 1, b'f'];
        assert_eq!(id().encode_to_vec(), id_bytes);

        let boot = BootData {
            guest_api_host_endpoint: "h".to_owned(),
            instance_id: Some(id()),
        };
        let expected = [&[0x0a, 1, b'h', 0x12, 6][..], &id_bytes].concat();
        assert_eq!(boot.encode_to_vec(), expected);

        let init = FunctionInstanceInit {
            init_payload: "p".to_owned(),
            serialized_state: Bytes::from_static(b"s"),
        };
        assert_eq!(init.encode_to_vec(), [0x0a, 1, b'p', 0x52, 1, b's']);

        let input = InputEventData {
            src: Some(id()),
            msg: Bytes::from_static(b"m"),
        };
        let expected = [&[0x0a, 6][..], &id_bytes, &[0x12, 1, b'm']].concat();
        assert_eq!(input.encode_to_vec(), expected);

        let returned = CallReturn::new(CallRetType::Err, Bytes::from_static(b"m"));
        assert_eq!(returned.encode_to_vec(), [0x08, 2, 0x12, 1, b'm']);

        let output = OutputEventData {
            originator: Some(id()),
            alias: "a".to_owned(),
            msg: Bytes::from_static(b"m"),
        };
        let expected = [&[0x0a, 6][..], &id_bytes, &[0x12, 1, b'a', 0x1a, 1, b'm']].concat();
        assert_eq!(output.encode_to_vec(), expected);

        let raw = OutputEventDataRaw {
            originator: Some(id()),
            dst: Some(id()),
            msg: Bytes::from_static(b"m"),
        };
        let expected = [
            &[0x0a, 6][..],
            &id_bytes,
            &[0x12, 6],
            &id_bytes,
            &[0x1a, 1, b'm'],
        ]
        .concat();
        assert_eq!(raw.encode_to_vec(), expected);

        let line = TelemetryLogEvent {
            originator: None,
            log_level: TelemetryLogLevel::Info.into(),
            target: "t".to_owned(),
            msg: "m".to_owned(),
        };
        let expected = [0x10, 2, 0x1a, 1, b't', 0x22, 1, b'm'];
        assert_eq!(line.encode_to_vec(), expected);

        let delayed = DelayedEventData {
            originator: None,
            alias: "a".to_owned(),
            msg: Bytes::from_static(b"m"),
            delay: 250,
            metadata: Some(EventSerializedMetadata::none()),
        };
        let expected = [
            &[0x12, 1, b'a', 0x1a, 1, b'm', 0x20, 0xfa, 0x01, 0x2a, 28][..],
            &[0x0a, 16],
            &[0; 16],
            &[0x12, 8],
            &[0; 8],
        ]
        .concat();
        assert_eq!(delayed.encode_to_vec(), expected);

        let sync = SyncData {
            originator: None,
            serialized_state: Bytes::from_static(b"s"),
        };
        assert_eq!(sync.encode_to_vec(), [0x12, 1, b's']);
    }
}
