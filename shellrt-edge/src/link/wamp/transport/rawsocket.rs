//! RawSockets: a handshake of four bytes each way, then frames of a length and a message.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{split, AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::{Error, Frame, Stream};
use crate::link::wamp::address::Address;
use crate::link::wamp::serializer::Serializer;

/// The first byte of a handshake.
const MAGIC: u8 = 0x7f;

/// The length of a frame's head, and of a handshake, in bytes.
const HEAD: usize = 4;

/// A limit of 2^9 bytes has the number 0, and 2^24 has 15.
const SMALLEST_LIMIT: u32 = 9;
const LARGEST_LIMIT: u32 = 24;

/// Reads frames.
pub struct Reader {
    stream: ReadHalf<Stream>,
    buffer: BytesMut,
    limit: usize,
}

/// Writes frames.
pub struct Writer {
    stream: WriteHalf<Stream>,
}

/// Shakes hands over `stream`. The last of what it gives is the largest message that the router takes.
pub async fn open(
    mut stream: Stream,
    address: &Address,
    serializer: Serializer,
    max_message: usize,
) -> Result<(Reader, Writer, usize), Error> {
    let no_router = |why: String| Error::Handshake {
        address: address.to_string(),
        why,
    };
    let power = limit_power(max_message);
    let written = stream.write_all(&request(serializer, power)).await;
    written.map_err(Error::Broken)?;
    let mut answer = [0; HEAD];
    let read = stream.read_exact(&mut answer).await;
    read.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            no_router("it has closed the connection at the handshake".to_owned())
        }
        _ => Error::Broken(error),
    })?;
    let largest = answered(answer, serializer).map_err(no_router)?;
    let (read_half, write_half) = split(stream);
    let reader = Reader {
        stream: read_half,
        buffer: BytesMut::new(),
        limit: 1 << power,
    };
    Ok((reader, Writer { stream: write_half }, largest))
}

impl Reader {
    pub async fn next(&mut self) -> Result<Frame, Error> {
        loop {
            if let Some(frame) = take(&mut self.buffer, self.limit).map_err(Error::Framing)? {
                return Ok(frame);
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            if read.map_err(Error::Broken)? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(Frame::Close),
                    false => Err(Error::Closed(" in the middle of a message".to_owned())),
                };
            }
        }
    }
}

impl Writer {
    pub async fn write(&mut self, frame: Frame) -> Result<(), Error> {
        let (kind, payload) = match frame {
            Frame::Message(payload) => (0, payload),
            Frame::Ping(payload) => (1, payload),
            Frame::Pong(payload) => (2, payload),
            Frame::Close => return self.stream.shutdown().await.map_err(Error::Broken),
        };
        let mut bytes = BytesMut::with_capacity(HEAD + payload.len());
        bytes.extend_from_slice(&head(kind, payload.len()));
        bytes.extend_from_slice(&payload);
        let written = self.stream.write_all(&bytes).await;
        written.map_err(Error::Broken)?;
        self.stream.flush().await.map_err(Error::Broken)
    }
}

/// The largest power of two that is not above `max_message`.
fn limit_power(max_message: usize) -> u32 {
    let power = max_message.max(1).ilog2();
    power.clamp(SMALLEST_LIMIT, LARGEST_LIMIT)
}

fn request(serializer: Serializer, power: u32) -> [u8; HEAD] {
    // The power is between 9 and 24.
    let limit = (power - SMALLEST_LIMIT) as u8;
    [MAGIC, limit << 4 | serializer.number(), 0, 0]
}

/// The largest message that the router takes.
fn answered(answer: [u8; HEAD], serializer: Serializer) -> Result<usize, String> {
    let [magic, word, reserved @ ..] = answer;
    let (high, low) = (word >> 4, word & 0x0f);
    if magic != MAGIC {
        return Err("its answer is no RawSocket's".to_owned());
    }
    if low == 0 {
        return Err(match high {
            1 => "it does not know the serializer".to_owned(),
            2 => "it does not take this length of messages".to_owned(),
            3 => "it does not take the reserved bits".to_owned(),
            4 => "it has too many connections".to_owned(),
            other => format!("it refuses with the error {other}"),
        });
    }
    if low != serializer.number() || reserved != [0, 0] {
        return Err("its answer does not fit what was asked".to_owned());
    }
    Ok(1 << (u32::from(high) + SMALLEST_LIMIT))
}

/// The head of a frame. Lengths end at 16 MiB, which takes a 25th bit.
fn head(kind: u8, length: usize) -> [u8; HEAD] {
    // A longer message is not given to this.
    let [_, high, middle, low] = (length as u32).to_be_bytes();
    let is_longest = length >> 24 & 1;
    [kind | (is_longest as u8) << 3, high, middle, low]
}

/// Takes a frame off the buffer, where a whole one is there.
fn take(buffer: &mut BytesMut, limit: usize) -> Result<Option<Frame>, String> {
    let Some(&[first, high, middle, low]) = buffer.first_chunk::<HEAD>() else {
        return Ok(None);
    };
    if first & 0xf0 != 0 {
        return Err("a frame has reserved bits".to_owned());
    }
    let length = u32::from_be_bytes([first >> 3, high, middle, low]) as usize;
    if length > limit {
        return Err(format!(
            "a message has {length} bytes, and {limit} is the most"
        ));
    }
    if buffer.len() < HEAD + length {
        buffer.reserve(HEAD + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(HEAD);
    let payload: Bytes = buffer.split_to(length).freeze();
    match first & 0x07 {
        0 => Ok(Some(Frame::Message(payload))),
        1 => Ok(Some(Frame::Ping(payload))),
        2 => Ok(Some(Frame::Pong(payload))),
        other => Err(format!("a frame has the unknown kind {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WAMP's specification, "WAMP-over-Raw-TCP": `7F LS 00 00`.
    #[test]
    fn handshakes() {
        assert_eq!(request(Serializer::Json, 24), [0x7f, 0xf1, 0, 0]);
        assert_eq!(request(Serializer::MsgPack, 20), [0x7f, 0xb2, 0, 0]);
        assert_eq!(request(Serializer::Cbor, 9), [0x7f, 0x03, 0, 0]);
        assert_eq!(answered([0x7f, 0xf1, 0, 0], Serializer::Json), Ok(1 << 24));
        assert_eq!(answered([0x7f, 0x02, 0, 0], Serializer::MsgPack), Ok(512));
        for wrong in [
            [0x7e, 0xf1, 0, 0],
            [0x7f, 0x10, 0, 0],
            [0x7f, 0x40, 0, 0],
            [0x7f, 0xf2, 0, 0],
            [0x7f, 0xf1, 0, 1],
            *b"HTTP",
        ] {
            assert!(answered(wrong, Serializer::Json).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn limits_are_powers_of_two_that_are_kept() {
        assert_eq!(limit_power(1 << 20), 20);
        assert_eq!(limit_power((1 << 20) - 1), 19);
        assert_eq!(limit_power(0), 9);
        assert_eq!(limit_power(usize::MAX), 24);
    }

    #[test]
    fn frames() {
        assert_eq!(head(0, 5), [0, 0, 0, 5]);
        assert_eq!(head(1, 0x01_02_03), [1, 1, 2, 3]);
        assert_eq!(head(0, 1 << 24), [8, 0, 0, 0]);
        let mut buffer =
            BytesMut::from(&b"\x00\x00\x00\x02hi\x01\x00\x00\x01p\x02\x00\x00\x00\x00\x00"[..]);
        let mut next = || take(&mut buffer, 512);
        assert_eq!(next(), Ok(Some(Frame::Message("hi".into()))));
        assert_eq!(next(), Ok(Some(Frame::Ping("p".into()))));
        assert_eq!(next(), Ok(Some(Frame::Pong("".into()))));
        assert_eq!(next(), Ok(None));
        for wrong in [
            &b"\x10\x00\x00\x00"[..],
            b"\x07\x00\x00\x00",
            b"\x00\x00\x02\x01",
            b"\x08\x00\x00\x00",
        ] {
            assert!(take(&mut BytesMut::from(wrong), 512).is_err(), "{wrong:?}");
        }
        // Exactly 16 MiB.
        let mut longest = BytesMut::from(&b"\x08\x00\x00\x00"[..]);
        assert_eq!(take(&mut longest, 1 << 24), Ok(None));
        longest.resize(HEAD + (1 << 24), b' ');
        assert!(
            matches!(take(&mut longest, 1 << 24), Ok(Some(Frame::Message(it))) if it.len() == 1 << 24)
        );
    }
}
