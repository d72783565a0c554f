//! The socket of a connection, which outlives it: a socket that is closed while something waits to be read
//! takes back what was written last, and so the broker would miss the word of the end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// How long the broker may take to close its side.
const PATIENCE: Duration = Duration::from_secs(1);

/// A socket that comes back where it is dropped.
pub(super) struct Socket {
    stream: Option<TcpStream>,
    back: mpsc::UnboundedSender<TcpStream>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, back: mpsc::UnboundedSender<TcpStream>) -> Socket {
        Socket {
            stream: Some(stream),
            back,
        }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let stream = self.stream.as_mut().map(Pin::new);
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            // Where nobody wants it, it is closed.
            let _ = self.back.send(stream);
        }
    }
}

/// Reads until the broker has closed its side.
pub(super) async fn linger(mut stream: TcpStream) {
    let drained = async {
        stream.shutdown().await?;
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).await? > 0 {}
        io::Result::Ok(())
    };
    // It is over in any case.
    let _ = tokio::time::timeout(PATIENCE, drained).await;
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().stream()?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_shutdown(context)
    }
}
