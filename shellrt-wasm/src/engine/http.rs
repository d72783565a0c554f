//! Serves components of the `wasi:http/proxy` world: one fresh instance for each request.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use shellrt_api::v0::config;
use shellrt_api::v0::config::wasm::Config;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::{oneshot, watch, OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Component;
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::WasiHttpView;

use super::component::{linker, State};
use super::end::End;
use super::grants::Grants;
use super::limits::{Budget, Limiter};
use super::run::not_started;
use super::StartError;

/// How many connections are held at once; more wait in the system's queue.
const CONNECTIONS: u32 = 1024;

/// How many instances exist at once; more requests wait. Each reserves at least 4 GiB of address
/// space, of which there are 128 TiB.
const INSTANCES: u32 = 256;

/// How long to wait when no connection can be accepted, for lack of descriptors most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// After how many instructions a program that counts lets others have the thread.
const TURN: u64 = 1_000_000;

struct Server {
    program: ProxyPre<State>,
    grants: Grants,
    budget: Arc<Budget>,
    fuel: Option<u64>,
    instances: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

/// Serves until SIGTERM, then lets what is in flight finish.
pub(super) fn run(
    component: &Component,
    config: &Config,
    grants: Grants,
    budget: Arc<Budget>,
    fuel: Option<u64>,
    ready: impl FnOnce() -> io::Result<()>,
) -> Result<End, StartError> {
    let listener = listen(config)?;
    let linker = linker(component.engine()).map_err(|error| StartError::Engine(error.into()))?;
    let program = linker.instantiate_pre(component).and_then(ProxyPre::new);
    let program = program.map_err(|error| not_started(error, None))?;
    let server = Arc::new(Server {
        program,
        grants,
        budget,
        fuel,
        instances: Arc::new(Semaphore::new(INSTANCES as usize)),
        connections: Arc::new(Semaphore::new(CONNECTIONS as usize)),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(StartError::EventLoop)?;
    let end = runtime.block_on(async {
        let listener = TcpListener::from_std(listener).map_err(StartError::EventLoop)?;
        let mut stop = signal(SignalKind::terminate()).map_err(StartError::EventLoop)?;
        // A mount that is gone is found now and not at the first request.
        server.grants.context(None)?;
        ready().map_err(StartError::Ready)?;
        let (drain, draining) = watch::channel(());
        tokio::select! {
            () = server.clone().accept(listener, draining) => {}
            _ = stop.recv() => {}
        }
        drop(drain);
        server.finish().await;
        Ok(End {
            end: shellrt_api::v0::status::End::Exited,
            exit_code: 0,
            description: "stopped serving when it was told to, with all requests answered"
                .to_owned(),
        })
    });
    // A program that computes without end would keep its thread, and with it the runtime.
    runtime.shutdown_background();
    end
}

/// Binds the address of the config.
fn listen(config: &Config) -> Result<StdListener, StartError> {
    let address = config.network.listen.as_deref().unwrap_or_default();
    let parsed: SocketAddr = address.parse().map_err(|_| {
        StartError::Config(config::invalid("/network/listen", super::check::LISTEN))
    })?;
    let refused = |source| StartError::Listen {
        address: address.to_owned(),
        source,
    };
    let listener = StdListener::bind(parsed).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok(listener)
}

impl Server {
    /// Takes connections, never more than so many at once; it does not end by itself.
    async fn accept(self: Arc<Self>, listener: TcpListener, draining: watch::Receiver<()>) {
        loop {
            // The semaphore is never closed.
            let Ok(permit) = self.connections.clone().acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(self.clone().serve(stream, permit, draining.clone()));
                }
                Err(error) => {
                    log::warn!("can't accept a connection: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Serves one connection to its end; when the server drains, to the end of the request that it
    /// is at.
    async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        _permit: OwnedSemaphorePermit,
        mut draining: watch::Receiver<()>,
    ) {
        // Answers are small; waiting to send more at once only delays them.
        let _ = stream.set_nodelay(true);
        let service = service_fn(|request| {
            let server = self.clone();
            async move { Ok::<_, std::convert::Infallible>(server.answer(request).await) }
        });
        let mut builder = http1::Builder::new();
        // With a timer hyper gives up on a client that does not send its headers within 30 seconds.
        builder.timer(TokioTimer::new());
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            _ = draining.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            log::debug!("a connection ended early: {error}");
        }
    }

    /// Waits until every connection is closed and every instance is gone.
    async fn finish(&self) {
        // Neither semaphore is ever closed.
        let _ = self.connections.acquire_many(CONNECTIONS).await;
        let _ = self.instances.acquire_many(INSTANCES).await;
    }

    /// Answers a request; the program's failure is a 500.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<HyperOutgoingBody> {
        match self.ask(request).await {
            Ok(response) => response,
            Err(error) => {
                self.grants.tell(&format!("{error:?}\n"));
                failure()
            }
        }
    }

    /// Lets a new instance of the program answer. What it does after its answer has begun (sending
    /// the body) goes on in a task of its own.
    async fn ask(
        self: &Arc<Self>,
        request: Request<Incoming>,
    ) -> wasmtime::Result<Response<HyperOutgoingBody>> {
        let permit = self.instances.clone().acquire_owned().await?;
        let state = State::new(&self.grants, None, Limiter::new(self.budget.clone()))?;
        let mut store = state.store(self.program.engine(), self.fuel)?;
        if self.fuel.is_some() {
            store.fuel_async_yield_interval(Some(TURN))?;
        }
        let request = store
            .data_mut()
            .http()
            .new_incoming_request(Scheme::Http, request)?;
        let (sender, receiver) = oneshot::channel();
        let out = store.data_mut().http().new_response_outparam(sender)?;
        let server = self.clone();
        let task = tokio::spawn(async move {
            let _permit = permit;
            let result = server.handle(&mut store, request, out).await;
            if let Err(error) = &result {
                let end = End::failed(error, store.data().refused());
                server
                    .grants
                    .tell(&format!("a request failed: {}\n", end.description));
            }
            result
        });
        match receiver.await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(code)) => Ok(refusal(&code)),
            // The program let go of the answer: it trapped, or forgot.
            Err(_) => match task.await? {
                Ok(()) => Err(wasmtime::Error::msg("the program ended without an answer")),
                Err(error) => Err(error),
            },
        }
    }

    async fn handle(
        &self,
        store: &mut Store<State>,
        request: wasmtime::component::Resource<wasmtime_wasi_http::p2::types::HostIncomingRequest>,
        out: wasmtime::component::Resource<wasmtime_wasi_http::p2::types::HostResponseOutparam>,
    ) -> wasmtime::Result<()> {
        let proxy = self.program.instantiate_async(&mut *store).await?;
        proxy
            .wasi_http_incoming_handler()
            .call_handle(&mut *store, request, out)
            .await
    }
}

/// The answer where the program gave an error instead of a response.
fn refusal(code: &ErrorCode) -> Response<HyperOutgoingBody> {
    log::debug!("the program answered with an error: {code:?}");
    failure()
}

fn failure() -> Response<HyperOutgoingBody> {
    let body = Full::new(Bytes::from_static(b"the program failed\n"));
    let body = body.map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
