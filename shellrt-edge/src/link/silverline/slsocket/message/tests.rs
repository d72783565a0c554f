//! Frames byte for byte.

use serde_json::json;

use super::*;

fn frame(h1: u8, h2: u8, payload: &'static [u8]) -> Frame {
    Frame {
        h1,
        h2,
        payload: Bytes::from_static(payload),
    }
}

fn object_of(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn open_of(module: u8, channel: u8, flags: u8, topic: &str) -> FromRuntime {
    FromRuntime::Open {
        module,
        channel,
        flags,
        topic: topic.to_owned(),
    }
}

/// The table of the protocol, line by line.
#[test]
fn to_a_runtime() {
    let data = object_of(json!({"index": 3, "uuid": "77aa"}));
    let cases = [
        (
            ToRuntime::Create(3, data),
            frame(0x83, 0, br#"{"index":3,"uuid":"77aa"}"#),
        ),
        (ToRuntime::Delete(127), frame(0xff, 1, b"")),
        (ToRuntime::Stop, frame(0x80, 2, b"")),
        (
            ToRuntime::Receive {
                module: 1,
                channel: 200,
                payload: Bytes::from_static(&[0, 255]),
            },
            frame(0x01, 200, &[0, 255]),
        ),
    ];
    for (message, frame) in cases {
        assert_eq!(message.frame(), frame);
        assert_eq!(ToRuntime::parse(frame), Ok(message));
    }
}

#[test]
fn from_a_runtime() {
    let log = |level, text: &str| Log {
        level,
        text: text.to_owned(),
    };
    let cases = [
        (
            FromRuntime::Keepalive(object_of(json!({"children": []}))),
            frame(0x80, 0, br#"{"children":[]}"#),
        ),
        (
            FromRuntime::Log(log(30, "a\\b")),
            frame(0x80, 1, b"\x9ea\\\\b"),
        ),
        (
            FromRuntime::Exited(0, object_of(json!({"status": "exited"}))),
            frame(0x80, 2, br#"{"status":"exited"}"#),
        ),
        (
            open_of(2, 0, 3, "$SL/proc/stdio"),
            frame(0x82, 3, b"\x00\x03$SL/proc/stdio"),
        ),
        (
            FromRuntime::Close {
                module: 2,
                channel: 9,
            },
            frame(0x82, 4, &[9]),
        ),
        (
            FromRuntime::ModuleLog(1, log(20, "hi")),
            frame(0x81, 5, b"\x94hi"),
        ),
        (
            FromRuntime::Profile(1, Bytes::from_static(&[1, 2])),
            frame(0x81, 6, &[1, 2]),
        ),
        (
            FromRuntime::Publish {
                module: 0,
                channel: 0,
                payload: Bytes::from_static(b"hello world\n"),
            },
            frame(0, 0, b"hello world\n"),
        ),
    ];
    for (message, frame) in cases {
        assert_eq!(message.frame(), frame);
        assert_eq!(FromRuntime::parse(frame), Ok(message));
    }
}

/// As Python's `json.dumps` and C write them.
#[test]
fn what_others_write_otherwise() {
    assert_eq!(
        FromRuntime::parse(frame(0x80, 2, br#"{"status": "exited"}"#)),
        Ok(FromRuntime::Exited(
            0,
            object_of(json!({"status": "exited"}))
        ))
    );
    assert_eq!(
        FromRuntime::parse(frame(0x80, 3, b"\x00\x02$SL/proc/stdio\0")),
        Ok(open_of(0, 0, 2, "$SL/proc/stdio"))
    );
    assert_eq!(
        FromRuntime::parse(frame(0x80, 1, b"starting\\n")),
        Ok(FromRuntime::Log(Log {
            level: 10,
            text: "starting\n".to_owned()
        }))
    );
    assert_eq!(
        FromRuntime::parse(frame(0x80, 0, b"")),
        Ok(FromRuntime::Keepalive(Map::new()))
    );
}

#[test]
fn what_is_no_message() {
    for bad in [
        frame(0x80, 3, b"\x00"),
        frame(0x80, 3, b"\x00\x01\xff"),
        frame(0x80, 4, b""),
        frame(0x80, 4, b"\x01\x02"),
        frame(0x80, 0, b"[]"),
        frame(0x80, 2, b"{"),
        frame(0x80, 7, b""),
    ] {
        assert!(FromRuntime::parse(bad.clone()).is_err(), "{bad:?}");
    }
    for bad in [frame(0x80, 0, b"5"), frame(0x80, 3, b"")] {
        assert!(ToRuntime::parse(bad.clone()).is_err(), "{bad:?}");
    }
    assert_eq!(
        ToRuntime::parse(frame(0x80, 3, b"")),
        Err(Error::UnknownMessage(3))
    );
}
