//! The frames of SLSocket, written and read byte by byte as the protocol describes them, without any code
//! of the program under test.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A frame that came: its two header bytes and its payload.
#[derive(Debug, PartialEq)]
pub struct Frame(pub u8, pub u8, pub Vec<u8>);

impl Frame {
    /// The payload as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.2).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A connection, and how long its headers are.
pub struct Connection {
    pub stream: UnixStream,
    pub header: usize,
}

impl Connection {
    pub fn new(stream: UnixStream, header: usize) -> Connection {
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).unwrap();
        Connection { stream, header }
    }

    /// Writes a frame.
    pub fn send(&mut self, h1: u8, h2: u8, payload: &[u8]) {
        let length = payload.len();
        let mut bytes = vec![length as u8, (length >> 8) as u8];
        if self.header == 6 {
            bytes.extend([(length >> 16) as u8, (length >> 24) as u8]);
        }
        bytes.extend([h1, h2]);
        bytes.extend(payload);
        self.stream.write_all(&bytes).unwrap();
    }

    /// Reads a frame; `None` at the end of the connection.
    pub fn next(&mut self) -> Option<Frame> {
        let mut header = vec![0; self.header];
        match self.stream.read(&mut header[..1]).unwrap() {
            0 => return None,
            _ => self.stream.read_exact(&mut header[1..]).unwrap(),
        }
        let (length, rest) = match self.header {
            6 => (
                u32::from_le_bytes(header[..4].try_into().unwrap()) as usize,
                &header[4..],
            ),
            _ => (
                usize::from(u16::from_le_bytes(header[..2].try_into().unwrap())),
                &header[2..],
            ),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).unwrap();
        Some(Frame(rest[0], rest[1], payload))
    }

    /// Reads the next frame, which must be this one.
    pub fn expect(&mut self, h1: u8, h2: u8, payload: &[u8]) {
        let frame = self.next().expect("a frame");
        assert_eq!(
            (frame.0, frame.1, String::from_utf8_lossy(&frame.2)),
            (h1, h2, String::from_utf8_lossy(payload))
        );
    }

    /// Reads frames until one of these header bytes comes.
    pub fn until(&mut self, h1: u8, h2: u8) -> Frame {
        loop {
            let frame = self
                .next()
                .unwrap_or_else(|| panic!("no {h1:02x} {h2:02x}"));
            if (frame.0, frame.1) == (h1, h2) {
                return frame;
            }
        }
    }
}
