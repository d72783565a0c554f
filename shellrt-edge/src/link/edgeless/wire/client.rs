//! The calling side. It connects when it is needed, and again when it is needed after a loss; nothing is
//! sent twice.

use std::time::Duration;

use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::{ClientTlsConfig, Endpoint};
use tonic::{ConnectError, Request, Status};
use tonic_prost::ProstCodec;

use super::{
    BootData, CallReturn, DelayedEventData, Empty, FunctionInstanceInit, InputEventData,
    OutputEventData, OutputEventDataRaw, SyncData, TelemetryLogEvent, LONGEST_MESSAGE,
};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// After which time without a byte the system asks whether the other side is still there. HTTP/2 could ask
/// too, but some servers take that for an attack.
const SILENCE: Duration = Duration::from_secs(20);

/// A connection that comes and goes.
#[derive(Debug, Clone)]
pub struct Channel(Grpc<tonic::transport::Channel>);

impl Channel {
    /// To `endpoint`: a URL, or what stands behind `http://` in one. Nothing is connected yet.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` where it is no URL.
    pub fn new(endpoint: &str, tls: Option<&ClientTlsConfig>) -> Result<Channel, Status> {
        let wrong = |error: tonic::transport::Error| {
            let why =
                std::error::Error::source(&error).map_or_else(String::new, |it| format!(": {it}"));
            Status::invalid_argument(format!("{endpoint:?} is no endpoint{why}"))
        };
        let url = match endpoint.contains("://") {
            true => endpoint.to_owned(),
            false => format!("http://{endpoint}"),
        };
        let is_tls = url.starts_with("https://");
        let mut target = Endpoint::from_shared(url).map_err(wrong)?;
        if let (true, Some(tls)) = (is_tls, tls) {
            target = target.tls_config(tls.clone()).map_err(wrong)?;
        }
        let channel = target
            .connect_timeout(CONNECT)
            .tcp_keepalive(Some(SILENCE))
            .tcp_nodelay(true)
            .connect_lazy();
        let grpc = Grpc::new(channel)
            .max_decoding_message_size(LONGEST_MESSAGE)
            .max_encoding_message_size(LONGEST_MESSAGE);
        Ok(Channel(grpc))
    }

    async fn unary<Q, A>(&self, method: &'static str, request: Q) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        // Of a connection several calls are under way at a time.
        let mut grpc = self.0.clone();
        grpc.ready()
            .await
            .map_err(|error| Status::from_error(error.into()))?;
        let codec = ProstCodec::<Q, A>::default();
        let path = PathAndQuery::from_static(method);
        let answer = grpc.unary(Request::new(request), path, codec).await?;
        Ok(answer.into_inner())
    }
}

/// Whether a call can't have happened, because there was no connection for it.
pub fn was_not_sent(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Calls a `GuestAPIFunction`.
#[derive(Debug, Clone)]
pub struct FunctionClient(pub Channel);

#[allow(
    clippy::missing_errors_doc,
    reason = "each has the errors of whom it calls"
)]
impl FunctionClient {
    /// Where its host is, and who it is.
    pub async fn boot(&self, request: BootData) -> Result<(), Status> {
        let method = "/edgeless_api.GuestAPIFunction/Boot";
        self.0.unary(method, request).await.map(|Empty {}| ())
    }

    /// It begins.
    pub async fn init(&self, request: FunctionInstanceInit) -> Result<(), Status> {
        let method = "/edgeless_api.GuestAPIFunction/Init";
        self.0.unary(method, request).await.map(|Empty {}| ())
    }

    /// Something that is not answered.
    pub async fn cast(&self, request: InputEventData) -> Result<(), Status> {
        let method = "/edgeless_api.GuestAPIFunction/Cast";
        self.0.unary(method, request).await.map(|Empty {}| ())
    }

    /// Something that is answered.
    pub async fn call(&self, request: InputEventData) -> Result<CallReturn, Status> {
        let method = "/edgeless_api.GuestAPIFunction/Call";
        self.0.unary(method, request).await
    }

    /// It ends.
    pub async fn stop(&self) -> Result<(), Status> {
        let method = "/edgeless_api.GuestAPIFunction/Stop";
        self.0.unary(method, Empty {}).await.map(|Empty {}| ())
    }
}

/// Calls a `GuestAPIHost`.
#[derive(Debug, Clone)]
pub struct HostClient(pub Channel);

#[allow(
    clippy::missing_errors_doc,
    reason = "each has the errors of whom it calls"
)]
impl HostClient {
    /// Something that is not answered, for an alias.
    pub async fn cast(&self, request: OutputEventData) -> Result<(), Status> {
        let method = "/edgeless_api.GuestAPIHost/Cast";
        self.0.unary(method, request).await.map(|Empty {}| ())
    }

    /// The same for an instance.
    pub async fn cast_raw(&self, request: OutputEventDataRaw) -> Result<(), Status> {
        let method = "/edgeless_api.GuestAPIHost/CastRaw";
        self.0.unary(method, request).await.map(|Empty {}| ())
    }

    /// Something that is answered, for an alias.
    pub async fn call(&self, request: OutputEventData) -> Result<CallReturn, Status> {
        let method = "/edgeless_api.GuestAPIHost/Call";
        self.0.unary(method, request).await
    }

    /// The same for an instance.
    pub async fn call_raw(&self, request: OutputEventDataRaw) -> Result<CallReturn, Status> {
        let method = "/edgeless_api.GuestAPIHost/CallRaw";
        self.0.unary(method, request).await
    }

    /// A line for the log.
    pub async fn telemetry_log(&self, request: TelemetryLogEvent) -> Result<(), Status> {
        let method = "/edgeless_api.GuestAPIHost/TelemetryLog";
        self.0.unary(method, request).await.map(|Empty {}| ())
    }

    /// Something that is not answered and goes later.
    pub async fn delayed_cast(&self, request: DelayedEventData) -> Result<(), Status> {
        let method = "/edgeless_api.GuestAPIHost/DelayedCast";
        self.0.unary(method, request).await.map(|Empty {}| ())
    }

    /// The function's state.
    pub async fn sync(&self, request: SyncData) -> Result<(), Status> {
        let method = "/edgeless_api.GuestAPIHost/Sync";
        self.0.unary(method, request).await.map(|Empty {}| ())
    }
}
