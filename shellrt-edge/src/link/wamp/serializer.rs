//! The serializers of WAMP: JSON, MessagePack, CBOR.

use std::str::FromStr;

use serde_json::Value;

use super::value::{Read, Written};

/// A way to write messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serializer {
    /// Text.
    Json,
    /// Binary.
    MsgPack,
    /// Binary.
    Cbor,
}

/// What is offered where nothing else is asked for, the smallest first. The router chooses.
pub const DEFAULT: [Serializer; 3] = [Serializer::Cbor, Serializer::MsgPack, Serializer::Json];

/// The bytes are not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("that is no {format}: {why}")]
pub struct Undecodable {
    format: &'static str,
    why: String,
}

/// There is no such serializer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no serializer {0:?}; take \"json\", \"msgpack\" or \"cbor\", or one of Autobahn's classes for \
     these, as in \"autobahn.wamp.serializer.JsonSerializer\""
)]
pub struct Unknown(String);

impl Serializer {
    /// Its name among WebSocket's subprotocols.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Serializer::Json => "wamp.2.json",
            Serializer::MsgPack => "wamp.2.msgpack",
            Serializer::Cbor => "wamp.2.cbor",
        }
    }

    /// The serializer of this subprotocol.
    pub fn of_subprotocol(name: &str) -> Option<Serializer> {
        DEFAULT.into_iter().find(|one| one.subprotocol() == name)
    }

    /// Its number in a RawSocket's handshake.
    pub fn number(self) -> u8 {
        match self {
            Serializer::Json => 1,
            Serializer::MsgPack => 2,
            Serializer::Cbor => 3,
        }
    }

    /// Whether what it writes is text.
    pub fn is_text(self) -> bool {
        self == Serializer::Json
    }

    /// Writes.
    pub fn encode(self, value: &Value) -> Vec<u8> {
        match self {
            Serializer::Json => value.to_string().into_bytes(),
            // Both fail where the writer does, and a vector does not.
            Serializer::MsgPack => rmp_serde::to_vec(&Written(value)).unwrap_or_default(),
            Serializer::Cbor => {
                let mut bytes = Vec::new();
                let _ = ciborium::into_writer(&Written(value), &mut bytes);
                bytes
            }
        }
    }

    /// Reads.
    ///
    /// # Errors
    /// Where that is not exactly one value.
    pub fn decode(self, bytes: &[u8]) -> Result<Value, Undecodable> {
        let (format, read) = match self {
            Serializer::Json => (
                "JSON",
                serde_json::from_slice(bytes).map_err(|error| error.to_string()),
            ),
            Serializer::MsgPack => ("MessagePack", decode_msgpack(bytes)),
            Serializer::Cbor => ("CBOR", decode_cbor(bytes)),
        };
        read.map_err(|why| Undecodable { format, why })
    }
}

fn decode_msgpack(mut bytes: &[u8]) -> Result<Value, String> {
    let Read(value) = rmp_serde::from_read(&mut bytes).map_err(|error| error.to_string())?;
    whole(value, bytes)
}

fn decode_cbor(mut bytes: &[u8]) -> Result<Value, String> {
    let Read(value) = ciborium::from_reader(&mut bytes).map_err(|error| error.to_string())?;
    whole(value, bytes)
}

fn whole(value: Value, rest: &[u8]) -> Result<Value, String> {
    match rest.len() {
        0 => Ok(value),
        more => Err(format!("{more} bytes follow the value")),
    }
}

impl FromStr for Serializer {
    type Err = Unknown;

    fn from_str(name: &str) -> Result<Self, Unknown> {
        let short = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
        match short.strip_suffix("serializer").unwrap_or(&short) {
            "json" => Ok(Serializer::Json),
            "msgpack" => Ok(Serializer::MsgPack),
            "cbor" => Ok(Serializer::Cbor),
            _ => Err(Unknown(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_both_worlds() {
        for (name, serializer) in [
            ("json", Serializer::Json),
            ("msgpack", Serializer::MsgPack),
            ("CBOR", Serializer::Cbor),
            ("autobahn.wamp.serializer.JsonSerializer", Serializer::Json),
            (
                "autobahn.wamp.serializer.MsgPackSerializer",
                Serializer::MsgPack,
            ),
            ("autobahn.wamp.serializer.CBORSerializer", Serializer::Cbor),
        ] {
            assert_eq!(name.parse(), Ok(serializer), "{name}");
        }
        assert!("ubjson".parse::<Serializer>().is_err());
        assert!("".parse::<Serializer>().is_err());
    }

    /// By hand from the formats' specifications: `[17, -1, "a", true, null, {"k": 300}]`.
    #[test]
    fn bytes_as_the_specifications_have_them() {
        let value = json!([17, -1, "a", true, null, {"k": 300}]);
        let msgpack = b"\x96\x11\xff\xa1a\xc3\xc0\x81\xa1k\xcd\x01\x2c";
        let cbor = b"\x86\x11\x20\x61a\xf5\xf6\xa1\x61k\x19\x01\x2c";
        assert_eq!(Serializer::MsgPack.encode(&value), msgpack);
        assert_eq!(Serializer::Cbor.encode(&value), cbor);
        assert_eq!(Serializer::MsgPack.decode(msgpack), Ok(value.clone()));
        assert_eq!(Serializer::Cbor.decode(cbor), Ok(value));
    }

    /// The example of WAMP's specification: ten bytes as a string that begins with a NUL.
    #[test]
    fn bytes_are_bytes_on_binary_wires() {
        let text = "\0EDMh35+Qcafr9A==";
        let bytes = [0x10, 0x33, 0x21, 0xdf, 0x9f, 0x90, 0x71, 0xa7, 0xeb, 0xf4];
        let value = json!([text]);
        let mut msgpack = vec![0x91, 0xc4, 10];
        msgpack.extend(bytes);
        let mut cbor = vec![0x81, 0x4a];
        cbor.extend(bytes);
        for (serializer, wire) in [(Serializer::MsgPack, msgpack), (Serializer::Cbor, cbor)] {
            assert_eq!(serializer.encode(&value), wire);
            assert_eq!(serializer.decode(&wire), Ok(value.clone()));
        }
        // What only looks alike stays text.
        let other = json!("\0not base64!");
        assert_eq!(
            Serializer::Cbor.decode(&Serializer::Cbor.encode(&other)),
            Ok(other)
        );
    }

    /// From RFC 8949, appendix A, and MessagePack's specification.
    #[test]
    fn what_json_does_not_know_is_taken_as_near_as_it_gets() {
        for (bytes, value) in [
            (&b"\xf9\x3e\x00"[..], json!(1.5)),
            (b"\xf9\x7e\x00", json!(null)),
            (b"\xf7", json!(null)),
            (b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff", json!(u64::MAX)),
            (b"\xc1\x1a\x51\x4b\x67\xb0", json!(1_363_896_240)),
            (b"\x9f\x01\x82\x02\x03\xff", json!([1, [2, 3]])),
            (b"\xa2\x01\x02\x03\x04", json!({"1": 2, "3": 4})),
            (b"\x7f\x65strea\x64ming\xff", json!("streaming")),
            (b"\x5f\x42\x01\x02\x43\x03\x04\x05\xff", json!("\0AQIDBAU=")),
        ] {
            assert_eq!(Serializer::Cbor.decode(bytes), Ok(value), "{bytes:x?}");
        }
        for (bytes, value) in [
            (&b"\x81\x01\x02"[..], json!({"1": 2})),
            (b"\xca\x3f\xc0\x00\x00", json!(1.5)),
            (b"\xd6\xff\x51\x4b\x67\xb0", json!([-1, "\0UUtnsA=="])),
        ] {
            assert_eq!(Serializer::MsgPack.decode(bytes), Ok(value), "{bytes:x?}");
        }
    }

    #[test]
    fn what_is_no_value_is_an_error_and_nothing_worse() {
        let nested = |byte: u8| vec![byte; 1 << 20];
        for (serializer, bytes) in [
            (Serializer::Json, b"[1".to_vec()),
            (Serializer::Json, b"[1] 2".to_vec()),
            (Serializer::Json, b"\xff".to_vec()),
            (Serializer::Json, nested(b'[')),
            (Serializer::MsgPack, b"".to_vec()),
            (Serializer::MsgPack, b"\x92\x01".to_vec()),
            (Serializer::MsgPack, b"\x01\x02".to_vec()),
            (Serializer::MsgPack, b"\xc1".to_vec()),
            (Serializer::MsgPack, b"\xdd\xff\xff\xff\xff".to_vec()),
            (Serializer::MsgPack, nested(0x91)),
            (Serializer::Cbor, b"".to_vec()),
            (Serializer::Cbor, b"\x82\x01".to_vec()),
            (Serializer::Cbor, b"\x01\x02".to_vec()),
            (
                Serializer::Cbor,
                b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
            ),
            (Serializer::Cbor, nested(0x81)),
        ] {
            assert!(serializer.decode(&bytes).is_err(), "{serializer:?}");
        }
    }
}
