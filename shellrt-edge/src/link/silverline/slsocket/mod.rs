//! SLSocket: the frames that a runtime manager and the runtimes below it exchange over a Unix socket. No
//! socket here: bytes in, frames out, and back.
//!
//! ```text
//! [ length: u32 ][ h1: u8 ][ h2: u8 ][ payload: length bytes ]      little-endian
//! ```
//!
//! Before August 2023 the length was an `u16`; some documents still say so, and [`Header::Four`] reads it.

pub mod connection;
mod escape;
mod message;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Deserialize;

pub use message::{FromRuntime, Log, ToRuntime, STDIO};

/// The longest payload, in bytes.
pub const LONGEST: usize = 16 << 20;

/// The longest payload behind a [`Header::Four`].
const LONGEST_OF_FOUR: usize = u16::MAX as usize;

/// How many modules a runtime can have: their index has 7 bits.
pub const MODULES: usize = 128;

/// How long the header of a frame is, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub enum Header {
    /// What runs everywhere today.
    #[default]
    Six,
    /// The length has two bytes only.
    Four,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Bit 7: a control message; below it the index of the module.
    pub h1: u8,
    /// Which control message, or the index of the channel.
    pub h2: u8,
    /// What it says.
    pub payload: Bytes,
}

/// What is wrong with a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Its length is more than anybody sends; most often the two sides do not agree on the header.
    #[error(
        "a frame of {length} bytes is longer than {LONGEST}; do both sides use a header of {header} bytes?"
    )]
    TooLong {
        /// What the header says.
        length: usize,
        /// The length of the header.
        header: usize,
    },
    /// It can't be sent with the header that is set.
    #[error("{0} bytes are too many for a header of 4 bytes; set it to 6 on both sides")]
    TooLongForFour(usize),
    /// The control message has a number that nobody knows.
    #[error("there is no control message {0}")]
    UnknownMessage(u8),
    /// The payload is not what the message needs.
    #[error("the payload of {message:?} must be {needed}")]
    BadPayload {
        /// Which message.
        message: &'static str,
        /// What it must be.
        needed: &'static str,
    },
}

impl Header {
    /// Its length in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Header::Six => 6,
            Header::Four => 4,
        }
    }
}

impl TryFrom<u8> for Header {
    type Error = &'static str;

    fn try_from(length: u8) -> Result<Self, Self::Error> {
        match length {
            6 => Ok(Header::Six),
            4 => Ok(Header::Four),
            _ => Err("the header of a frame has 6 or 4 bytes"),
        }
    }
}

impl std::str::FromStr for Header {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Header::try_from(text.parse::<u8>().unwrap_or_default())
    }
}

impl Frame {
    /// The frame as it is written to the socket.
    ///
    /// # Errors
    /// Where the payload is too long.
    pub fn encode(&self, header: Header) -> Result<Bytes, Error> {
        let length = self.payload.len();
        let mut bytes = BytesMut::with_capacity(header.bytes() + length);
        match header {
            Header::Six if length > LONGEST => {
                return Err(Error::TooLong { length, header: 6 });
            }
            Header::Six => bytes.put_u32_le(length as u32),
            Header::Four if length > LONGEST_OF_FOUR => {
                return Err(Error::TooLongForFour(length));
            }
            Header::Four => bytes.put_u16_le(length as u16),
        }
        bytes.put_u8(self.h1);
        bytes.put_u8(self.h2);
        bytes.put_slice(&self.payload);
        Ok(bytes.freeze())
    }
}

/// Makes frames of the bytes that come, however they are cut.
#[derive(Debug, Default)]
pub struct Decoder {
    header: Header,
    buffer: BytesMut,
}

impl Decoder {
    /// Nothing has come yet.
    pub fn new(header: Header) -> Decoder {
        Decoder {
            header,
            buffer: BytesMut::new(),
        }
    }

    /// Takes bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, if all of it has come.
    ///
    /// # Errors
    /// Where the frame is too long. Nothing that follows can be read then.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        let header = self.header.bytes();
        let Some(mut begin) = self.buffer.get(..header) else {
            return Ok(None);
        };
        let length = match self.header {
            Header::Six => begin.get_u32_le() as usize,
            Header::Four => usize::from(begin.get_u16_le()),
        };
        let (h1, h2) = (begin.get_u8(), begin.get_u8());
        if length > LONGEST {
            return Err(Error::TooLong { length, header });
        }
        if self.buffer.len() < header + length {
            return Ok(None);
        }
        self.buffer.advance(header);
        let payload = self.buffer.split_to(length).freeze();
        Ok(Some(Frame { h1, h2, payload }))
    }

    /// Whether a frame was cut off.
    pub fn is_within_frame(&self) -> bool {
        !self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(h1: u8, h2: u8, payload: &'static [u8]) -> Frame {
        Frame {
            h1,
            h2,
            payload: Bytes::from_static(payload),
        }
    }

    #[test]
    fn the_documented_example() {
        let bytes = [&[0x05, 0, 0, 0, 0x80, 0][..], b"hello"].concat();
        assert_eq!(frame(0x80, 0, b"hello").encode(Header::Six).unwrap(), bytes);
        let mut decoder = Decoder::new(Header::Six);
        decoder.feed(&bytes);
        assert_eq!(decoder.next_frame(), Ok(Some(frame(0x80, 0, b"hello"))));
        assert_eq!(decoder.next_frame(), Ok(None));
        assert!(!decoder.is_within_frame());
    }

    #[test]
    fn the_older_header_has_two_bytes_less() {
        let bytes = [&[0x05, 0, 0x80, 0][..], b"hello"].concat();
        let encoded = frame(0x80, 0, b"hello").encode(Header::Four).unwrap();
        assert_eq!(encoded, bytes);
        let mut decoder = Decoder::new(Header::Four);
        decoder.feed(&bytes);
        assert_eq!(decoder.next_frame(), Ok(Some(frame(0x80, 0, b"hello"))));
    }

    #[test]
    fn frames_come_however_the_bytes_are_cut() {
        let bytes = [
            2, 0, 0, 0, 0x00, 0x00, b'h', b'i', 0, 0, 0, 0, 0x81, 0x01, 1, 0, 0, 0, 0x05, 0xff, 9,
        ];
        let all = [frame(0, 0, b"hi"), frame(0x81, 1, b""), frame(5, 255, &[9])];
        for piece in 1..bytes.len() {
            let mut decoder = Decoder::new(Header::Six);
            let mut frames = Vec::new();
            for bytes in bytes.chunks(piece) {
                decoder.feed(bytes);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, all, "pieces of {piece}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_anything_is_kept() {
        let mut decoder = Decoder::new(Header::Six);
        decoder.feed(&[0x01, 0, 0, 0x01, 0x80, 0]);
        let error = decoder.next_frame().unwrap_err();
        assert_eq!(
            error.to_string(),
            "a frame of 16777217 bytes is longer than 16777216; do both sides use a header of 6 bytes?"
        );
        let mut decoder = Decoder::new(Header::Six);
        decoder.feed(&[0, 0, 0, 0x01, 0x80, 0]);
        assert_eq!(decoder.next_frame(), Ok(None));
    }

    #[test]
    fn what_a_header_can_not_say_is_not_sent() {
        let long = Frame {
            h1: 0,
            h2: 0,
            payload: vec![0; 65_536].into(),
        };
        assert_eq!(
            long.encode(Header::Four),
            Err(Error::TooLongForFour(65_536))
        );
        assert_eq!(long.encode(Header::Six).unwrap().len(), 65_542);
    }
}
