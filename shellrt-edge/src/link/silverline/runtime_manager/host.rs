//! Hosting one runtime: its registration, the numbers of its modules, and what they say and hear.
//!
//! ```text
//! starting -> serving -> ended -> (pause) -> starting
//!     any of them -- told to end --> stopped
//! ```
//!
//! What the runtime tells goes to the broker in its order, one after the other; while that waits, nothing
//! more is taken from the runtime, but commands are, so that two runtimes never wait for each other.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::OptionFuture;
use futures_util::FutureExt;
use serde_json::{json, Map, Value};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::modules::{self, Modules};
use super::node::{Command, Node};
use super::register::Registration;
use super::runtime_log::RuntimeLog;
use crate::link::silverline::envelope;
use crate::link::silverline::runtime::{Place, Runtime};
use crate::link::silverline::slsocket::ToRuntime;
use crate::mqtt::Message;
use crate::policy;

/// How long a runtime must have run so that its end is not one failure more in a row.
const SOUND: Duration = Duration::from_secs(60);

/// How long the broker may take to hear of the end.
const LAST_MOMENT: Duration = Duration::from_secs(3);

/// How many messages of the manager's own may wait for the broker.
const OUTBOX: usize = 1024;

/// What goes on while other things are done.
pub(super) type Going = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One runtime.
pub struct Host<R> {
    pub(super) runtime: R,
    pub(super) node: Arc<Node>,
    pub(super) place: Place,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) ending: watch::Receiver<bool>,
    pub(super) log: RuntimeLog,
    pub(super) metadata: Map<String, Value>,
    pub(super) modules: Modules,
    pub(super) outbox: VecDeque<Message>,
}

/// Why serving is over.
#[derive(Debug, PartialEq, Eq)]
enum Over {
    /// The runtime has ended.
    Ended,
    /// The manager ends.
    Told,
}

impl<R: Runtime> Host<R> {
    /// Until the manager ends.
    pub async fn run(mut self) {
        let mut failures = 0;
        loop {
            let begun = Instant::now();
            let Some(started) = self.start().await else {
                return;
            };
            match started {
                Ok(data) => {
                    if self.serve(data).await == Over::Told {
                        return;
                    }
                    log::error!("runtime {:?} has ended", self.place.name);
                }
                Err(why) => log::error!("runtime {:?}: {why}", self.place.name),
            }
            if begun.elapsed() >= SOUND {
                failures = 0;
            }
            failures += 1;
            let pause = policy::pause(failures);
            if self.unless_told(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Starts the runtime; answers what is said when it registers, and nothing where the manager ends.
    async fn start(&mut self) -> Option<Result<Map<String, Value>, String>> {
        let mut ending = self.ending.clone();
        let started = tokio::select! {
            started = self.runtime.start(&self.place) => started,
            () = told_to_end(&mut ending) => {
                self.runtime.stop().await;
                return None;
            }
        };
        let more = match started {
            Ok(more) => more,
            Err(error) => return Some(Err(error.chain())),
        };
        let data = json!({
            "type": "runtime",
            "uuid": self.place.uuid,
            "name": self.place.name,
            "runtime_type": self.runtime.runtime_type(),
            "max_nmodules": self.runtime.max_modules(),
            "apis": self.runtime.apis(),
            "parent": self.node.uuid,
        });
        let mut data = data.as_object().cloned().unwrap_or_default();
        data.extend(self.metadata.clone());
        data.extend(more);
        Some(Ok(data))
    }

    /// As long as the runtime runs.
    async fn serve(&mut self, data: Map<String, Value>) -> Over {
        for data in self.runtime.running() {
            self.adopt(&data);
        }
        let node = Arc::clone(&self.node);
        let registration = Registration {
            what: format!("runtime {:?}", self.place.name),
            topic: node.topic("reg", &self.place.uuid),
            data,
            waits_for_manager: true,
        };
        // Revived modules come right behind the answer.
        let control = node.topic("control", &self.place.uuid);
        let (answers, mut details) = mpsc::channel(1);
        let tried = watch::Sender::new(0);
        let registered = async {
            node.subscribe(&control).await;
            node.subscribe(&registration.topic).await;
            registration.keep(&node, &answers, &tried).await;
        };
        let mut going: Option<Going> = None;
        let over = {
            tokio::pin!(registered);
            let mut ending = self.ending.clone();
            loop {
                if going.is_none() {
                    going = self.next_going();
                }
                let is_free = going.is_none();
                tokio::select! {
                    () = told_to_end(&mut ending) => break Over::Told,
                    () = &mut registered => break Over::Told,
                    Some(()) = OptionFuture::from(going.as_mut()) => going = None,
                    Some(details) = details.recv() => self.runtime.registered(&details),
                    Some(command) = self.commands.recv() => self.command(command).await,
                    message = self.runtime.receive(), if is_free => match message {
                        Some(message) => going = self.told(message).await,
                        None => break Over::Ended,
                    },
                }
            }
        };
        if timeout(LAST_MOMENT, self.finish(going)).await.is_err() {
            self.warn("not all of what was told has reached the broker");
        }
        self.runtime.stop().await;
        node.channels(|channels| channels.close_runtime(usize::from(self.place.index)));
        self.modules = Modules::default();
        self.outbox.clear();
        match over {
            Over::Ended => {
                // The next registration is behind this in the queue, and brings the modules back.
                let ended = registration.end(&node);
                if self.unless_told(ended).await.is_none() {
                    return Over::Told;
                }
            }
            Over::Told => {
                if timeout(LAST_MOMENT, registration.end(&node)).await.is_err() {
                    log::warn!("{} could not be unregistered", registration.what);
                }
            }
        }
        over
    }

    /// Waits, unless the manager ends, and ignores meanwhile what comes for a runtime that does not run: the
    /// orchestrator sends it again when that is registered.
    async fn unless_told<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                () = told_to_end(&mut self.ending) => return None,
                Some(_) = self.commands.recv() => {}
            }
        }
    }

    /// What was told already goes out.
    async fn finish(&mut self, going: Option<Going>) {
        if let Some(going) = going {
            going.await;
        }
        while let Some(going) = self.next_going() {
            going.await;
        }
        while let Some(Some(message)) = self.runtime.receive().now_or_never() {
            if let Some(going) = self.told(message).await {
                going.await;
            }
        }
    }

    fn next_going(&mut self) -> Option<Going> {
        let message = self.outbox.pop_front()?;
        let node = Arc::clone(&self.node);
        Some(Box::pin(async move {
            drop(node.mqtt.publish(message).await);
        }))
    }

    fn adopt(&mut self, data: &Map<String, Value>) {
        let index = data.get("index").and_then(Value::as_u64);
        let index = index.and_then(|index| u8::try_from(index).ok());
        if let (Some(index), Some(module)) = (index, module_of(data)) {
            log::info!("module {:?} runs already", module.uuid);
            self.modules.adopt(index, module);
        }
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Control(payload) => self.control(&payload).await,
            Command::Receive(id, payload) => {
                let message = ToRuntime::Receive {
                    module: id.module,
                    channel: id.channel,
                    payload,
                };
                if let Err(error) = self.runtime.send(message).await {
                    self.warn(&error.chain());
                }
            }
        }
    }

    /// What the orchestrator wants.
    async fn control(&mut self, payload: &[u8]) {
        let Ok(message) = envelope::decode(payload) else {
            return self.warn("what came on the control topic is no JSON object");
        };
        if message.kind.as_deref().is_some_and(|kind| kind != "req") {
            return;
        }
        let kind = message.data.get("type").and_then(Value::as_str);
        match (message.action.as_deref(), kind.unwrap_or("module")) {
            (Some("create"), "module") => self.create(message.data).await,
            (Some("delete"), "module") => {
                let who = message.data.get("uuid").and_then(Value::as_str);
                let index = who.and_then(|who| self.modules.find(who));
                match index {
                    Some(index) => {
                        if let Err(error) = self.runtime.delete_module(index).await {
                            self.warn(&error.chain());
                        }
                    }
                    None => self.warn(&format!("there is no module {who:?} to delete")),
                }
            }
            // Its own, where the broker sends it back.
            (Some("exited"), _) => {}
            (action, kind) => self.warn(&format!("{action:?} of a {kind:?} is not for a runtime")),
        }
    }

    async fn create(&mut self, mut data: Map<String, Value>) {
        let Some(module) = module_of(&data) else {
            return self.warn("a module without a uuid can't be created");
        };
        let uuid = module.uuid.clone();
        let index = match self.modules.insert(module, self.runtime.max_modules()) {
            Ok(index) => index,
            // Sent once more after a registration.
            Err(modules::Error::Exists(uuid)) => {
                return log::info!("module {uuid:?} runs already");
            }
            Err(error @ modules::Error::Full(_)) => {
                return self.refuse(&uuid, &error.to_string());
            }
        };
        data.insert("index".to_owned(), json!(index));
        match self.runtime.create_module(index, data).await {
            Ok(()) => log::info!("module {uuid:?} is number {index} of {:?}", self.place.name),
            Err(error) => {
                self.modules.remove(index);
                self.refuse(&uuid, &error.chain());
            }
        }
    }

    /// A module that was never there is over.
    fn refuse(&mut self, uuid: &str, why: &str) {
        self.warn(&format!("module {uuid:?} can't be created: {why}"));
        let mut report = Map::new();
        report.insert("status".to_owned(), json!("exited"));
        report.insert("error".to_owned(), json!(why));
        let message = self.exited(uuid, report);
        if self.outbox.len() < OUTBOX {
            self.outbox.push_back(message);
        } else {
            self.warn("too much waits for the broker; the orchestrator does not hear of that");
        }
    }

    pub(super) fn warn(&self, text: &str) {
        log::warn!("runtime {:?}: {text}", self.place.name);
    }
}

/// Returns when the manager ends, or is not there any more.
async fn told_to_end(ending: &mut watch::Receiver<bool>) {
    let _ = ending.wait_for(|ending| *ending).await;
}

fn module_of(data: &Map<String, Value>) -> Option<modules::Module> {
    let text = |key| data.get(key).and_then(Value::as_str);
    Some(modules::Module {
        uuid: text("uuid").filter(|uuid| !uuid.is_empty())?.to_owned(),
        name: text("name").unwrap_or_default().to_owned(),
    })
}
