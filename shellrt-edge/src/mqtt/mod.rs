//! A connection to an MQTT 5 broker that never gives up: what is published is in order and is over when
//! the broker has acknowledged it, whatever becomes of connections in between.
//!
//! Each connection is a new session, because brokers that are started anew forget sessions: so the client
//! remembers what is subscribed to and what was not acknowledged. One task (`session`) leads all
//! connections; what it decides is in `outbox` and `inbox`.
//!
//! ```text
//! publish -> outbox -> connection -> broker
//! link <- events <- inbox <- connection <- broker     acknowledged when it leaves the inbox, so that the
//!                                                     broker keeps what a slow link does not take
//! ```

mod failure;
mod inbox;
mod outbox;
mod session;
mod socket;
mod tls;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use shellrt_api::v0::Secret;
use tokio::sync::{mpsc, oneshot, OwnedSemaphorePermit, Semaphore};

use crate::supervisor::Reported;
use session::Session;

/// The largest payload that is taken from the broker, in bytes.
pub const MAX_INCOMING: usize = 16 * 1024 * 1024;

/// How much may wait to be published, in bytes with what it takes to keep it.
const ROOM: usize = 8 * 1024 * 1024;

/// What one more publication costs beside its bytes.
const EACH: usize = 1024;

/// How many events wait for the link beside those that the session keeps.
const EVENTS: usize = 16;

/// Where the broker is, and who we are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name or address.
    pub host: String,
    /// Its port; mostly 1883, and 8883 with TLS.
    pub port: u16,
    /// Who we are, for it.
    pub username: Option<String>,
    /// How we show that.
    pub password: Option<Secret>,
    /// Whether to speak TLS, and how.
    pub tls: Option<Tls>,
    /// What tells us from its other clients.
    pub client_id: String,
    /// After which silence both sides look whether the other is still there, in whole seconds; 0 = never.
    pub keep_alive: Duration,
}

/// How TLS is spoken. All files are PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The authorities that are trusted. Default: the system's.
    pub ca: Option<PathBuf>,
    /// The client's certificate, and those up to its authority. Default none.
    pub cert: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
    /// Whether the broker's certificate is verified.
    pub verify: bool,
}

/// A message, published or received.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Bytes,
}

/// What a link hears, in the order in which it happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// There is a connection, and the broker has answered all subscriptions. What was published before
    /// that goes out again.
    Connected,
    /// It is lost. Another one is being tried for.
    Disconnected,
    /// Somebody else has published this.
    Message(Message),
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Messages that were taken to be published.
    pub published: u64,
    /// Those of them that the broker has acknowledged.
    pub acknowledged: u64,
    /// Those of them that it has refused.
    pub refused: u64,
    /// Messages that came from the broker.
    pub received: u64,
    /// Those of them that were left, because the link did not take what had come before and the broker
    /// sent them without wanting an acknowledgement (QoS 0).
    pub dropped_in: u64,
    /// Messages that were only of use over a connection, and were not published because it was not there
    /// or was lost.
    pub dropped_out: u64,
    /// How often there was a connection.
    pub connects: u64,
    /// Whether there is one.
    pub connected: bool,
}

impl Counters {
    /// What is counted, by the names of the status.
    pub fn named(&self) -> [(&'static str, u64); 7] {
        [
            ("published", self.published),
            ("acknowledged", self.acknowledged),
            ("publications_refused", self.refused),
            ("received", self.received),
            ("dropped_in", self.dropped_in),
            ("dropped_out", self.dropped_out),
            ("connects", self.connects),
        ]
    }
}

/// Why there can be no connection with these settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A PEM file can't be read.
    #[error("the file {path:?} of {setting:?} can't be read")]
    Unreadable {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// A PEM file has nothing in it that could be used.
    #[error("the file {1:?} of {0:?} has no certificates")]
    Empty(&'static str, PathBuf),
    /// The system has no certificates of authorities.
    #[error(
        "this system trusts nobody: set \"mqtt.ca\" to the authority of the broker's certificate"
    )]
    NoRoots,
    /// A certificate without a key, or the other way round.
    #[error("{0:?} is set without {1:?}")]
    Alone(&'static str, &'static str),
    /// The client's certificate and key.
    #[error("\"mqtt.cert\" and \"mqtt.key\" can't be used together")]
    Pair(#[source] rustls::Error),
    /// TLS can't be set up.
    #[error("TLS can't be spoken")]
    Rustls(#[source] rustls::Error),
    /// It does not fit into MQTT.
    #[error("the keepalive must be whole seconds, at most 65535")]
    KeepAlive,
    /// It does not fit into MQTT.
    #[error("{0:?} is longer than 65535 bytes")]
    TooLong(&'static str),
    /// A topic to publish on must name exactly one.
    #[error("{0:?} is no topic to publish on")]
    Topic(String),
    /// No client, no broker.
    #[error("{0:?} must not be empty")]
    Missing(&'static str),
}

/// What the task shares with those who use it.
#[derive(Debug, Default)]
struct Shared {
    published: AtomicU64,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    received: AtomicU64,
    dropped_in: AtomicU64,
    dropped_out: AtomicU64,
    connects: AtomicU64,
    connected: AtomicBool,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Who waits for a publication: dropped without a word when it will never be acknowledged.
#[derive(Debug)]
struct Waiting {
    over: Option<oneshot::Sender<()>>,
    /// What it takes of the queue's room.
    _room: OwnedSemaphorePermit,
}

impl Waiting {
    /// The broker has answered.
    fn over(self) {
        if let Some(over) = self.over {
            // Nobody may be interested.
            let _ = over.send(());
        }
    }
}

/// What the task is asked for.
#[derive(Debug)]
enum Command {
    Publish {
        message: Message,
        is_fleeting: bool,
        waiting: Waiting,
    },
    Subscribe(String, oneshot::Sender<()>),
    Unsubscribe(String, oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// A client of a broker. When all clones are dropped, it is closed as by [`Mqtt::close`].
#[derive(Clone)]
pub struct Mqtt {
    commands: mpsc::UnboundedSender<Command>,
    /// It bounds the channel of commands too.
    room: Arc<Semaphore>,
    shared: Arc<Shared>,
}

impl Mqtt {
    /// Starts to connect, and never gives up. The broker publishes `will` (QoS 1, not retained) when it
    /// loses us without [`Mqtt::close`]. Whoever has the receiver must go on to take events, or drop it.
    /// To be called within a tokio runtime.
    ///
    /// # Errors
    /// Where no connection is possible with these settings, whatever the broker says.
    pub fn connect(
        settings: Settings,
        will: Option<Message>,
    ) -> Result<(Mqtt, mpsc::Receiver<Event>), Error> {
        let (commands, receiver) = mpsc::unbounded_channel();
        let (events, taken) = mpsc::channel(EVENTS);
        let shared = Arc::new(Shared::default());
        let room = Arc::new(Semaphore::new(ROOM));
        let shared_too = Arc::clone(&shared);
        let session = Session::new(&settings, will, receiver, events, shared_too)?;
        let mqtt = Mqtt {
            commands,
            room,
            shared,
        };
        tokio::spawn(session.run(Arc::clone(&mqtt.room)));
        Ok((mqtt, taken))
    }

    /// Publishes at QoS 1. Returns when it is queued, behind all that was queued before; while the queue
    /// is full it waits. What it returns resolves when the broker has acknowledged it, or has refused it,
    /// which is logged and counted. It never resolves where the client is closed before.
    pub async fn publish(&self, message: Message) -> Reported {
        let room = Arc::clone(&self.room).acquire_many_owned(cost(&message));
        let Ok(room) = room.await else {
            return Box::pin(std::future::pending());
        };
        let (over, is_over) = oneshot::channel();
        self.queue(message, false, Some(over), room);
        Box::pin(async move {
            if is_over.await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }

    /// Publishes at QoS 1, but only over the connection that there is now; else it is dropped and
    /// counted. For keepalives.
    pub fn publish_if_connected(&self, message: Message) {
        let is_connected = self.shared.connected.load(Ordering::Relaxed);
        let room = Arc::clone(&self.room).try_acquire_many_owned(cost(&message));
        match room {
            Ok(room) if is_connected => self.queue(message, true, None, room),
            _ => count(&self.shared.dropped_out),
        }
    }

    fn queue(
        &self,
        message: Message,
        is_fleeting: bool,
        over: Option<oneshot::Sender<()>>,
        room: OwnedSemaphorePermit,
    ) {
        let waiting = Waiting { over, _room: room };
        // Where the client is closed, it is dropped.
        let _ = self.commands.send(Command::Publish {
            message,
            is_fleeting,
            waiting,
        });
    }

    /// Subscribes at QoS 1, without what this client publishes, now and on every later connection. What
    /// matches several filters comes as often as the broker likes. Returns when the broker has answered,
    /// or at once where there is no connection. That the broker refuses is logged.
    pub async fn subscribe(&self, filter: &str) {
        let filter = filter.to_owned();
        self.ask(|done| Command::Subscribe(filter, done)).await;
    }

    /// Ends a subscription. Returns when the broker has answered, or at once where there is no
    /// connection.
    pub async fn unsubscribe(&self, filter: &str) {
        let filter = filter.to_owned();
        self.ask(|done| Command::Unsubscribe(filter, done)).await;
    }

    /// Ends the client: what is queued goes out, for at most five seconds, and then the broker is told,
    /// so that it does not publish the will. Nothing can be published any more.
    pub async fn close(&self) {
        self.ask(Command::Close).await;
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            published: get(&self.shared.published),
            acknowledged: get(&self.shared.acknowledged),
            refused: get(&self.shared.refused),
            received: get(&self.shared.received),
            dropped_in: get(&self.shared.dropped_in),
            dropped_out: get(&self.shared.dropped_out),
            connects: get(&self.shared.connects),
            connected: self.shared.connected.load(Ordering::Relaxed),
        }
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) {
        let (done, is_done) = oneshot::channel();
        let _ = self.commands.send(command(done));
        // An error says that the client is closed, or that the connection was lost meanwhile.
        let _ = is_done.await;
    }
}

/// How much room it takes; one that is larger than all of it waits until it has all of it.
fn cost(message: &Message) -> u32 {
    let cost = EACH + message.topic.len() + message.payload.len();
    u32::try_from(cost.min(ROOM)).unwrap_or(u32::MAX)
}
