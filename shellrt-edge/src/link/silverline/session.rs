//! The link's loop: it takes what comes from the broker, registers and keeps the registration alive.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::select;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};

use super::dialect::Dialect;
use super::incoming::{self, Answer, Incoming};
use super::keepalive::Child;
use super::messages::Messages;
use super::registration::{Registration, Step};
use super::reports::{number, Note, Reports};
use super::requests::Requests;
use super::Error;
use crate::daemon::Daemon;
use crate::mqtt::{self, Event, Mqtt};
use crate::settings;
use crate::shutdown::Next;
use crate::supervisor::{Stage, Supervisor};

/// How long the orchestrator's broker may take to hear that the runtime goes.
const GOODBYE: Duration = Duration::from_secs(2);

/// A runtime with its connection.
pub struct Session {
    /// What it says.
    pub messages: Arc<Messages>,
    /// The connection.
    pub mqtt: Mqtt,
    /// What comes over it.
    pub events: mpsc::Receiver<Event>,
    /// Who reports what becomes of modules.
    pub reports: Reports,
    /// Who has the modules.
    pub supervisor: Supervisor,
    /// Who carries out requests.
    pub requests: Requests,
    /// When to register.
    pub registration: Registration,
    /// How often the runtime says that it is alive, as far as the settings say it.
    pub keepalive: Option<Duration>,
    /// Where the settings are read again.
    pub config: Option<PathBuf>,
    /// What changes while it runs.
    pub state: State,
}

/// What changes while a session runs.
pub struct State {
    /// Times are counted from here.
    epoch: Instant,
    /// The number of the registration that waits for its answer.
    object_id: String,
    is_connected: bool,
    /// Whether the runtime is registered, or counts as such.
    is_registered: bool,
    /// How often the orchestrator wants to hear of the runtime.
    wanted: Option<Duration>,
    next_keepalive: Option<Instant>,
    /// The keepalive that is being put together.
    sending: Option<JoinHandle<()>>,
}

impl Default for State {
    fn default() -> Self {
        State {
            epoch: Instant::now(),
            object_id: String::new(),
            is_connected: false,
            is_registered: false,
            wanted: None,
            next_keepalive: None,
            sending: None,
        }
    }
}

impl Session {
    /// Serves until the daemon is told to end, and ends gracefully.
    ///
    /// # Errors
    /// [`Error::NotRegistered`].
    pub async fn run(mut self, daemon: &mut Daemon) -> Result<(), Error> {
        // Before anything is registered: behind the answer come requests already.
        for filter in &self.messages.topics().requests {
            self.mqtt.subscribe(filter).await;
        }
        let mut shutdown = daemon.shutdown.clone();
        let result = loop {
            let next = async { shutdown.next().await };
            match self.turn(next).await {
                Ok(None) => {}
                Ok(Some(Next::Reload)) => {
                    daemon.reloading();
                    self.reload();
                    daemon.ready();
                }
                Ok(Some(Next::End)) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // What comes meanwhile is still taken: the broker's acknowledgements come the same way.
        let mut drained = pin!(daemon.drain());
        while !matches!(
            self.turn(&mut drained).await,
            Ok(Some(())) | Err(Error::Closed)
        ) {}
        let mut goodbye = pin!(self.goodbye());
        loop {
            select! {
                () = &mut goodbye => return result,
                Some(_) = self.events.recv() => {}
            }
        }
    }

    /// Unregisters, also where modules go on running: an orchestrator would send requests to nobody. It
    /// asks for these modules once more when the runtime registers again.
    fn goodbye(&self) -> impl Future<Output = ()> + 'static {
        let mqtt = self.mqtt.clone();
        let message = self.messages.unregister(&number());
        let is_connected = self.state.is_connected;
        async move {
            let payload = message.payload();
            let topic = message.topic;
            if is_connected {
                let told = async { mqtt.publish(mqtt::Message { topic, payload }).await.await };
                if timeout(GOODBYE, told).await.is_err() {
                    log::warn!("the broker does not hear that the runtime goes");
                }
            }
            mqtt.close().await;
        }
    }

    /// Does what is due, or waits for the next thing to do. Answers when `other` is over.
    async fn turn<T>(&mut self, other: impl Future<Output = T>) -> Result<Option<T>, Error> {
        let register = self.register().await?;
        let keepalive = self.state.next_keepalive;
        let at = |moment: Option<Instant>| sleep_until(moment.unwrap_or_else(Instant::now).into());
        select! {
            other = other => return Ok(Some(other)),
            event = self.events.recv() => match event {
                Some(event) => self.take(event).await,
                None => return Err(Error::Closed),
            },
            () = at(register), if register.is_some() => {}
            () = at(keepalive), if keepalive.is_some() => self.send_keepalive(),
        }
        Ok(None)
    }

    async fn take(&mut self, event: Event) {
        match event {
            Event::Connected => {
                self.state.is_connected = true;
                self.begin_registration().await;
            }
            Event::Disconnected => {
                self.state.is_connected = false;
                self.state.next_keepalive = None;
                self.registration.disconnected();
            }
            Event::Message(message) => self.message(message).await,
        }
    }

    /// Each connection needs a registration of its own: the will may have taken back the one before.
    async fn begin_registration(&mut self) {
        self.state.is_registered = false;
        self.state.object_id = number();
        self.registration.connected();
        if self.registration.is_open() {
            let topic = self.messages.topics().registration.clone();
            self.mqtt.subscribe(&topic).await;
        } else {
            log::info!("connected; no registration is asked for");
            self.registered();
        }
    }

    /// Registers where it is due. Answers when to look again.
    async fn register(&mut self) -> Result<Option<Instant>, Error> {
        match self.registration.step(self.state.epoch.elapsed()) {
            Step::Send => {
                log::info!("registering as {:?}", self.messages.identity().uuid);
                self.requests
                    .send(self.messages.register(&self.state.object_id));
                Ok(Some(Instant::now()))
            }
            Step::Wait(until) => Ok(Some(self.state.epoch + until)),
            Step::Done => Ok(None),
            Step::GiveUp => {
                log::warn!("nobody answers the registration; going on as if it were registered");
                self.leave_registration().await;
                self.registered();
                Ok(None)
            }
            Step::Fail => Err(Error::NotRegistered),
        }
    }

    /// Others' registrations may come on that topic too.
    async fn leave_registration(&self) {
        self.mqtt
            .unsubscribe(&self.messages.topics().registration)
            .await;
    }

    fn registered(&mut self) {
        self.state.is_registered = true;
        self.schedule_keepalive();
    }

    fn schedule_keepalive(&mut self) {
        let interval = match self.messages.identity().dialect {
            // It is the orchestrator's to say there.
            Dialect::Sideload => self.state.wanted,
            Dialect::Manager => self.keepalive.or(self.state.wanted),
            Dialect::G2 | Dialect::AppLauncher => self.keepalive,
        };
        self.state.next_keepalive = interval.map(|interval| Instant::now() + interval);
    }

    async fn message(&mut self, message: mqtt::Message) {
        if let Some(id) = self.reports.hears(&message.topic) {
            return self.requests.input(&id, message.payload).await;
        }
        let (identity, topics) = (self.messages.identity(), self.messages.topics());
        match incoming::read(identity, topics, &message.topic, &message.payload) {
            Incoming::Create(create) => self.requests.create(*create).await,
            Incoming::Delete(delete) => self.requests.delete(delete).await,
            Incoming::Answer(answer) => self.answered(answer).await,
            Incoming::Problem(problem) => self.requests.complain(&problem),
            Incoming::Ignore => log::debug!("a message on {:?} is ignored", message.topic),
        }
    }

    async fn answered(&mut self, answer: Answer) {
        if !self.registration.is_open() || answer.object_id != self.state.object_id {
            return;
        }
        if !answer.is_ok {
            log::warn!("the orchestrator refuses the registration");
            return;
        }
        self.registration.answered();
        self.requests.registered();
        log::info!("registered");
        let interval = answer.details.get("ka_interval_sec");
        let seconds = interval.and_then(serde_json::Value::as_f64);
        let seconds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        // More often than that helps nobody.
        self.state.wanted = seconds.filter(|wanted| *wanted >= Duration::from_secs(1));
        self.leave_registration().await;
        self.registered();
    }

    /// Says that the runtime is alive, with its modules. Asking their plugins takes a while.
    fn send_keepalive(&mut self) {
        self.schedule_keepalive();
        let is_busy = |sending: &JoinHandle<()>| !sending.is_finished();
        if self.state.sending.as_ref().is_some_and(is_busy) {
            return;
        }
        let (supervisor, reports) = (self.supervisor.clone(), self.reports.clone());
        let (messages, mqtt) = (Arc::clone(&self.messages), self.mqtt.clone());
        self.state.sending = Some(tokio::spawn(async move {
            let identity = messages.identity();
            let views = supervisor.modules_with_usage().await;
            let views = views.iter().filter(|view| view.stage != Stage::Ended);
            let children = views.map(|view| {
                let note = Note::of(&view.order);
                let child = Child {
                    uuid: &view.order.id,
                    name: &note.name,
                    file: &note.file,
                    filetype: note.filetype.as_deref(),
                    parent: &identity.uuid,
                    active: reports.active(&view.order.id).map(|time| time.to_string()),
                    usage: view.usage.as_ref().map(|(usage, _)| usage.clone()),
                };
                child.describe(identity.dialect)
            });
            let message = messages.keepalive(&number(), children.collect());
            let payload = message.payload();
            let topic = message.topic;
            mqtt.publish_if_connected(mqtt::Message { topic, payload });
        }));
    }

    /// Reads again what can be read again: how programs are started, and how much is logged.
    fn reload(&mut self) {
        match settings::load(self.config.as_deref(), std::env::vars_os()) {
            Ok(loaded) => {
                super::greet(&loaded);
                self.requests.set(Arc::new(loaded.settings));
                log::info!("the settings are read again");
            }
            Err(error) => log::error!("the settings stay as they are: {error}"),
        }
    }
}
