//! The host, as a function calls it. What can't be sent because there is no connection is tried again for
//! a while; what was sent once is never sent again.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use bytes::Bytes;
use serde::Deserialize;
use tonic::transport::ClientTlsConfig;
use tonic::Status;

use super::state::Boot;
use super::wire::{
    was_not_sent, CallRetType, CallReturn, Channel, DelayedEventData, EventSerializedMetadata,
    HostClient, InstanceId, OutputEventData, OutputEventDataRaw, SyncData, TelemetryLogEvent,
    TelemetryLogLevel,
};
use crate::component::{Answer, Content, Level, Payload, Problem, Target};
use crate::policy;

/// For how long a host that is not there is looked for, before what is for it is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many connections to hosts are kept; a daemon has one host as a rule.
const MOST_HOSTS: usize = 64;

/// What becomes of bytes that are not UTF-8, which nodes can't take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Binary {
    /// They are sent as base64.
    #[default]
    Base64,
    /// They are not sent, and that is an error.
    Refuse,
    /// They are sent as they are, to a host that can take them.
    Pass,
}

/// Bytes that are not UTF-8 where they must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not UTF-8; \"binary\" says what to do with such data")]
pub struct NotText;

impl Binary {
    /// The bytes as they are sent.
    ///
    /// # Errors
    /// `NotText`, with [`Binary::Refuse`].
    pub fn apply(self, bytes: Bytes) -> Result<Bytes, NotText> {
        match (self, std::str::from_utf8(&bytes)) {
            (_, Ok(_)) | (Binary::Pass, _) => Ok(bytes),
            (Binary::Base64, Err(_)) => Ok(STANDARD.encode(bytes).into()),
            (Binary::Refuse, Err(_)) => Err(NotText),
        }
    }
}

/// The connections to hosts, which all functions of the daemon share.
#[derive(Clone)]
pub struct Hosts {
    clients: Arc<Mutex<HashMap<String, HostClient>>>,
    tls: Option<ClientTlsConfig>,
}

impl Hosts {
    /// None yet.
    pub fn new(tls: Option<ClientTlsConfig>) -> Hosts {
        Hosts {
            clients: Arc::default(),
            tls,
        }
    }

    /// The host at `endpoint`. Nothing is connected yet.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` where that is no URL.
    pub fn client(&self, endpoint: &str) -> Result<HostClient, Status> {
        let mut clients = lock(&self.clients);
        if let Some(client) = clients.get(endpoint) {
            return Ok(client.clone());
        }
        if clients.len() >= MOST_HOSTS {
            // Those that are in use live on, and are only not found again.
            clients.clear();
        }
        let client = HostClient(Channel::new(endpoint, self.tls.as_ref())?);
        clients.insert(endpoint.to_owned(), client.clone());
        Ok(client)
    }
}

/// The host of one instance, which a Boot may move.
#[derive(Clone)]
pub struct Host {
    place: Arc<Mutex<(HostClient, InstanceId)>>,
    binary: Binary,
}

impl Host {
    /// The host of `boot`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` where its endpoint is none.
    pub fn new(hosts: &Hosts, boot: Boot, binary: Binary) -> Result<Host, Status> {
        let client = hosts.client(&boot.host)?;
        Ok(Host {
            place: Arc::new(Mutex::new((client, boot.instance))),
            binary,
        })
    }

    /// It is somewhere else now, or the function has another name.
    pub fn moved(&self, client: HostClient, instance: InstanceId) {
        *lock(&self.place) = (client, instance);
    }

    /// Sends something that is not answered. What goes wrong is logged: nobody could do anything.
    pub async fn cast(&self, target: Target, data: Bytes, delay: Option<Duration>) {
        let data = match self.binary.apply(data) {
            Ok(data) => data,
            Err(error) => return log::warn!("a cast to {target:?} is not sent: {error}"),
        };
        let sent = match (&target, delay) {
            (Target::Alias(alias), None) => {
                let request = |it| output(it, alias, &data);
                self.send(request, |host, it| async move { host.cast(it).await })
                    .await
            }
            (Target::Alias(alias), Some(delay)) => {
                let request = |it| DelayedEventData {
                    originator: Some(it),
                    alias: alias.clone(),
                    msg: data.clone(),
                    delay: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
                    metadata: Some(EventSerializedMetadata::none()),
                };
                self.send(
                    request,
                    |host, it| async move { host.delayed_cast(it).await },
                )
                .await
            }
            (Target::Instance { node, function }, _) => {
                let request = |it| raw(it, node, function, &data);
                self.send(request, |host, it| async move { host.cast_raw(it).await })
                    .await
            }
            (Target::Nobody, _) => {
                return log::warn!("a cast to nobody is dropped: it has no \"to\"");
            }
        };
        if let Err(status) = sent {
            log::warn!("a cast to {target:?} is lost: {}", words(&status));
        }
    }

    /// Asks, and waits for the answer.
    pub async fn call(&self, target: Target, data: Bytes) -> Answer {
        let data = match self.binary.apply(data) {
            Ok(data) => data,
            Err(error) => return Answer::Error(Problem::new(error.to_string())),
        };
        let answered = match &target {
            Target::Alias(alias) => {
                let request = |it| output(it, alias, &data);
                self.send(request, |host, it| async move { host.call(it).await })
                    .await
            }
            Target::Instance { node, function } => {
                let request = |it| raw(it, node, function, &data);
                self.send(request, |host, it| async move { host.call_raw(it).await })
                    .await
            }
            Target::Nobody => {
                let why = "a call needs \"to\", or \"to_node\" and \"to_function\"";
                return Answer::Error(Problem::new(why));
            }
        };
        match answered {
            Ok(returned) => answer(returned),
            Err(status) => {
                log::warn!("a call to {target:?} has failed: {}", words(&status));
                Answer::Error(Problem::new(words(&status)))
            }
        }
    }

    /// Writes to the host's log.
    pub async fn log(&self, level: Level, target: String, message: String) {
        let request = |it| TelemetryLogEvent {
            originator: Some(it),
            log_level: of(level).into(),
            target: target.clone(),
            msg: message.clone(),
        };
        let sent = self.send(
            request,
            |host, it| async move { host.telemetry_log(it).await },
        );
        if let Err(status) = sent.await {
            log::warn!("a line for the host's log is lost: {}", words(&status));
        }
    }

    /// Saves the function's state.
    pub async fn sync(&self, state: Bytes) {
        let state = match self.binary.apply(state) {
            Ok(state) => state,
            Err(error) => return log::warn!("the state is not saved: {error}"),
        };
        let request = |it| SyncData {
            originator: Some(it),
            serialized_state: state.clone(),
        };
        let sent = self.send(request, |host, it| async move { host.sync(it).await });
        if let Err(status) = sent.await {
            log::warn!("the state is not saved: {}", words(&status));
        }
    }

    /// Calls the host, and looks for it for a while where it is not there.
    async fn send<Q, T, F>(
        &self,
        request: impl Fn(InstanceId) -> Q,
        call: impl Fn(HostClient, Q) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let deadline = Instant::now() + PATIENCE;
        let mut failures = 0;
        loop {
            let (client, instance) = lock(&self.place).clone();
            match call(client, request(instance)).await {
                Err(status) if was_not_sent(&status) => {
                    failures += 1;
                    let pause = policy::pause(failures);
                    if Instant::now() + pause >= deadline {
                        return Err(status);
                    }
                    tokio::time::sleep(pause).await;
                }
                done => return done,
            }
        }
    }
}

/// What a function hears of an answer.
pub fn answer(returned: CallReturn) -> Answer {
    match CallRetType::try_from(returned.r#type) {
        Ok(CallRetType::Reply) => Answer::Reply(Content {
            data: Payload(returned.msg),
            ..Content::default()
        }),
        Ok(CallRetType::NoReply) => Answer::NoReply,
        Ok(CallRetType::Err) => Answer::Error(Problem::new("the call was answered by an error")),
        Err(_) => Answer::Error(Problem::new(format!(
            "the call was answered in a way that does not exist: {}",
            returned.r#type
        ))),
    }
}

fn output(originator: InstanceId, alias: &str, data: &Bytes) -> OutputEventData {
    OutputEventData {
        originator: Some(originator),
        alias: alias.to_owned(),
        msg: data.clone(),
    }
}

fn raw(originator: InstanceId, node: &str, function: &str, data: &Bytes) -> OutputEventDataRaw {
    OutputEventDataRaw {
        originator: Some(originator),
        dst: Some(InstanceId {
            node_id: node.to_owned(),
            function_id: function.to_owned(),
        }),
        msg: data.clone(),
    }
}

fn of(level: Level) -> TelemetryLogLevel {
    match level {
        Level::Error => TelemetryLogLevel::Error,
        Level::Warn => TelemetryLogLevel::Warn,
        Level::Info => TelemetryLogLevel::Info,
        Level::Debug => TelemetryLogLevel::Debug,
        Level::Trace => TelemetryLogLevel::Trace,
    }
}

/// What a status says, on one line.
fn words(status: &Status) -> String {
    let (code, message) = (status.code().description(), status.message());
    match message {
        "" => format!("the host says: {code}"),
        message => format!("the host says: {message}"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is half done where it panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_sent_as_is_set() {
        let (text, bytes) = (Bytes::from("ä"), Bytes::from_static(b"\xff\x00"));
        for binary in [Binary::Base64, Binary::Refuse, Binary::Pass] {
            assert_eq!(binary.apply(text.clone()), Ok(text.clone()));
        }
        assert_eq!(
            Binary::Base64.apply(bytes.clone()),
            Ok(Bytes::from_static(b"/wA="))
        );
        assert_eq!(Binary::Refuse.apply(bytes.clone()), Err(NotText));
        assert_eq!(Binary::Pass.apply(bytes.clone()), Ok(bytes));
    }

    #[test]
    fn answers_have_the_protocols_numbers() {
        let of = |kind| {
            answer(CallReturn {
                r#type: kind,
                msg: Bytes::from_static(b"m"),
            })
        };
        assert_eq!(of(0), Answer::NoReply);
        assert!(matches!(of(1), Answer::Reply(content) if &content.data.0[..] == b"m"));
        // 3 is what an upstream function sends by mistake.
        for kind in [2, 3, -1] {
            assert!(matches!(of(kind), Answer::Error(_)), "{kind}");
        }
    }
}
