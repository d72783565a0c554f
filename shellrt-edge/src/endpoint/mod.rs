//! The status of the daemon over HTTP/1.1, for the machine itself: a Unix socket or the loopback device.
//!
//! `GET /` answers a JSON object (`snapshot`), `GET /metrics` Prometheus' text (`metrics`), and
//! `GET /healthz` 200 or 503. Who asks gets one answer for a connection, and has to be quick about it: a
//! client that stalls must not keep others out.

mod address;
mod metrics;
mod snapshot;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::daemon::Watched;

pub use address::{Address, BadAddress};
pub use snapshot::Link;

pub(crate) use address::SocketFile;
pub(crate) use snapshot::{About, Module, Snapshot};

use address::Listener;

/// How many connections there are at once; more wait to be accepted.
const CONNECTIONS: usize = 16;

/// How long a request's head may take to come.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// How long a connection may last.
const TIME: Duration = Duration::from_secs(15);

/// The longest head of a request, in bytes; the least that hyper allows.
const HEAD: usize = 8 << 10;

/// How long the supervisors may take for an answer before the daemon counts as not healthy.
const HEALTH_TIME: Duration = Duration::from_secs(2);

/// How long to wait where no connection can be accepted: there are too many open files, for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Why the status can't be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody can listen there.
    #[error("the status can't be served at {address}")]
    Listen {
        /// Where.
        address: Address,
        /// Why not.
        source: io::Error,
    },
}

/// Serves the status until the runtime ends. What is returned removes the socket's file when it is dropped.
pub(crate) fn serve(address: &Address, watched: Arc<Watched>) -> Result<Option<SocketFile>, Error> {
    let (listener, file) = address.listen().map_err(|source| Error::Listen {
        address: address.clone(),
        source,
    })?;
    log::info!("the status is served at {}", listener.url());
    tokio::spawn(accept(listener, watched));
    Ok(file)
}

async fn accept(listener: Listener, watched: Arc<Watched>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // It is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let connection = match listener.accept().await {
            Ok(connection) => connection,
            Err(error) => {
                log::warn!("the status can't be asked for: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let watched = Arc::clone(&watched);
        tokio::spawn(async move {
            if timeout(TIME, converse(connection, watched)).await.is_err() {
                log::debug!("a client of the status took too long");
            }
            drop(place);
        });
    }
}

async fn converse(connection: impl AsyncRead + AsyncWrite + Unpin, watched: Arc<Watched>) {
    let answers = service_fn(move |request: Request<Incoming>| {
        let watched = Arc::clone(&watched);
        async move {
            Ok::<_, Infallible>(answer(request.method(), request.uri().path(), &watched).await)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(connection), answers)
        .await;
    if let Err(error) = served {
        log::debug!("a client of the status: {error}");
    }
}

async fn answer(method: &Method, path: &str, watched: &Watched) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let is_known = matches!(path, "/" | "/metrics" | "/healthz");
    let (status, kind, body) = match (method, path) {
        (_, _) if !is_known => (
            StatusCode::NOT_FOUND,
            TEXT,
            "there are /, /metrics and /healthz\n".to_owned(),
        ),
        (&Method::GET | &Method::HEAD, "/") => (
            StatusCode::OK,
            "application/json",
            snapshot::json(&watched.snapshot().await),
        ),
        (&Method::GET | &Method::HEAD, "/metrics") => (
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            metrics::text(&watched.snapshot().await),
        ),
        (&Method::GET | &Method::HEAD, _) => match watched.is_alive(HEALTH_TIME).await {
            true => (StatusCode::OK, TEXT, "ok\n".to_owned()),
            false => (
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                "the supervisor of the modules does not answer\n".to_owned(),
            ),
        },
        _ => (
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            "only GET and HEAD are answered\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    headers.insert(
        CACHE_CONTROL,
        hyper::header::HeaderValue::from_static("no-store"),
    );
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    }
    response
}
