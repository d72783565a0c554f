//! One end of an SLSocket: frames in and out of a Unix socket.
//!
//! Who manages a runtime must never wait for it: a runtime that does not read would keep the manager from
//! reading, which is what the runtime waits for. So frames are queued, and only so many bytes of data.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, OwnedSemaphorePermit, Semaphore};

use super::{Decoder, Error, Frame, Header, LONGEST};

/// How much data may wait to be written, in bytes; at least one frame of any length fits.
const WAITING: usize = 2 * LONGEST;

/// How much is read at once, in bytes.
const PIECE: usize = 64 << 10;

/// A frame that waits, and its share of what may wait.
type Waiting = (Bytes, Option<OwnedSemaphorePermit>);

/// Writes frames.
#[derive(Debug, Clone)]
pub struct Writer {
    header: Header,
    waiting: mpsc::UnboundedSender<Waiting>,
    room: Arc<Semaphore>,
}

/// Reads frames.
#[derive(Debug)]
pub struct Reader {
    socket: OwnedReadHalf,
    decoder: Decoder,
    buffer: Vec<u8>,
}

/// Why no frame goes out.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It can't be written at all.
    #[error(transparent)]
    Frame(#[from] Error),
    /// The other side does not read.
    #[error("{WAITING} bytes wait already for the other side to read them")]
    Full,
    /// The other side is gone.
    #[error("the other side has gone")]
    Gone,
}

/// Why no frame comes in.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It can't be read, and nothing that follows it.
    #[error(transparent)]
    Frame(#[from] Error),
    /// The other side went in the middle of a frame.
    #[error("the other side went in the middle of a frame")]
    CutOff,
    /// The socket broke.
    #[error("the socket can't be read")]
    Socket(#[from] io::Error),
}

/// Both directions of a socket.
pub fn open(socket: UnixStream, header: Header) -> (Writer, Reader) {
    let (reader, writer) = socket.into_split();
    let (waiting, frames) = mpsc::unbounded_channel();
    tokio::spawn(write_all(writer, frames));
    let writer = Writer {
        header,
        waiting,
        room: Arc::new(Semaphore::new(WAITING)),
    };
    let reader = Reader {
        socket: reader,
        decoder: Decoder::new(header),
        buffer: vec![0; PIECE],
    };
    (writer, reader)
}

impl Writer {
    /// Queues what must arrive, however much waits.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn control(&self, frame: &Frame) -> Result<(), WriteError> {
        self.queue(frame.encode(self.header)?, None)
    }

    /// Queues data, unless too much waits.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn data(&self, frame: &Frame) -> Result<(), WriteError> {
        let bytes = frame.encode(self.header)?;
        let room = Arc::clone(&self.room);
        let share = room.try_acquire_many_owned(bytes.len() as u32);
        self.queue(bytes, Some(share.map_err(|_| WriteError::Full)?))
    }

    /// Queues a frame, and waits while too much waits.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn wait(&self, frame: &Frame) -> Result<(), WriteError> {
        let bytes = frame.encode(self.header)?;
        let room = Arc::clone(&self.room);
        let share = room.acquire_many_owned(bytes.len() as u32);
        let share = tokio::select! {
            share = share => share.map_err(|_| WriteError::Gone)?,
            () = self.waiting.closed() => return Err(WriteError::Gone),
        };
        self.queue(bytes, Some(share))
    }

    /// Returns when all that was queued so far has been written, or can't be.
    pub async fn flushed(&self) {
        let all = self.room.acquire_many(WAITING as u32);
        tokio::select! {
            _ = all => {}
            () = self.waiting.closed() => {}
        }
    }

    fn queue(&self, bytes: Bytes, share: Option<OwnedSemaphorePermit>) -> Result<(), WriteError> {
        let sent = self.waiting.send((bytes, share));
        sent.map_err(|_| WriteError::Gone)
    }
}

async fn write_all(mut socket: OwnedWriteHalf, mut frames: mpsc::UnboundedReceiver<Waiting>) {
    while let Some((bytes, _share)) = frames.recv().await {
        // The other side has gone, which the reader sees too.
        if socket.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

impl Reader {
    /// The next frame; nothing when the other side has gone. May be dropped while it waits.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn next_frame(&mut self) -> Result<Option<Frame>, ReadError> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(Some(frame));
            }
            match self.socket.read(&mut self.buffer).await {
                Ok(0) if self.decoder.is_within_frame() => return Err(ReadError::CutOff),
                Ok(0) => return Ok(None),
                Ok(length) => self.decoder.feed(&self.buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize) -> Frame {
        Frame {
            h1: 1,
            h2: 2,
            payload: vec![7; length].into(),
        }
    }

    #[tokio::test]
    async fn frames_go_through() {
        let (one, other) = UnixStream::pair().unwrap();
        let (writer, _) = open(one, Header::Six);
        let (_, mut reader) = open(other, Header::Six);
        for length in [0, 5, 100_000] {
            writer.wait(&frame(length)).await.unwrap();
        }
        writer.flushed().await;
        for length in [0, 5, 100_000] {
            assert_eq!(reader.next_frame().await.unwrap(), Some(frame(length)));
        }
    }

    #[tokio::test]
    async fn who_does_not_read_gets_no_more_data_but_control() {
        let (one, _other) = UnixStream::pair().unwrap();
        let (writer, _reader) = open(one, Header::Six);
        writer.data(&frame(LONGEST)).unwrap();
        let second = writer.data(&frame(LONGEST));
        assert!(matches!(second, Err(WriteError::Full)), "{second:?}");
        writer.control(&frame(LONGEST)).unwrap();
    }

    #[tokio::test]
    async fn the_end_is_told_from_a_frame_that_was_cut_off() {
        let (mut one, other) = UnixStream::pair().unwrap();
        let (_writer, mut reader) = open(other, Header::Six);
        one.write_all(&[1, 0, 0, 0, 0x80, 0, 9]).await.unwrap();
        assert!(reader.next_frame().await.unwrap().is_some());
        one.write_all(&[1, 0, 0]).await.unwrap();
        drop(one);
        assert!(matches!(reader.next_frame().await, Err(ReadError::CutOff)));
    }
}
