//! The runtime manager: one client of the broker that hosts several runtimes, as upstream's `start.py` does.
//!
//! It registers itself and its runtimes, gives their modules numbers, and carries what these read and write
//! on their channels. A runtime is whatever implements [`Runtime`].

pub mod args;
pub mod config;
mod host;
mod modules;
mod node;
mod register;
mod runtime_log;
mod told;

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{json, Map, Value};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::config::Config;
use self::host::Host;
use self::modules::Modules;
use self::node::{request, Command, Node};
use self::register::Registration;
use self::runtime_log::RuntimeLog;
use super::envelope;
use super::runtime::{Place, Runtime};
use crate::mqtt::{self, Event, Message, Mqtt};

/// How many commands wait for a runtime; then the broker waits.
const COMMANDS: usize = 256;

/// How long the runtimes may take to end.
const END_TIME: Duration = Duration::from_secs(30);

/// How long the broker may take to hear of the end.
const LAST_MOMENT: Duration = Duration::from_secs(3);

/// Why there is no manager.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its settings are wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// No broker can be reached with these settings.
    #[error(transparent)]
    Mqtt(#[from] mqtt::Error),
    /// The log of a runtime can't be written.
    #[error("the log {path:?} can't be written")]
    Log {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Frames and files have one byte for the index of a runtime.
    #[error("there are 256 runtimes already, which is the most there may be")]
    TooMany,
}

/// A manager.
pub struct RuntimeManager {
    node: Arc<Node>,
    events: mpsc::Receiver<Event>,
    metadata: Map<String, Value>,
    /// Where the logs of runtimes go as files.
    log_dir: Option<PathBuf>,
    ending: watch::Sender<bool>,
    hosts: JoinSet<()>,
    /// The topics of each runtime: of its control, and of its registration.
    topics: Vec<(String, String)>,
}

impl RuntimeManager {
    /// Starts to connect, as `name` and with `uuid`.
    ///
    /// # Errors
    /// Where no connection is possible with these settings.
    pub fn connect(config: &Config, name: &str, uuid: &str) -> Result<RuntimeManager, Error> {
        let data = json!({"type": "manager", "uuid": uuid, "name": name});
        let (_, payload) = request("delete", data.as_object().cloned().unwrap_or_default());
        let topic = format!("{}/proc/reg/{uuid}", config.realm);
        // It covers the runtimes too: the orchestrator knows whose they are.
        let will = Message { topic, payload };
        let (mqtt, events) = Mqtt::connect(config.broker(name, uuid)?, Some(will))?;
        let (realm, name) = (config.realm.clone(), name.to_owned());
        Ok(RuntimeManager {
            node: Arc::new(Node::new(mqtt, realm, uuid.to_owned(), name)),
            events,
            metadata: config.metadata(),
            log_dir: None,
            ending: watch::Sender::new(false),
            hosts: JoinSet::new(),
            topics: Vec::new(),
        })
    }

    /// The logs of the runtimes that are hosted from now on also go to files in `dir`.
    pub fn log_to(&mut self, dir: PathBuf) {
        self.log_dir = Some(dir);
    }

    /// What the connection has done so far.
    pub fn counters(&self) -> impl Fn() -> mqtt::Counters + Send + Sync + 'static {
        let node = Arc::clone(&self.node);
        move || node.mqtt.counters()
    }

    /// Hosts one more runtime, as `name` and with `uuid`, until the manager ends.
    ///
    /// # Errors
    /// Where there are too many, or its log can't be written.
    pub fn host<R: Runtime>(&mut self, runtime: R, name: &str, uuid: &str) -> Result<(), Error> {
        let log = self.log_dir.as_ref().map(|dir| {
            let file = name.replace(['/', '\0'], "_");
            dir.join(format!("{file}.log"))
        });
        let opened = RuntimeLog::open(name, log.as_deref()).map_err(|source| Error::Log {
            path: log.clone().unwrap_or_default(),
            source,
        })?;
        let (inbox, commands) = mpsc::channel(COMMANDS);
        let index = u8::try_from(self.topics.len()).map_err(|_| Error::TooMany)?;
        self.node.add(inbox);
        let topics = (
            self.node.topic("control", uuid),
            self.node.topic("reg", uuid),
        );
        self.topics.push(topics);
        let host = Host {
            runtime,
            node: Arc::clone(&self.node),
            place: Place {
                index,
                uuid: uuid.to_owned(),
                name: name.to_owned(),
                log,
            },
            commands,
            ending: self.ending.subscribe(),
            log: opened,
            metadata: self.metadata.clone(),
            modules: Modules::default(),
            outbox: VecDeque::new(),
        };
        self.hosts.spawn(host.run());
        Ok(())
    }

    /// Serves until `end` is over. Then the runtimes are stopped, and the orchestrator is told.
    pub async fn run(mut self, end: impl Future<Output = ()>) {
        let node = Arc::clone(&self.node);
        let data = json!({"type": "manager", "uuid": node.uuid, "name": node.name});
        let registration = Registration {
            what: format!("manager {:?}", node.name),
            topic: node.topic("reg", &node.uuid),
            data: data.as_object().cloned().unwrap_or_default(),
            waits_for_manager: false,
        };
        {
            let (answers, mut details) = mpsc::channel(1);
            let unused = async { while details.recv().await.is_some() {} };
            let registered = async {
                node.subscribe(&registration.topic).await;
                registration.keep(&node, &answers, &node.registered).await;
            };
            tokio::pin!(end, unused, registered);
            let own = registration.topic.clone();
            let route = Self::route(&node, &mut self.events, &self.topics, &own);
            // It goes on until the end, so that whoever waits for the broker's answers gets them.
            let background = async { tokio::join!(route, node.follow_channels()) };
            tokio::pin!(background);
            tokio::select! {
                () = &mut end => {}
                () = &mut unused => {}
                () = &mut registered => {}
                _ = &mut background => {}
            }
            log::info!("ending");
            self.ending.send_replace(true);
            let goodbye = async {
                let hosts = async { while self.hosts.join_next().await.is_some() {} };
                if timeout(END_TIME, hosts).await.is_err() {
                    log::warn!("not all runtimes have ended in time");
                }
                if timeout(LAST_MOMENT, registration.end(&node)).await.is_err() {
                    log::warn!("the manager could not be unregistered");
                }
            };
            tokio::select! {
                () = goodbye => {}
                _ = &mut background => {}
            }
        }
        // Nobody takes events any more.
        drop(self.events);
        node.mqtt.close().await;
    }

    /// Gives what comes from the broker to whom it is for, for ever.
    async fn route(
        node: &Node,
        events: &mut mpsc::Receiver<Event>,
        topics: &[(String, String)],
        own: &str,
    ) {
        while let Some(event) = events.recv().await {
            match event {
                Event::Connected => {
                    node.connection.send_modify(|connection| {
                        connection.is_up = true;
                        connection.number += 1;
                    });
                }
                Event::Disconnected => {
                    node.connection
                        .send_modify(|connection| connection.is_up = false);
                }
                Event::Message(message) => {
                    let topic = &message.topic;
                    if topic == own || topics.iter().any(|(_, reg)| reg == topic) {
                        match envelope::decode(&message.payload) {
                            Ok(envelope) => node.answered(envelope),
                            Err(_) => log::warn!("what came on {topic:?} is no JSON object"),
                        }
                    } else if let Some(at) = topics.iter().position(|(it, _)| it == topic) {
                        let command = Command::Control(message.payload.clone());
                        node.command(at, command).await;
                    }
                    node.receive(&message).await;
                }
            }
        }
    }
}
