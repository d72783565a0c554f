//! The serving side: a TCP port with HTTP/2, plain or with TLS, and what gRPC calls of it.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::Status;

use super::unary::{unary, Body};
use super::{
    BootData, CallReturn, DelayedEventData, Empty, FunctionInstanceInit, InputEventData,
    InstanceId, OutputEventData, OutputEventDataRaw, SyncData, TelemetryLogEvent,
};

/// How many calls of one connection may be open.
const STREAMS: u32 = 1024;

/// How long a client may take for the handshake of TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long to wait before the next connection where the last could not be accepted: too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// `GuestAPIFunction`: a function, as its node calls it.
pub trait Function: Send + Sync + 'static {
    /// Where its host is, and who it is.
    fn boot(&self, request: BootData) -> impl Future<Output = Result<(), Status>> + Send;
    /// It begins.
    fn init(
        &self,
        request: FunctionInstanceInit,
    ) -> impl Future<Output = Result<(), Status>> + Send;
    /// Something that is not answered.
    fn cast(&self, request: InputEventData) -> impl Future<Output = Result<(), Status>> + Send;
    /// Something that is answered.
    fn call(
        &self,
        request: InputEventData,
    ) -> impl Future<Output = Result<CallReturn, Status>> + Send;
    /// It ends.
    fn stop(&self) -> impl Future<Output = Result<(), Status>> + Send;
}

/// `GuestAPIHost`: a node, as its functions call it.
pub trait Host: Send + Sync + 'static {
    /// Something that is not answered, for an alias.
    fn cast(&self, request: OutputEventData) -> impl Future<Output = Result<(), Status>> + Send;
    /// The same for an instance.
    fn cast_raw(
        &self,
        request: OutputEventDataRaw,
    ) -> impl Future<Output = Result<(), Status>> + Send;
    /// Something that is answered, for an alias.
    fn call(
        &self,
        request: OutputEventData,
    ) -> impl Future<Output = Result<CallReturn, Status>> + Send;
    /// The same for an instance.
    fn call_raw(
        &self,
        request: OutputEventDataRaw,
    ) -> impl Future<Output = Result<CallReturn, Status>> + Send;
    /// A line for the log.
    fn telemetry_log(
        &self,
        request: TelemetryLogEvent,
    ) -> impl Future<Output = Result<(), Status>> + Send;
    /// Who the function is.
    fn slf(&self) -> impl Future<Output = Result<InstanceId, Status>> + Send;
    /// Something that is not answered and goes later.
    fn delayed_cast(
        &self,
        request: DelayedEventData,
    ) -> impl Future<Output = Result<(), Status>> + Send;
    /// The function's state.
    fn sync(&self, request: SyncData) -> impl Future<Output = Result<(), Status>> + Send;
}

/// What answers a connection's calls.
pub trait Service: Clone + Send + Sync + 'static {
    /// Answers one.
    fn answer(&self, request: http::Request<Incoming>) -> BoxFuture<'static, http::Response<Body>>;
}

/// Serves a [`Function`].
#[derive(Debug)]
pub struct FunctionService<F>(pub Arc<F>);

/// Serves a [`Host`].
#[derive(Debug)]
pub struct HostService<H>(pub Arc<H>);

impl<F> Clone for FunctionService<F> {
    fn clone(&self) -> Self {
        FunctionService(Arc::clone(&self.0))
    }
}

impl<H> Clone for HostService<H> {
    fn clone(&self) -> Self {
        HostService(Arc::clone(&self.0))
    }
}

impl<F: Function> Service for FunctionService<F> {
    fn answer(&self, request: http::Request<Incoming>) -> BoxFuture<'static, http::Response<Body>> {
        let it = Arc::clone(&self.0);
        Box::pin(async move {
            let method = request.uri().path();
            match method.strip_prefix("/edgeless_api.GuestAPIFunction/") {
                Some("Boot") => {
                    unary(
                        request,
                        |it: Arc<F>, m| async move { it.boot(m).await.map(empty) },
                        it,
                    )
                    .await
                }
                Some("Init") => {
                    unary(
                        request,
                        |it: Arc<F>, m| async move { it.init(m).await.map(empty) },
                        it,
                    )
                    .await
                }
                Some("Cast") => {
                    unary(
                        request,
                        |it: Arc<F>, m| async move { it.cast(m).await.map(empty) },
                        it,
                    )
                    .await
                }
                Some("Call") => {
                    unary(request, |it: Arc<F>, m| async move { it.call(m).await }, it).await
                }
                Some("Stop") => {
                    unary(
                        request,
                        |it: Arc<F>, Empty {}| async move { it.stop().await.map(empty) },
                        it,
                    )
                    .await
                }
                Some(_) | None => unknown(method),
            }
        })
    }
}

impl<H: Host> Service for HostService<H> {
    fn answer(&self, request: http::Request<Incoming>) -> BoxFuture<'static, http::Response<Body>> {
        let it = Arc::clone(&self.0);
        Box::pin(async move {
            let method = request.uri().path();
            match method.strip_prefix("/edgeless_api.GuestAPIHost/") {
                Some("Cast") => {
                    unary(
                        request,
                        |it: Arc<H>, m| async move { it.cast(m).await.map(empty) },
                        it,
                    )
                    .await
                }
                Some("CastRaw") => {
                    unary(
                        request,
                        |it: Arc<H>, m| async move { it.cast_raw(m).await.map(empty) },
                        it,
                    )
                    .await
                }
                Some("Call") => {
                    unary(request, |it: Arc<H>, m| async move { it.call(m).await }, it).await
                }
                Some("CallRaw") => {
                    unary(
                        request,
                        |it: Arc<H>, m| async move { it.call_raw(m).await },
                        it,
                    )
                    .await
                }
                Some("TelemetryLog") => {
                    unary(
                        request,
                        |it: Arc<H>, m| async move { it.telemetry_log(m).await.map(empty) },
                        it,
                    )
                    .await
                }
                Some("Slf") => {
                    unary(
                        request,
                        |it: Arc<H>, Empty {}| async move { it.slf().await },
                        it,
                    )
                    .await
                }
                Some("DelayedCast") => {
                    unary(
                        request,
                        |it: Arc<H>, m| async move { it.delayed_cast(m).await.map(empty) },
                        it,
                    )
                    .await
                }
                Some("Sync") => {
                    unary(
                        request,
                        |it: Arc<H>, m| async move { it.sync(m).await.map(empty) },
                        it,
                    )
                    .await
                }
                Some(_) | None => unknown(method),
            }
        })
    }
}

fn empty((): ()) -> Empty {
    Empty {}
}

fn unknown(method: &str) -> http::Response<Body> {
    Status::unimplemented(format!("there is no method {method:?}")).into_http()
}

/// Listens at an address.
///
/// # Errors
/// Those of the system.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until it is dropped, with TLS where there is an acceptor.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, service: impl Service) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Answers are small and wanted at once.
                    let _ = stream.set_nodelay(true);
                    let (tls, service) = (tls.clone(), service.clone());
                    connections.spawn(async move {
                        let Some(tls) = tls else {
                            return connection(stream, service).await;
                        };
                        match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                            Ok(Ok(stream)) => connection(stream, service).await,
                            Ok(Err(error)) => log::warn!("a client's TLS is refused: {error}"),
                            Err(_) => log::warn!("a client has not finished the handshake of TLS"),
                        }
                    });
                }
                Err(error) => {
                    log::warn!("a connection can't be accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, service: impl Service) {
    let answer = service_fn(move |request| {
        let answered = service.answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        // gRPC has no use for it.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        log::debug!("a connection has ended: {error}");
    }
}
