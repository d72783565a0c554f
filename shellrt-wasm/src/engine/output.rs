//! Where a program's output goes: straight from the host call to whoever keeps it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use shellrt_api::v0::logs::Stream;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Takes what a program writes, in its order, from the thread that runs the program: the program
/// waits meanwhile, so a slow output slows it and nothing is lost.
pub trait Output: Send + Sync {
    /// Takes all of `bytes` (never empty): what the program passed to one write. Components write at
    /// most 4096 bytes at once, because WASI says so.
    ///
    /// # Errors
    /// The program hears an error of the same kind from its own write, as from a full disk, and goes
    /// on.
    fn write(&self, stream: Stream, bytes: &[u8]) -> io::Result<()>;
}

/// How much a program may pass in one write that does not block, in bytes.
const PERMIT: usize = 1 << 20;

/// One of a program's two streams, as WASI wants it.
#[derive(Clone)]
pub(super) struct Sink {
    output: Arc<dyn Output>,
    stream: Stream,
}

impl Sink {
    /// The program's `stream`, which goes to `output`.
    pub fn new(output: &Arc<dyn Output>, stream: Stream) -> Sink {
        Sink {
            output: output.clone(),
            stream,
        }
    }

    /// Passes bytes on.
    pub fn pass(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.output.write(self.stream, bytes)
    }
}

impl IsTerminal for Sink {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Sink {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Sink {
    async fn ready(&mut self) {}
}

impl OutputStream for Sink {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.pass(&bytes)
            .map_err(|error| StreamError::LastOperationFailed(error.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.pass(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
