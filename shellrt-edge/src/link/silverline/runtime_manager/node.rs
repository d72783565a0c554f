//! What all runtimes of a manager share: the connection to the broker, the channels, and who waits for the
//! orchestrator's answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use serde_json::{json, Map, Value};
use tokio::sync::{mpsc, oneshot, watch};

use crate::link::silverline::channels::{self, Channels, Id};
use crate::link::silverline::envelope::Envelope;
use crate::mqtt::{Message, Mqtt};

/// What a hosted runtime is given to do.
#[derive(Debug)]
pub enum Command {
    /// Something came on its control topic.
    Control(Bytes),
    /// Something came for a channel of one of its modules.
    Receive(Id, Bytes),
}

/// Whether there is a connection, and which one in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connection {
    /// It is there now.
    pub is_up: bool,
    /// Counts connections, from 1.
    pub number: u64,
}

/// The shared part.
pub struct Node {
    /// The broker.
    pub mqtt: Mqtt,
    /// The first part of all topics.
    pub realm: String,
    /// The manager's uuid.
    pub uuid: String,
    /// The manager's name.
    pub name: String,
    /// The connection.
    pub connection: watch::Sender<Connection>,
    /// Over which connection the manager was registered last, so that its runtimes can be.
    pub registered: watch::Sender<u64>,
    channels: Mutex<Channels>,
    /// Counts the changes of the channels.
    changed: watch::Sender<u64>,
    /// Up to which of them the subscriptions are in step.
    followed: watch::Sender<u64>,
    answers: Mutex<BTreeMap<String, oneshot::Sender<Map<String, Value>>>>,
    inboxes: RwLock<Vec<mpsc::Sender<Command>>>,
    /// What the manager subscribes to for itself.
    own: Mutex<BTreeSet<String>>,
}

/// What panics while it holds such a lock leaves the tables as they were.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node {
    /// Nothing is there yet.
    pub fn new(mqtt: Mqtt, realm: String, uuid: String, name: String) -> Node {
        Node {
            mqtt,
            realm,
            uuid,
            name,
            connection: watch::Sender::default(),
            registered: watch::Sender::default(),
            channels: Mutex::default(),
            changed: watch::Sender::default(),
            followed: watch::Sender::default(),
            answers: Mutex::default(),
            inboxes: RwLock::default(),
            own: Mutex::default(),
        }
    }

    /// A topic of the protocol: `{realm}/proc/{what}/{uuid}`.
    pub fn topic(&self, what: &str, uuid: &str) -> String {
        format!("{}/proc/{what}/{uuid}", self.realm)
    }

    /// Subscribes for the manager itself.
    pub async fn subscribe(&self, topic: &str) {
        lock(&self.own).insert(topic.to_owned());
        self.mqtt.subscribe(topic).await;
    }

    /// Another runtime; answers its index.
    pub fn add(&self, inbox: mpsc::Sender<Command>) -> usize {
        let mut inboxes = self.inboxes.write().unwrap_or_else(PoisonError::into_inner);
        inboxes.push(inbox);
        inboxes.len() - 1
    }

    /// Looks at the channels, or changes them; subscriptions follow.
    pub fn channels<T>(&self, work: impl FnOnce(&mut Channels) -> T) -> T {
        let mut channels = lock(&self.channels);
        let done = work(&mut channels);
        self.changed.send_modify(|changed| *changed += 1);
        done
    }

    /// Returns when the broker knows what the channels read by now.
    pub async fn in_step(&self) {
        let now = *self.changed.borrow();
        let mut followed = self.followed.subscribe();
        // The manager ends where nobody follows any more.
        let _ = followed.wait_for(|followed| *followed >= now).await;
    }

    /// Where a module's publication goes: its topic, and the channels of other modules that read that.
    ///
    /// # Errors
    /// Where the channel is not open for that.
    pub fn publish(&self, from: Id) -> Result<(String, Vec<Id>), channels::Error> {
        let channels = lock(&self.channels);
        let (topic, readers) = channels.publish(from)?;
        Ok((topic.to_owned(), readers))
    }

    /// Gives a message to a channel, and waits while its runtime has too much to do.
    pub async fn deliver(&self, id: Id, payload: Bytes) {
        self.command(id.runtime, Command::Receive(id, payload))
            .await;
    }

    /// Gives a runtime something to do.
    pub async fn command(&self, runtime: usize, command: Command) {
        let inbox = {
            let inboxes = self.inboxes.read().unwrap_or_else(PoisonError::into_inner);
            inboxes.get(runtime).cloned()
        };
        if let Some(inbox) = inbox {
            // A runtime that has ended needs nothing.
            let _ = inbox.send(command).await;
        }
    }

    /// Passes on what came from the broker to the channels that read it.
    pub async fn receive(&self, message: &Message) {
        let readers = lock(&self.channels).readers(&message.topic);
        for id in readers {
            self.deliver(id, message.payload.clone()).await;
        }
    }

    /// The details of the answer to the request `object_id`, when it comes.
    pub fn answer_to(&self, object_id: &str) -> oneshot::Receiver<Map<String, Value>> {
        let (sender, receiver) = oneshot::channel();
        let mut answers = lock(&self.answers);
        // Who does not wait any more has dropped the other end.
        answers.retain(|_, sender| !sender.is_closed());
        answers.insert(object_id.to_owned(), sender);
        receiver
    }

    /// An answer has come. Whatever else comes there, its own requests for example, is none.
    pub fn answered(&self, envelope: Envelope) {
        if envelope.kind.as_deref() != Some("resp") {
            return;
        }
        let object_id = envelope.object_id.unwrap_or_default();
        let Some(waiting) = lock(&self.answers).remove(&object_id) else {
            return;
        };
        let mut data = envelope.data;
        if data.get("result").and_then(Value::as_str) != Some("ok") {
            log::error!("the orchestrator refuses: {}", Value::Object(data));
            return;
        }
        let details = match data.remove("details") {
            Some(Value::Object(details)) => details,
            _ => Map::new(),
        };
        // Who does not wait any more needs no answer.
        let _ = waiting.send(details);
    }

    /// Keeps what is subscribed to in step with the channels, for ever.
    pub async fn follow_channels(&self) {
        let mut there = BTreeSet::new();
        let mut changed = self.changed.subscribe();
        loop {
            let now = *changed.borrow_and_update();
            let mut wanted = lock(&self.channels).filters();
            {
                let own = lock(&self.own);
                wanted.retain(|filter| !own.contains(filter));
            }
            for filter in wanted.difference(&there) {
                self.mqtt.subscribe(filter).await;
            }
            for filter in there.difference(&wanted) {
                self.mqtt.unsubscribe(filter).await;
            }
            there = wanted;
            self.followed.send_replace(now);
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}

/// A request, with its number.
pub fn request(action: &str, data: Map<String, Value>) -> (String, Bytes) {
    let object_id = uuid::Uuid::new_v4().to_string();
    let body = json!({"object_id": object_id, "action": action, "type": "req", "data": data});
    (object_id, body.to_string().into())
}
