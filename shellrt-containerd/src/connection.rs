//! The HTTP/2 connection under containerd's services: over a socket that is connected already, and over
//! another one where that broke because the daemon was started anew.
//!
//! It does no more than a request of ours needs. What begins a connection, the headers of the first call
//! and its message go out in one piece, so that the daemon wakes up once.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{ready, Context, Poll};

use futures_util::future::{FutureExt, LocalBoxFuture};
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::io::BufWriter;
use tonic::body::Body;
use tonic::codegen::http::{uri, Request, Response, Uri};
use tonic::codegen::Bytes;
use tonic::Status;

/// How much may come for one call before we have taken it, in bytes.
const CALL_WINDOW: u32 = 2 << 20;

/// How much may come for all calls together.
const WINDOW: u32 = 5 << 20;

/// A connection. Clones share it. It belongs to one thread, and a runtime drives it.
#[derive(Clone)]
pub struct Connection {
    shared: Rc<Shared>,
}

struct Shared {
    /// Where it leads, for the next socket.
    address: Box<Path>,
    /// Connected, and nothing was said over it.
    first: RefCell<Option<UnixStream>>,
    sender: RefCell<Option<SendRequest<Bytes>>>,
}

impl Connection {
    /// The one over `socket`, which leads to `address`.
    pub fn new(socket: UnixStream, address: &Path) -> Self {
        Connection {
            shared: Rc::new(Shared {
                address: address.into(),
                first: RefCell::new(Some(socket)),
                sender: RefCell::new(None),
            }),
        }
    }

    /// Sends a request, and answers the response when its headers have come.
    pub async fn send(self, request: Request<Body>) -> Result<Response<Incoming>, Status> {
        let mut sender = self.sender().await?;
        let (mut parts, body) = request.into_parts();
        parts.uri = absolute(parts.uri);
        let request = Request::from_parts(parts, ());
        let (response, stream) = sender.send_request(request, false).map_err(broken)?;
        // Most messages are there already and go out with the headers.
        let mut upload = Box::pin(upload(body, stream));
        if upload.as_mut().now_or_never().is_none() {
            tokio::spawn(upload);
        }
        let response = response.await.map_err(broken)?;
        Ok(response.map(|stream| Incoming {
            stream,
            is_over: false,
        }))
    }

    /// Whoever can send over the connection, which is made where there is none or it broke.
    async fn sender(&self) -> Result<SendRequest<Bytes>, Status> {
        let known = self.shared.sender.borrow().clone();
        if let Some(known) = known {
            if let Ok(sender) = known.ready().await {
                return Ok(sender);
            }
        }
        let sender = self.connect().await;
        let sender = sender.map_err(|error| Status::unavailable(error.to_string()))?;
        self.shared.sender.replace(Some(sender.clone()));
        Ok(sender)
    }

    async fn connect(&self) -> io::Result<SendRequest<Bytes>> {
        let first = self.shared.first.take();
        let socket = match first {
            Some(socket) => {
                socket.set_nonblocking(true)?;
                tokio::net::UnixStream::from_std(socket)?
            }
            None => tokio::net::UnixStream::connect(&self.shared.address).await?,
        };
        let handshake = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(CALL_WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(BufWriter::new(socket));
        let (sender, connection) = handshake.await.map_err(io::Error::other)?;
        // How it ends, the calls are told.
        tokio::spawn(connection.map(drop));
        Ok(sender)
    }
}

/// The address of a request over a socket that has none.
fn absolute(path: Uri) -> Uri {
    let mut parts = uri::Parts::default();
    parts.scheme = Some(uri::Scheme::HTTP);
    parts.authority = Some(uri::Authority::from_static("localhost"));
    parts.path_and_query = path.path_and_query().cloned();
    Uri::from_parts(parts).unwrap_or(path)
}

/// A call that the connection broke under.
fn broken(error: h2::Error) -> Status {
    Status::unavailable(format!("the connection to containerd broke: {error}"))
}

/// Sends a request's body, not faster than it is taken.
async fn upload(mut body: Body, mut stream: SendStream<Bytes>) {
    let sent = async {
        let mut next = chunk(&mut body).await?;
        while let Some(data) = next {
            // What ends with this says so together with it.
            let after = chunk(&mut body).now_or_never().transpose()?;
            let is_last = matches!(after, Some(None));
            stream.send_data(data, is_last).map_err(broken)?;
            if is_last {
                return Ok(());
            }
            stream.reserve_capacity(1);
            while stream.capacity() == 0 {
                let more = poll_fn(|context| stream.poll_capacity(context)).await;
                more.transpose().map_err(broken)?;
            }
            next = match after {
                Some(after) => after,
                None => chunk(&mut body).await?,
            };
        }
        stream.send_data(Bytes::new(), true).map_err(broken)
    };
    if sent.await.is_err() {
        stream.send_reset(Reason::CANCEL);
    }
}

/// The next bytes of a body; `None` at its end.
async fn chunk(body: &mut Body) -> Result<Option<Bytes>, Status> {
    loop {
        match body.frame().await.transpose()? {
            Some(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            None => return Ok(None),
        }
    }
}

/// The body of a response.
pub struct Incoming {
    stream: RecvStream,
    is_over: bool,
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(data) = ready!(self.stream.poll_data(context)) {
            let taken = data.and_then(|data| {
                let window = self.stream.flow_control();
                window.release_capacity(data.len())?;
                Ok(Frame::data(data))
            });
            return Poll::Ready(Some(taken.map_err(broken)));
        }
        let trailers = ready!(self.stream.poll_trailers(context)).map_err(broken);
        self.is_over = true;
        Poll::Ready(
            trailers
                .map(|trailers| trailers.map(Frame::trailers))
                .transpose(),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.stream.is_end_stream()
    }
}

/// One response, in the future.
pub type Pending = LocalBoxFuture<'static, Result<Response<Incoming>, Status>>;
