//! What the frames say, in both directions.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value};

use super::{escape, Error, Frame};

const CONTROL: u8 = 0x80;

/// The channel of a module's stdin and stdout.
pub const STDIO: u8 = 0;

/// Their topic, as a module calls it.
const STDIO_TOPIC: &str = "$SL/proc/stdio";

/// A channel is read and written.
const READ_WRITE: u8 = 3;

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
    /// A module opens the channel [`STDIO`], to read and write.
    pub fn open_stdio(module: u8) -> FromRuntime {
        FromRuntime::Open {
            module,
            channel: STDIO,
            flags: READ_WRITE,
            topic: STDIO_TOPIC.to_owned(),
        }
    }

    /// A module publishes on one of its channels.
    pub fn publish(module: u8, channel: u8, payload: Bytes) -> FromRuntime {
        FromRuntime::Publish {
            module,
            channel,
            payload,
        }
    }

    /// A module has ended; `more` is said beside that.
    pub fn exited<const N: usize>(module: u8, more: [(&str, Value); N]) -> FromRuntime {
        let mut object = Map::new();
        object.insert("status".to_owned(), Value::from("exited"));
        object.extend(more.map(|(key, value)| (key.to_owned(), value)));
        FromRuntime::Exited(module, object)
    }

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
mod tests;
