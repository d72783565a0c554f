//! The task behind a client: it leads one connection after the other, and what waits over all of them.

mod line;
mod options;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use rumqttc::mqttbytes::v5::{Packet, Publish};
use rumqttc::mqttbytes::QoS;
use rumqttc::{AsyncClient, Event as Progress, MqttOptions};
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::{mpsc, oneshot, Semaphore};
use tokio::time::{sleep, sleep_until, timeout, Instant};

use super::failure::{Complaints, Failure};
use super::inbox::Inbox;
use super::outbox::{Entry, Outbox};
use super::socket;
use super::{count, Command, Error, Event, Message, Settings, Shared, Waiting};
use crate::policy;
use line::{Answer, Line};

/// How long the broker may take to answer the first subscriptions.
const ANSWERING: Duration = Duration::from_secs(20);

/// How long what is queued may take to go out when the client is closed.
const CLOSING: Duration = Duration::from_secs(5);

/// How long the broker may take to be told that the client is closed.
const PARTING: Duration = Duration::from_secs(1);

/// How long a connection lasts that counts as a success.
const STEADY: Duration = Duration::from_secs(1);

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

    /// The broker has accepted a connection.
    fn accepted(&mut self, client: AsyncClient, max_packet: Option<u32>) {
        self.lines += 1;
        let mut line = Line::new(client, self.lines, max_packet, ANSWERING);
        self.answers.extend(line.begin(&self.filters));
        self.line = Some(line);
        self.begun(0);
    }

    /// The broker has answered `answered` of the first subscriptions.
    fn begun(&mut self, answered: usize) {
        let line = self.line.as_mut();
        if line.is_some_and(|line| line.has_begun(answered)) {
            log::info!("{}: connected", self.place);
            count(&self.shared.connects);
            self.shared.connected.store(true, Ordering::Relaxed);
            self.inbox.push(Event::Connected, None);
        }
    }

    fn is_ready(&self) -> bool {
        self.line.as_ref().is_some_and(Line::is_ready)
    }

    /// Hands over to the connection what may go out.
    fn send(&mut self) {
        let Some(line) = self.line.as_ref().filter(|line| line.is_ready()) else {
            return;
        };
        let mut refused = Vec::new();
        while let Some((id, message)) = self.outbox.next() {
            match line.publish(id, message) {
                Ok(pending) => self.answers.push(pending),
                Err(why) => refused.extend(self.outbox.answered(id).map(|entry| (entry, why))),
            }
        }
        for (entry, why) in refused {
            self.refused(entry, &why);
        }
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Published(id, Ok(())) => {
                if let Some(entry) = self.outbox.answered(id) {
                    count(&self.shared.acknowledged);
                    entry.waiting.over();
                }
            }
            Answer::Published(id, Err(why)) => {
                if let Some(entry) = self.outbox.answered(id) {
                    self.refused(entry, &why);
                }
            }
            Answer::Subscribed {
                filter,
                refusal,
                is_first,
                done,
            } => {
                if let Some(why) = refusal {
                    self.complain(&format!(
                        "the broker refuses to subscribe us to {filter:?}: {why}"
                    ));
                }
                if is_first {
                    self.begun(1);
                }
                let _ = done.map(|done| done.send(()));
            }
            Answer::Unsubscribed {
                filter,
                refusal,
                done,
            } => {
                if let Some(why) = refusal {
                    self.complain(&format!(
                        "the broker refuses to unsubscribe us from {filter:?}: {why}"
                    ));
                }
                let _ = done.send(());
            }
            Answer::None => {}
        }
    }

    fn refused(&mut self, entry: Entry<Waiting>, why: &str) {
        count(&self.shared.refused);
        let topic = &entry.message.topic;
        self.complain(&format!(
            "the broker refuses what is published on {topic:?}: {why}"
        ));
        entry.waiting.over();
    }

    fn received(&mut self, publish: Publish) {
        count(&self.shared.received);
        let is_acknowledged = publish.qos != QoS::AtMostOnce;
        if !is_acknowledged && self.inbox.is_full() {
            count(&self.shared.dropped_in);
            self.complain("more comes from the broker than is taken: messages are dropped");
            return;
        }
        let message = Message {
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: publish.payload.clone(),
        };
        let acknowledgement = is_acknowledged.then_some((self.lines, publish));
        self.inbox.push(Event::Message(message), acknowledgement);
    }

    /// Gives the link the next event; without a permit it takes no more.
    fn deliver(&mut self, permit: Option<mpsc::Permit<'_, Event>>) {
        let Some((event, acknowledgement)) = self.inbox.pop() else {
            return;
        };
        if let Some(permit) = permit {
            permit.send(event);
        }
        if let (Some((number, publish)), Some(line)) = (acknowledgement, &self.line) {
            if number == line.number {
                line.acknowledge(&publish);
            }
        }
    }

    /// The connection is lost, or there was none.
    fn lost(&mut self, failure: &Failure) {
        if self.is_ready() {
            self.shared.connected.store(false, Ordering::Relaxed);
            self.inbox.push(Event::Disconnected, None);
        }
        self.complain(&format!("no connection to the broker: {}", failure.text));
        self.line = None;
        self.answers.clear();
        while self.sockets.try_recv().is_ok() {}
        let lost = self.outbox.disconnected(failure.is_of_message);
        for _ in lost.fleeting {
            count(&self.shared.dropped_out);
        }
        if let Some(culprit) = lost.culprit {
            self.refused(culprit, &failure.text);
        }
    }

    /// Says what is wrong, when it was not said just now.
    fn complain(&mut self, text: &str) {
        let place = &self.place;
        match self.complaints.is_due(text, self.began.elapsed()) {
            true => log::warn!("{place}: {text}"),
            false => log::debug!("{place}: {text}"),
        }
    }
}
