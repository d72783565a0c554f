//! The three serializers, written from their specifications: RFC 8259, MessagePack's, RFC 8949.

use serde_json::Value;

/// A serializer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serializer {
    /// Text.
    Json,
    /// Binary.
    MsgPack,
    /// Binary.
    Cbor,
}

pub use Serializer::{Cbor, Json, MsgPack};

/// All of them.
pub const ALL: [Serializer; 3] = [Json, MsgPack, Cbor];

impl Serializer {
    /// The serializer with this number in a RawSocket's handshake.
    pub fn of_number(number: u8) -> Serializer {
        let mut found = ALL.into_iter().filter(|it| it.number() == number);
        found.next().expect("a known serializer")
    }

    /// The serializer with this name among WebSocket's subprotocols.
    pub fn of_subprotocol(name: &str) -> Serializer {
        let mut found = ALL.into_iter().filter(|it| it.subprotocol() == name);
        found.next().expect("a known serializer")
    }

    /// Its number in a RawSocket's handshake.
    pub fn number(self) -> u8 {
        match self {
            Json => 1,
            MsgPack => 2,
            Cbor => 3,
        }
    }

    /// Its name among WebSocket's subprotocols.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Json => "wamp.2.json",
            MsgPack => "wamp.2.msgpack",
            Cbor => "wamp.2.cbor",
        }
    }

    /// What its WebSocket frames are: 1 text, 2 binary.
    pub fn opcode(self) -> u8 {
        match self {
            Json => 1,
            MsgPack | Cbor => 2,
        }
    }

    /// A value as bytes, in the shortest form.
    pub fn encode(self, value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Json => bytes = value.to_string().into_bytes(),
            MsgPack => msgpack(value, &mut bytes),
            Cbor => cbor(value, &mut bytes),
        }
        bytes
    }

    /// The number with which a message begins. All that a client sends are below 128 and in lists of at most
    /// seven.
    pub fn kind(self, message: &[u8]) -> u64 {
        match (self, message) {
            (Json, _) => {
                let list: Value = serde_json::from_slice(message).expect("JSON");
                list[0].as_u64().expect("a number")
            }
            (MsgPack, [0x91..=0x97, kind @ 0..=0x7f, ..])
            | (Cbor, [0x81..=0x87, kind @ 0..=23, ..])
            | (Cbor, [0x81..=0x87, 24, kind, ..]) => u64::from(*kind),
            _ => panic!("no message: {message:02x?}"),
        }
    }
}

fn msgpack(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Null => bytes.push(0xc0),
        Value::Bool(it) => bytes.push(0xc2 | u8::from(*it)),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(small @ 0..0x80), ..) => bytes.push(small as u8),
            (Some(it @ ..0x100), ..) => bytes.extend([0xcc, it as u8]),
            (Some(it @ ..0x1_0000), ..) => sized(0xcd, &(it as u16).to_be_bytes(), bytes),
            (Some(it @ ..0x1_0000_0000), ..) => sized(0xce, &(it as u32).to_be_bytes(), bytes),
            (Some(it), ..) => sized(0xcf, &it.to_be_bytes(), bytes),
            (None, Some(it), _) => sized(0xd3, &it.to_be_bytes(), bytes),
            (None, None, it) => sized(0xcb, &it.expect("a number").to_be_bytes(), bytes),
        },
        Value::String(text) => {
            match text.len() {
                short @ ..32 => bytes.push(0xa0 | short as u8),
                it @ ..0x100 => bytes.extend([0xd9, it as u8]),
                it @ ..0x1_0000 => sized(0xda, &(it as u16).to_be_bytes(), bytes),
                it => sized(0xdb, &(it as u32).to_be_bytes(), bytes),
            }
            bytes.extend(text.as_bytes());
        }
        Value::Array(items) => {
            assert!(items.len() < 16, "short lists only");
            bytes.push(0x90 | items.len() as u8);
            items.iter().for_each(|item| msgpack(item, bytes));
        }
        Value::Object(members) => {
            assert!(members.len() < 16, "short objects only");
            bytes.push(0x80 | members.len() as u8);
            for (name, member) in members {
                msgpack(&Value::String(name.clone()), bytes);
                msgpack(member, bytes);
            }
        }
    }
}

fn cbor(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Null => bytes.push(0xf6),
        Value::Bool(it) => bytes.push(0xf4 | u8::from(*it)),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(it), ..) => cbor_head(0, it, bytes),
            (None, Some(it), _) => cbor_head(1, it.unsigned_abs() - 1, bytes),
            (None, None, it) => sized(0xfb, &it.expect("a number").to_be_bytes(), bytes),
        },
        Value::String(text) => {
            cbor_head(3, text.len() as u64, bytes);
            bytes.extend(text.as_bytes());
        }
        Value::Array(items) => {
            cbor_head(4, items.len() as u64, bytes);
            items.iter().for_each(|item| cbor(item, bytes));
        }
        Value::Object(members) => {
            cbor_head(5, members.len() as u64, bytes);
            for (name, member) in members {
                cbor(&Value::String(name.clone()), bytes);
                cbor(member, bytes);
            }
        }
    }
}

fn cbor_head(major: u8, argument: u64, bytes: &mut Vec<u8>) {
    let major = major << 5;
    match argument {
        short @ ..24 => bytes.push(major | short as u8),
        it @ ..0x100 => bytes.extend([major | 24, it as u8]),
        it @ ..0x1_0000 => sized(major | 25, &(it as u16).to_be_bytes(), bytes),
        it @ ..0x1_0000_0000 => sized(major | 26, &(it as u32).to_be_bytes(), bytes),
        it => sized(major | 27, &it.to_be_bytes(), bytes),
    }
}

fn sized(first: u8, rest: &[u8], bytes: &mut Vec<u8>) {
    bytes.push(first);
    bytes.extend(rest);
}
