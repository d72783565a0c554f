//! A router's end of a connection, byte by byte: what it says need not be right.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::Value;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::serializer::Serializer;

/// How long the client may take for whatever it has to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// What carries messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Four bytes of head, and the message.
    RawSocket,
    /// Frames of RFC 6455.
    WebSocket,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    Message,
    Ping,
    Pong,
    Close,
}

/// A connection of a client's.
pub struct Wire {
    stream: TcpStream,
    carrier: Carrier,
    /// How its messages are written.
    pub serializer: Serializer,
}

/// How a client asks for a connection.
pub struct Asked {
    stream: TcpStream,
    /// By what.
    pub carrier: Carrier,
    /// The serializers that it offers, the best first.
    pub offered: Vec<Serializer>,
    key: String,
}

impl Asked {
    /// Reads what the client asks for.
    pub fn read(mut stream: TcpStream, carrier: Carrier) -> Result<Asked, Error> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut key = String::new();
        let offered = match carrier {
            Carrier::RawSocket => {
                let mut head = [0; 4];
                stream.read_exact(&mut head)?;
                assert_eq!((head[0], head[2], head[3]), (0x7f, 0, 0), "{head:?}");
                vec![Serializer::of_number(head[1] & 0x0f)]
            }
            Carrier::WebSocket => {
                let head = read_head(&mut stream)?;
                let field = |name: &str| {
                    let lines = head.lines().filter_map(|line| line.split_once(": "));
                    let mut values = lines.filter(|(other, _)| other.eq_ignore_ascii_case(name));
                    values.next().map(|(_, value)| value.to_owned())
                };
                key = field("sec-websocket-key").expect("a key");
                let offered = field("sec-websocket-protocol").expect("subprotocols");
                // What is not offered can't be answered: frames are never compressed.
                assert_eq!(field("sec-websocket-extensions"), None);
                let offered = offered.split(", ").map(Serializer::of_subprotocol);
                offered.collect()
            }
        };
        Ok(Asked {
            stream,
            carrier,
            offered,
            key,
        })
    }

    /// Takes the connection.
    pub fn take(mut self, serializer: Serializer) -> Result<Wire, Error> {
        let answer = match self.carrier {
            Carrier::RawSocket => vec![0x7f, 0xf0 | serializer.number(), 0, 0],
            Carrier::WebSocket => {
                let protocol = format!("Sec-WebSocket-Protocol: {}\r\n", serializer.subprotocol());
                self.switching(&protocol).into_bytes()
            }
        };
        self.stream.write_all(&answer)?;
        let Asked {
            stream, carrier, ..
        } = self;
        Ok(Wire {
            stream,
            carrier,
            serializer,
        })
    }

    /// Refuses all that is offered.
    pub fn refuse(mut self) -> Result<(), Error> {
        match self.carrier {
            // "Serializer unsupported".
            Carrier::RawSocket => self.stream.write_all(&[0x7f, 0x10, 0, 0]),
            Carrier::WebSocket => self.stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        }
    }

    /// Answers this instead of what belongs there, and waits until the client has closed.
    pub fn answer(mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stream.write_all(bytes)?;
        to_the_end(&mut self.stream)
    }

    /// The head with which a WebSocket begins, with these fields.
    pub fn switching(&self, fields: &str) -> String {
        let accept = derive_accept_key(self.key.as_bytes());
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{fields}\r\n"
        )
    }
}

fn read_head(stream: &mut TcpStream) -> Result<String, Error> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    String::from_utf8(head).map_err(Error::other)
}

fn to_the_end(stream: &mut TcpStream) -> Result<(), Error> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

impl Wire {
    /// Sends a message.
    pub fn say(&mut self, list: &Value) -> Result<(), Error> {
        let bytes = self.serializer.encode(list);
        self.say_bytes(&bytes)
    }

    /// Sends a message that need not be one.
    pub fn say_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let framed = self.framed(bytes);
        self.say_raw(&framed)
    }

    /// Sends bytes, whatever they mean.
    pub fn say_raw(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stream.write_all(bytes)
    }

    /// A message as it crosses the wire.
    fn framed(&self, bytes: &[u8]) -> Vec<u8> {
        match self.carrier {
            Carrier::RawSocket => raw_frame(0, bytes),
            Carrier::WebSocket => web_frame(0x80 | self.serializer.opcode(), bytes),
        }
    }

    /// Writes give up where the client has taken nothing for so long.
    pub fn give_up_after(&self, time: Duration) {
        self.stream.set_write_timeout(Some(time)).expect("a socket");
    }

    /// A second end of the same connection.
    pub fn twin(&self) -> Wire {
        Wire {
            stream: self.stream.try_clone().expect("a socket"),
            ..*self
        }
    }

    /// The next message; nothing where the client has closed. Pings are answered.
    pub fn hear(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            let heard = match self.carrier {
                Carrier::RawSocket => self.raw(),
                Carrier::WebSocket => self.web(),
            };
            let (frame, payload) = match heard {
                Ok(heard) => heard,
                Err(error) => {
                    let gone = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
                    return match gone.contains(&error.kind()) {
                        true => Ok(None),
                        false => Err(error),
                    };
                }
            };
            match (self.carrier, frame) {
                (_, Frame::Message) => return Ok(Some(payload)),
                (_, Frame::Close) => return Ok(None),
                (_, Frame::Pong) => {}
                (Carrier::RawSocket, Frame::Ping) => self.say_raw(&raw_frame(2, &payload))?,
                (Carrier::WebSocket, Frame::Ping) => self.say_raw(&web_frame(0x8a, &payload))?,
            }
        }
    }

    /// Breaks the connection off.
    pub fn close(&self) {
        // It may be closed.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn raw(&mut self) -> Result<(Frame, Vec<u8>), Error> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[1], head[2], head[3]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload)?;
        let frame = match head[0] {
            0 => Frame::Message,
            1 => Frame::Ping,
            2 => Frame::Pong,
            other => panic!("a client's frame of kind {other}"),
        };
        Ok((frame, payload))
    }

    fn web(&mut self) -> Result<(Frame, Vec<u8>), Error> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head)?;
        let length = match head[1] & 0x7f {
            126 => {
                let mut bytes = [0; 2];
                self.stream.read_exact(&mut bytes)?;
                u64::from(u16::from_be_bytes(bytes))
            }
            127 => {
                let mut bytes = [0; 8];
                self.stream.read_exact(&mut bytes)?;
                u64::from_be_bytes(bytes)
            }
            short => u64::from(short),
        };
        let mut mask = [0; 4];
        assert_ne!(head[1] & 0x80, 0, "a client masks its frames");
        self.stream.read_exact(&mut mask)?;
        let mut payload = vec![0; usize::try_from(length).expect("a length")];
        self.stream.read_exact(&mut payload)?;
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        let frame = match head[0] & 0x0f {
            8 => Frame::Close,
            9 => Frame::Ping,
            10 => Frame::Pong,
            other => {
                assert_eq!(other, self.serializer.opcode(), "a message's form");
                Frame::Message
            }
        };
        Ok((frame, payload))
    }
}

/// A RawSocket's frame. Kinds: 0 message, 1 ping, 2 pong.
pub fn raw_frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length");
    let mut frame = length.to_be_bytes().to_vec();
    frame[0] = kind;
    frame.extend_from_slice(payload);
    frame
}

/// A WebSocket's frame, where `first` has the end and the opcode.
pub fn web_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(u8::try_from(short).expect("short")),
        middle @ 126..0x1_0000 => {
            frame.push(126);
            let length = u16::try_from(middle).expect("short");
            frame.extend_from_slice(&length.to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}
