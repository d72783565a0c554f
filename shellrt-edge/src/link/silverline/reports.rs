//! What the orchestrator hears of modules: each report is published, and is over when the broker has it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shellrt_api::v0::logs::Stream;
use uuid::Uuid;

use super::files;
use super::incoming::{Create, Delete, Problem};
use super::messages::{Message, Messages, Module};
use super::stdio;
use super::topics::Place;
use crate::causes::chain;
use crate::mqtt::{self, Mqtt};
use crate::order::{End, Failure, Order, Reason, Step};
use crate::plugin::{Input, Output};
use crate::store::{Modules, Store};
use crate::supervisor::{Link, Reported};

/// What is remembered of a module over the end of the daemon. It lies on the disk, so what may be secret
/// is not in it: variables and arguments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// The number of the request that it runs for.
    pub object_id: String,
    /// Its name.
    pub name: String,
    /// Its program's file, and its folder where that was said apart.
    pub file: String,
    /// What kind of program it is, where that was said.
    pub filetype: Option<String>,
    /// Its scene, with the namespace in front.
    pub scene: String,
    /// The request, but for what may be secret.
    pub data: Map<String, Value>,
    /// The name of its `Ware`, as long as the daemon lives that took the request.
    pub ware: String,
}

/// What is remembered of a request to end a module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteNote {
    /// The request's number.
    pub object_id: String,
    /// The request.
    pub data: Map<String, Value>,
}

/// How long messages take at most that cross each other between here and the orchestrator.
pub const CROSSING: Duration = Duration::from_secs(5);

/// The members of a request that may be secret.
const SECRET: [&str; 2] = ["env", "args"];

/// What a module needs to begin, and no disk should have.
#[derive(Debug, Default)]
struct Ware {
    /// The files to fetch for it.
    files: Option<files::Wanted>,
    /// The whole request.
    data: Map<String, Value>,
}

impl Note {
    /// The note of a module; nothing in it where that can't be read.
    pub fn of(order: &Order) -> Note {
        Note::deserialize(&order.note).unwrap_or_default()
    }

    /// The same for the order.
    pub fn to_value(&self) -> Value {
        // It has text for keys and nothing that can fail.
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl DeleteNote {
    /// The note of `delete`.
    pub fn of(delete: &Delete) -> Value {
        let note = DeleteNote {
            object_id: delete.object_id.clone(),
            data: delete.data.clone(),
        };
        // As above.
        serde_json::to_value(note).unwrap_or_default()
    }
}

/// Reports to one orchestrator. Clones are the same reporter.
#[derive(Clone)]
pub struct Reports {
    messages: Arc<Messages>,
    mqtt: Mqtt,
    store: Store,
    known: Arc<Mutex<Known>>,
}

/// What is known of modules as long as the daemon lives.
#[derive(Default)]
struct Known {
    wares: BTreeMap<String, Ware>,
    /// Whose input comes in on a topic.
    inputs: BTreeMap<String, InputOf>,
    /// When something went over a module's topics last.
    active: BTreeMap<String, Timestamp>,
    /// Whose end is on its way to the orchestrator.
    ending: BTreeMap<String, usize>,
    /// Whose end it has, and since when.
    ended: BTreeMap<String, Instant>,
}

/// Whose input it is.
#[derive(Default)]
struct InputOf {
    id: String,
    /// For which lives of that id: one may be leaving while the next one comes.
    wares: BTreeSet<String>,
}

impl Reports {
    /// Reports in the words of `messages`.
    pub fn new(messages: Arc<Messages>, mqtt: Mqtt, store: Store) -> Reports {
        Reports {
            messages,
            mqtt,
            store,
            known: Arc::default(),
        }
    }

    /// Keeps what a module will need that is about to be ordered. Answers its note.
    pub fn expect(&self, create: &Create, files: Option<files::Wanted>) -> Note {
        let mut data = create.data.clone();
        data.retain(|key, _| !SECRET.contains(&key.as_str()));
        let note = Note {
            object_id: create.object_id.clone(),
            name: create.name.clone(),
            file: create.file.clone(),
            filetype: create.filetype.clone(),
            scene: create.scene.clone(),
            data,
            ware: number(),
        };
        let ware = Ware {
            files,
            data: create.data.clone(),
        };
        self.known().wares.insert(note.ware.clone(), ware);
        note
    }

    /// The module that was expected will not be.
    pub fn expect_no_more(&self, note: &Note) {
        self.known().wares.remove(&note.ware);
    }

    /// From now on the input of the modules is heard that are remembered.
    pub async fn hear_remembered(&self, modules: &Modules) {
        for name in modules.names() {
            if let Some(record) = modules.recall(&name) {
                let note = Note::deserialize(&record.note).unwrap_or_default();
                self.hear(&record.id, &note).await;
            }
        }
    }

    /// From now on the input of the module `id` is heard.
    async fn hear(&self, id: &str, note: &Note) {
        let topic = self.messages.topics().input(place(id, note));
        {
            let mut known = self.known();
            let input = known.inputs.entry(topic.clone()).or_default();
            input.id = id.to_owned();
            input.wares.insert(note.ware.clone());
        }
        self.mqtt.subscribe(&topic).await;
    }

    async fn hear_no_more(&self, id: &str, note: &Note) {
        let topic = self.messages.topics().input(place(id, note));
        {
            let mut known = self.known();
            let Some(input) = known.inputs.get_mut(&topic) else {
                return;
            };
            input.wares.remove(&note.ware);
            if !input.wares.is_empty() {
                return;
            }
            known.inputs.remove(&topic);
            known.active.remove(id);
        }
        self.mqtt.unsubscribe(&topic).await;
    }

    /// The module whose input comes in on `topic`.
    pub fn hears(&self, topic: &str) -> Option<String> {
        let known = self.known();
        known.inputs.get(topic).map(|input| input.id.clone())
    }

    /// Something goes over the topics of the module `id`.
    pub fn is_active(&self, id: &str) {
        self.known().active.insert(id.to_owned(), Timestamp::now());
    }

    /// When something went over its topics last.
    pub fn active(&self, id: &str) -> Option<Timestamp> {
        self.known().active.get(id).copied()
    }

    /// Whether the end of the module `id` is on its way to the orchestrator.
    pub fn is_ending(&self, id: &str) -> bool {
        self.known().ending.contains_key(id)
    }

    /// Whether the end of the module `id` may not have been known to the orchestrator when it sent what
    /// comes in now.
    pub fn may_cross(&self, id: &str) -> bool {
        let known = self.known();
        let at = known.ended.get(id);
        known.ending.contains_key(id) || at.is_some_and(|at| at.elapsed() < CROSSING)
    }

    /// Publishes, and waits until the broker has it.
    async fn report(&self, message: Option<Message>) {
        if let Some(message) = message {
            self.queue(message).await.await;
        }
    }

    async fn queue(&self, message: Message) -> Reported {
        let payload = message.payload();
        let topic = message.topic;
        self.mqtt.publish(mqtt::Message { topic, payload }).await
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // What panics with it leaves it whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole request, as far as it is known.
    fn data(&self, note: &Note) -> Map<String, Value> {
        let known = self.known();
        let whole = known.wares.get(&note.ware).map(|ware| ware.data.clone());
        whole.unwrap_or_else(|| note.data.clone())
    }

    /// Tells everybody whom it may concern that the module of `note` will not run.
    pub fn refuse(&self, id: &str, note: &Note, problem: &Problem) -> Vec<Message> {
        let place = place(id, note);
        let data = self.data(note);
        let answer = self
            .messages
            .refuse(place, &note.object_id, "create", data, problem);
        let messages = [
            self.messages.error(problem),
            answer,
            self.messages.never_ran(&number(), place, problem),
        ];
        messages.into_iter().flatten().collect()
    }
}

/// A fresh number for a request.
pub fn number() -> String {
    Uuid::new_v4().to_string()
}

fn place<'a>(id: &'a str, note: &'a Note) -> Place<'a> {
    Place {
        uuid: id,
        scene: &note.scene,
    }
}

impl Link for Reports {
    async fn prepare(&self, order: &mut Order) -> Result<(), Failure> {
        let note = Note::of(order);
        // Before it is confirmed, so that nothing is lost of what comes right behind that.
        self.hear(&order.id, &note).await;
        let files = {
            let mut known = self.known();
            let ware = known.wares.get_mut(&note.ware);
            ware.and_then(|ware| ware.files.take())
        };
        let Some(files) = files else { return Ok(()) };
        let dir = self.store.files(&order.name());
        let fetched = files::fetch(&files, &dir).await;
        fetched.map_err(|error| Failure {
            step: Step::Prepare,
            message: chain(&error),
        })
    }

    fn attached(&self, order: &Order, _: Input, _: Output) -> impl Future<Output = ()> + Send {
        // No order of this link asks for it: what a module says lies in its log.
        log::debug!("module {:?} is attached to", order.id);
        std::future::ready(())
    }

    async fn started(&self, order: &Order) {
        let note = Note::of(order);
        let data = self.data(&note);
        let place = place(&order.id, &note);
        let answer = self
            .messages
            .confirm(place, &note.object_id, "create", data);
        self.report(answer).await;
    }

    async fn failed(&self, order: &Order, failure: &Failure) {
        let name = match failure.step {
            Step::Prepare => "error getting program file",
            Step::Pull | Step::Create | Step::Start => "error in launcher",
        };
        let problem = Problem::new(name, failure.message.as_str());
        for message in self.refuse(&order.id, &Note::of(order), &problem) {
            self.report(Some(message)).await;
        }
    }

    async fn output(&self, order: &Order, stream: Stream, bytes: Bytes) -> Reported {
        self.is_active(&order.id);
        let note = Note::of(order);
        let topics = self.messages.topics();
        let topic = topics.output(place(&order.id, &note), stream);
        let payload = stdio::output(self.messages.identity().dialect, bytes);
        self.mqtt.publish(mqtt::Message { topic, payload }).await
    }

    async fn ended(&self, order: &Order, end: &End) {
        let note = Note::of(order);
        let place = place(&order.id, &note);
        let answer = match &end.reason {
            Reason::Deleted(request) => {
                let request = DeleteNote::deserialize(request).unwrap_or_default();
                let (object_id, data) = (&request.object_id, request.data);
                self.messages.confirm(place, object_id, "delete", data)
            }
            Reason::Itself | Reason::Idle | Reason::Shutdown => None,
        };
        let exit_code = end.status.as_ref().and_then(|status| status.exit_code);
        let module = Module {
            place,
            name: &note.name,
        };
        let message = answer.unwrap_or_else(|| {
            let failed = exit_code.filter(|code| *code != 0);
            self.messages.ended(&number(), module, failed)
        });
        *self.known().ending.entry(order.id.clone()).or_default() += 1;
        self.report(Some(message)).await;
        let mut known = self.known();
        let left = known.ending.get_mut(&order.id).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            known.ending.remove(&order.id);
        }
        known.ended.retain(|_, at| at.elapsed() < CROSSING);
        known.ended.insert(order.id.clone(), Instant::now());
    }

    async fn gone(&self, order: &Order) {
        let note = Note::of(order);
        self.expect_no_more(&note);
        self.hear_no_more(&order.id, &note).await;
        let dir = self.store.files(&order.name());
        match tokio::fs::remove_dir_all(&dir).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                log::warn!("{} can't be removed: {error}", dir.display());
            }
            _ => {}
        }
    }
}
