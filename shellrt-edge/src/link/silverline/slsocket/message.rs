//! What the frames say, in both directions.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value};

use super::{escape, Error, Frame};

const CONTROL: u8 = 0x80;

/// What a runtime is told.
#[derive(Debug, Clone, PartialEq)]
pub enum ToRuntime {
    /// Run a module. The object is the `data` of the orchestrator's message, its `index` replaced.
    Create(u8, Map<String, Value>),
    /// End a module.
    Delete(u8),
    /// End all modules, and yourself.
    Stop,
    /// Something was received on a module's channel.
    Receive {
        /// The module.
        module: u8,
        /// Its channel.
        channel: u8,
        /// What.
        payload: Bytes,
    },
}

/// What a runtime tells.
#[derive(Debug, Clone, PartialEq)]
pub enum FromRuntime {
    /// It lives; the object goes into the keepalive.
    Keepalive(Map<String, Value>),
    /// A line for the log.
    Log(Log),
    /// A module has ended; the object goes into the report of that.
    Exited(u8, Map<String, Value>),
    /// A module opens a channel, or opens it anew on another topic.
    Open {
        /// The module.
        module: u8,
        /// The number that it gives the channel.
        channel: u8,
        /// 1 = it reads, 2 = it writes, and the quality of service that it wishes.
        flags: u8,
        /// The topic as the module calls it.
        topic: String,
    },
    /// A module closes a channel.
    Close {
        /// The module.
        module: u8,
        /// Its channel.
        channel: u8,
    },
    /// A module's line for the log.
    ModuleLog(u8, Log),
    /// What was measured of a module.
    Profile(u8, Bytes),
    /// A module publishes.
    Publish {
        /// The module.
        module: u8,
        /// Its channel.
        channel: u8,
        /// What.
        payload: Bytes,
    },
}

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How important it is, as Python numbers it: 10 debug, 20 info, 30 warning, 40 error, 50 critical.
    pub level: u8,
    /// The line.
    pub text: String,
}

impl Log {
    /// What is only of interest to who looks for a mistake.
    pub const DEBUG: u8 = 10;
    /// What is good to know.
    pub const INFO: u8 = 20;
    /// What somebody should look at.
    pub const WARNING: u8 = 30;
    /// What went wrong.
    pub const ERROR: u8 = 40;

    fn parse(payload: &[u8]) -> Log {
        match payload.split_first() {
            Some((level, text)) if level & 0x80 != 0 => Log {
                level: level & 0x7f,
                text: escape::decode(text),
            },
            _ => Log {
                level: Log::DEBUG,
                text: escape::decode(payload),
            },
        }
    }

    fn payload(&self) -> Bytes {
        let mut payload = vec![0x80 | self.level.min(0x7f)];
        payload.extend(escape::encode(&self.text));
        payload.into()
    }

    /// The level as this program's log has it.
    pub fn importance(&self) -> log::Level {
        match self.level {
            0..Log::DEBUG => log::Level::Trace,
            Log::DEBUG..Log::INFO => log::Level::Debug,
            Log::INFO..Log::WARNING => log::Level::Info,
            Log::WARNING..Log::ERROR => log::Level::Warn,
            _ => log::Level::Error,
        }
    }
}

impl ToRuntime {
    /// The frame that says it.
    pub fn frame(&self) -> Frame {
        match self {
            ToRuntime::Create(module, data) => control(*module, 0, json(data)),
            ToRuntime::Delete(module) => control(*module, 1, Bytes::new()),
            ToRuntime::Stop => control(0, 2, Bytes::new()),
            ToRuntime::Receive {
                module,
                channel,
                payload,
            } => data(*module, *channel, payload),
        }
    }

    /// What a frame says to a runtime.
    ///
    /// # Errors
    /// Where there is no such message, or its payload is wrong.
    pub fn parse(frame: Frame) -> Result<ToRuntime, Error> {
        let Frame { h1, h2, payload } = frame;
        if h1 & CONTROL == 0 {
            return Ok(ToRuntime::Receive {
                module: h1,
                channel: h2,
                payload,
            });
        }
        let module = h1 & !CONTROL;
        match h2 {
            0 => Ok(ToRuntime::Create(module, object("create", &payload)?)),
            1 => Ok(ToRuntime::Delete(module)),
            2 => Ok(ToRuntime::Stop),
            other => Err(Error::UnknownMessage(other)),
        }
    }
}

impl FromRuntime {
    /// The frame that says it.
    pub fn frame(&self) -> Frame {
        match self {
            FromRuntime::Keepalive(object) => control(0, 0, json(object)),
            FromRuntime::Log(log) => control(0, 1, log.payload()),
            FromRuntime::Exited(module, object) => control(*module, 2, json(object)),
            FromRuntime::Open {
                module,
                channel,
                flags,
                topic,
            } => {
                let mut payload = BytesMut::with_capacity(2 + topic.len());
                payload.put_u8(*channel);
                payload.put_u8(*flags);
                payload.put_slice(topic.as_bytes());
                control(*module, 3, payload.freeze())
            }
            FromRuntime::Close { module, channel } => {
                control(*module, 4, Bytes::copy_from_slice(&[*channel]))
            }
            FromRuntime::ModuleLog(module, log) => control(*module, 5, log.payload()),
            FromRuntime::Profile(module, bytes) => control(*module, 6, bytes.clone()),
            FromRuntime::Publish {
                module,
                channel,
                payload,
            } => data(*module, *channel, payload),
        }
    }

    /// What a frame of a runtime says.
    ///
    /// # Errors
    /// Where there is no such message, or its payload is wrong.
    pub fn parse(frame: Frame) -> Result<FromRuntime, Error> {
        let Frame { h1, h2, payload } = frame;
        if h1 & CONTROL == 0 {
            return Ok(FromRuntime::Publish {
                module: h1,
                channel: h2,
                payload,
            });
        }
        let module = h1 & !CONTROL;
        match h2 {
            0 => Ok(FromRuntime::Keepalive(object("keepalive", &payload)?)),
            1 => Ok(FromRuntime::Log(Log::parse(&payload))),
            2 => Ok(FromRuntime::Exited(module, object("exited", &payload)?)),
            3 => open(module, &payload),
            4 => match payload[..] {
                [channel] => Ok(FromRuntime::Close { module, channel }),
                _ => Err(Error::BadPayload {
                    message: "close channel",
                    needed: "one byte, the channel",
                }),
            },
            5 => Ok(FromRuntime::ModuleLog(module, Log::parse(&payload))),
            6 => Ok(FromRuntime::Profile(module, payload)),
            other => Err(Error::UnknownMessage(other)),
        }
    }
}

fn open(module: u8, payload: &[u8]) -> Result<FromRuntime, Error> {
    let bad = Error::BadPayload {
        message: "open channel",
        needed: "the channel, the flags and a topic in UTF-8",
    };
    let [channel, flags, topic @ ..] = payload else {
        return Err(bad);
    };
    // C sends the end of its string along.
    let topic = topic.strip_suffix(&[0]).unwrap_or(topic);
    let topic = std::str::from_utf8(topic).map_err(|_| bad)?;
    Ok(FromRuntime::Open {
        module,
        channel: *channel,
        flags: *flags,
        topic: topic.to_owned(),
    })
}

fn control(module: u8, message: u8, payload: Bytes) -> Frame {
    Frame {
        h1: CONTROL | module,
        h2: message,
        payload,
    }
}

fn data(module: u8, channel: u8, payload: &Bytes) -> Frame {
    Frame {
        h1: module & !CONTROL,
        h2: channel,
        payload: payload.clone(),
    }
}

fn json(object: &Map<String, Value>) -> Bytes {
    // An object of JSON values has nothing that can fail.
    serde_json::to_vec(object).unwrap_or_default().into()
}

/// An object; nothing at all counts as an empty one.
fn object(message: &'static str, payload: &[u8]) -> Result<Map<String, Value>, Error> {
    if payload.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(payload).map_err(|_| Error::BadPayload {
        message,
        needed: "a JSON object",
    })
}

#[cfg(test)]
mod tests {
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
}
