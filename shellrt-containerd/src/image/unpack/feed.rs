//! The bytes of a layer on their way from the registry to where it is unpacked.

use std::io::{self, BufRead, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

/// How many chunks may be on their way.
const CHUNKS: usize = 16;

/// One step of a transfer.
enum Step {
    Bytes(Bytes),
    /// That was all.
    End,
    /// Nobody waits for what is made of it.
    Stop,
}

/// Where the bytes come in. Dropped before the end, the transfer has failed.
pub(in crate::image) struct Feed(mpsc::Sender<Step>);

/// Where they come out.
pub(in crate::image) struct Fed {
    steps: mpsc::Receiver<Step>,
    chunk: Bytes,
    has_ended: bool,
    stopper: mpsc::WeakSender<Step>,
}

/// Ends the reading from outside.
pub(super) struct Stopper(mpsc::WeakSender<Step>);

/// A transfer that has not begun.
pub(in crate::image) fn feed() -> (Feed, Fed) {
    let (sender, steps) = mpsc::channel(CHUNKS);
    let fed = Fed {
        stopper: sender.downgrade(),
        steps,
        chunk: Bytes::new(),
        has_ended: false,
    };
    (Feed(sender), fed)
}

impl Feed {
    /// Hands bytes on; false where nobody wants more of them.
    pub(in crate::image) async fn put(&self, bytes: Bytes) -> bool {
        self.0.send(Step::Bytes(bytes)).await.is_ok()
    }

    /// Says that this was all.
    pub(in crate::image) async fn end(self) {
        // Nobody may want it.
        let _ = self.0.send(Step::End).await;
    }
}

impl Fed {
    /// Waits until the transfer begins; false where it does not.
    pub(in crate::image) async fn begins(&mut self) -> bool {
        match self.steps.recv().await {
            Some(Step::Bytes(bytes)) => {
                self.chunk = bytes;
                true
            }
            _ => false,
        }
    }

    pub(super) fn stopper(&self) -> Stopper {
        Stopper(self.stopper.clone())
    }
}

impl Stopper {
    /// Whoever waits for bytes gets an error. Where so many are on their way that there is no room for
    /// this, nobody waits for bytes.
    pub(super) fn stop(&self) {
        if let Some(sender) = self.0.upgrade() {
            let _ = sender.try_send(Step::Stop);
        }
    }
}

impl BufRead for Fed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.chunk.is_empty() && !self.has_ended {
            match self.steps.blocking_recv() {
                Some(Step::Bytes(bytes)) => self.chunk = bytes,
                Some(Step::End) => self.has_ended = true,
                Some(Step::Stop) | None => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "it did not come to its end",
                    ));
                }
            }
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, count: usize) {
        self.chunk.advance(count);
    }
}

impl Read for Fed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
