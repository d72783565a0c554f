//! The task behind a client: it leads one connection after the other, and what waits over all of them.

mod line;
mod options;
mod traffic;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use rumqttc::mqttbytes::v5::{Packet, Publish};
use rumqttc::{AsyncClient, Event as Progress, MqttOptions};
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::{mpsc, oneshot, Semaphore};
use tokio::time::{sleep, sleep_until, timeout, Instant};

use super::failure::{Complaints, Failure};
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::socket;
use super::{count, Command, Error, Event, Message, Settings, Shared, Waiting};
use crate::policy;
use line::Line;

/// How long the broker may take to answer the first subscriptions.
const ANSWERING: Duration = Duration::from_secs(20);

/// How long what is queued may take to go out when the client is closed.
const CLOSING: Duration = Duration::from_secs(5);

/// How long the broker may take to be told that the client is closed.
const PARTING: Duration = Duration::from_secs(1);

/// How long a connection lasts that counts as a success.
const STEADY: Duration = Duration::from_secs(1);

/// After how many connections in a row that did not last there must be a reason for that.
const SUSPICIOUS: u32 = 3;

/// How often a full inbox is looked at before a new connection.
const LOOK: Duration = Duration::from_millis(100);

/// Packets that acknowledge a message over the connection with that number.
type Acknowledgement = (u64, Publish);

/// The task's state.
pub(super) struct Session {
    options: MqttOptions,
    /// `host:port`, for the log.
    place: String,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Whether there are clients.
    is_open: bool,
    events: mpsc::Sender<Event>,
    inbox: Inbox<Acknowledgement>,
    outbox: Outbox<Waiting>,
    /// What is subscribed to.
    filters: Vec<String>,
    line: Option<Line>,
    /// How many connections there were.
    lines: u64,
    answers: FuturesUnordered<line::Pending>,
    closing: Option<Closing>,
    shared: Arc<Shared>,
    complaints: Complaints,
    began: Instant,
    sockets: mpsc::UnboundedReceiver<TcpStream>,
}

/// The client is to be closed.
struct Closing {
    by: Instant,
    waiting: Vec<oneshot::Sender<()>>,
}

/// What became of a future while everything else was attended to.
enum Attended<T> {
    /// It is over.
    Done(T),
    /// The client can be closed.
    Close,
    /// The broker takes too long to answer the first subscriptions.
    Late,
}

/// How a connection ended.
enum End {
    Lost(Failure),
    Closed,
}

impl Session {
    pub(super) fn new(
        settings: &Settings,
        will: Option<Message>,
        commands: mpsc::UnboundedReceiver<Command>,
        events: mpsc::Sender<Event>,
        shared: Arc<Shared>,
    ) -> Result<Session, Error> {
        let (back, sockets) = mpsc::unbounded_channel();
        Ok(Session {
            options: options::of(settings, will, back)?,
            place: format!("{}:{}", settings.host, settings.port),
            commands,
            is_open: true,
            events,
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            filters: Vec::new(),
            line: None,
            lines: 0,
            answers: FuturesUnordered::new(),
            closing: None,
            shared,
            complaints: Complaints::default(),
            began: Instant::now(),
            sockets,
        })
    }

    /// Leads connections until the client is closed. Then nobody waits for `room` any more.
    pub(super) async fn run(mut self, room: Arc<Semaphore>) {
        let mut failures = 0;
        loop {
            let failure = match self.connection().await {
                End::Closed => break,
                End::Lost(failure) => failure,
            };
            let lasted = self.line.as_ref().and_then(Line::lasted);
            if lasted.is_some_and(|lasted| lasted >= STEADY) {
                failures = 0;
                self.complaints.clear();
            }
            failures += 1;
            self.lost(&failure);
            // Many brokers do not say so.
            if failures >= SUSPICIOUS && lasted.is_some() {
                let id = self.options.client_id();
                self.complain(&format!(
                    "connections do not last: has another client the id {id:?}?"
                ));
            }
            let mut pause = policy::pause(failures);
            // What waits for the link must not grow with the number of connections.
            while pause > Duration::ZERO {
                match self.attend(sleep(pause)).await {
                    Attended::Done(()) if self.inbox.is_full() => pause = LOOK,
                    Attended::Done(()) | Attended::Late => pause = Duration::ZERO,
                    Attended::Close => return self.end(&room),
                }
            }
        }
        self.end(&room);
    }

    fn end(self, room: &Semaphore) {
        room.close();
        self.shared.connected.store(false, Ordering::Relaxed);
        let left = self.outbox.len();
        if left > 0 {
            let place = self.place;
            log::warn!("{place}: closed before {left} messages were acknowledged");
        }
        for waiting in self.closing.into_iter().flat_map(|closing| closing.waiting) {
            let _ = waiting.send(());
        }
    }

    /// Makes a connection and serves it until it ends.
    async fn connection(&mut self) -> End {
        let builder = AsyncClient::builder(self.options.clone()).unbounded();
        let (client, mut progress) = match builder.try_build() {
            Ok(both) => both,
            Err(error) => return End::Lost(Failure::new(error.to_string())),
        };
        loop {
            match self.attend(progress.poll()).await {
                Attended::Done(Ok(Progress::Incoming(Packet::ConnAck(connack)))) => {
                    let properties = connack.properties.as_ref();
                    let max_packet = properties.and_then(|properties| properties.max_packet_size);
                    self.accepted(client.clone(), max_packet);
                }
                Attended::Done(Ok(Progress::Incoming(Packet::Publish(publish)))) => {
                    self.received(publish);
                }
                Attended::Done(Ok(_)) => {}
                Attended::Done(Err(error)) => {
                    let client_id = self.options.client_id();
                    return End::Lost(Failure::of(&error, &client_id, self.line.is_some()));
                }
                Attended::Late => {
                    return End::Lost(Failure::new("it does not answer subscriptions"));
                }
                Attended::Close => break,
            }
        }
        if self.line.is_some() && client.try_disconnect_now().is_ok() {
            let told = async { while progress.poll().await.is_ok() {} };
            let _ = timeout(PARTING, told).await;
            drop(progress);
            // The last one is that of this connection.
            if let Some(stream) = std::iter::from_fn(|| self.sockets.try_recv().ok()).last() {
                socket::linger(stream).await;
            }
        }
        End::Closed
    }

    /// Waits for a future and does all that can be done meanwhile.
    async fn attend<T>(&mut self, future: impl Future<Output = T>) -> Attended<T> {
        let mut future = pin!(future);
        loop {
            self.send();
            let by = self.closing.as_ref().map(|closing| closing.by);
            if by.is_some() && self.outbox.len() == 0 {
                return Attended::Close;
            }
            let late = self.line.as_ref().and_then(Line::ready_by);
            let at = |moment: Option<Instant>| sleep_until(moment.unwrap_or_else(Instant::now));
            let events = self.events.clone();
            select! {
                done = &mut future => return Attended::Done(done),
                command = self.commands.recv(), if self.is_open => self.obey(command),
                Some(answer) = self.answers.next(), if !self.answers.is_empty() => {
                    self.answered(answer);
                }
                permit = events.reserve(), if !self.inbox.is_empty() => self.deliver(permit.ok()),
                () = at(by), if by.is_some() => return Attended::Close,
                () = at(late), if late.is_some() => return Attended::Late,
            }
        }
    }

    fn obey(&mut self, command: Option<Command>) {
        match command {
            Some(Command::Publish {
                message,
                is_fleeting,
                waiting,
            }) => {
                if self.closing.is_some() {
                    let (place, topic) = (&self.place, &message.topic);
                    log::warn!("{place}: not published on {topic:?}: the client is closed");
                } else if is_fleeting && !self.is_ready() {
                    count(&self.shared.dropped_out);
                } else {
                    count(&self.shared.published);
                    self.outbox.push(message, is_fleeting, waiting);
                }
            }
            Some(Command::Subscribe(filter, done)) => {
                if self.filters.contains(&filter) {
                    return;
                }
                self.filters.push(filter.clone());
                if let Some(line) = &self.line {
                    self.answers.push(line.subscribe(filter, done));
                }
            }
            Some(Command::Unsubscribe(filter, done)) => {
                self.filters.retain(|other| other != &filter);
                if let Some(line) = &self.line {
                    self.answers.push(line.unsubscribe(filter, done));
                }
            }
            Some(Command::Close(done)) => self.close().waiting.push(done),
            // All clients were dropped.
            None => {
                self.is_open = false;
                self.close();
            }
        }
    }

    fn close(&mut self) -> &mut Closing {
        self.closing.get_or_insert_with(|| Closing {
            by: Instant::now() + CLOSING,
            waiting: Vec::new(),
        })
    }
}
