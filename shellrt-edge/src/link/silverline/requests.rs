//! What the orchestrator asks for, put into orders for the supervisor, and what can't be done answered.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;
use shellrt_api::v0::config::wasm;
use shellrt_api::v0::logs::Stream;
use tokio::sync::mpsc;

use super::dialect::{Dialect, Text};
use super::incoming::{Create, Delete, Problem};
use super::launcher;
use super::messages::{Message, Messages};
use super::reports::{DeleteNote, Note, Reports, CROSSING};
use super::stdio;
use crate::causes::chain;
use crate::mqtt::{self, Mqtt};
use crate::order::{name_of, Handling, Order};
use crate::settings::silverline::Settings;
use crate::store::Store;
use crate::supervisor::{Refused, Stage, Supervisor};

/// How many answers wait for the broker. More than that are dropped, because whoever asks without
/// listening must not fill the memory.
const ANSWERS: usize = 4096;

/// Carries out requests.
pub struct Requests {
    settings: Arc<Settings>,
    messages: Arc<Messages>,
    reports: Reports,
    supervisor: Supervisor,
    store: Store,
    answers: mpsc::Sender<Message>,
    counters: Arc<Counters>,
    /// When the orchestrator answered the last registration.
    registered: Option<Instant>,
}

/// What was done so far.
#[derive(Debug, Default)]
pub struct Counters {
    /// Modules that were ordered.
    pub creates: AtomicU64,
    /// Modules that were deleted.
    pub deletes: AtomicU64,
    /// Requests that could not be carried out.
    pub refused: AtomicU64,
    /// Answers that were dropped.
    pub dropped: AtomicU64,
    /// Registrations that were answered.
    pub registrations: AtomicU64,
}

/// One more.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Requests {
    /// Orders from `supervisor`, whose reports go to `reports`.
    pub fn new(
        settings: Arc<Settings>,
        messages: Arc<Messages>,
        reports: Reports,
        supervisor: Supervisor,
        store: Store,
        mqtt: Mqtt,
    ) -> Requests {
        let (answers, mut waiting) = mpsc::channel::<Message>(ANSWERS);
        // The link's loop must not wait for the broker: it takes what comes from there.
        tokio::spawn(async move {
            while let Some(message) = waiting.recv().await {
                let payload = message.payload();
                let topic = message.topic;
                // That it is queued is enough.
                drop(mqtt.publish(mqtt::Message { topic, payload }).await);
            }
        });
        Requests {
            settings,
            messages,
            reports,
            supervisor,
            store,
            answers,
            counters: Arc::default(),
            registered: None,
        }
    }

    /// What was done so far.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// The orchestrator has answered a registration, and may send once more what should run here.
    pub fn registered(&mut self) {
        count(&self.counters.registrations);
        self.registered = Some(Instant::now());
    }

    /// From now on programs are started as these settings say.
    pub fn set(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
    }

    /// Publishes, and waits for nothing.
    pub fn send(&self, message: Message) {
        let topic = message.topic.clone();
        if self.answers.try_send(message).is_err() {
            count(&self.counters.dropped);
            log::warn!("too many answers wait for the broker; one for {topic:?} is dropped");
        }
    }

    /// Tells that something can't be done.
    pub fn complain(&self, problem: &Problem) {
        count(&self.counters.refused);
        log::warn!("{}: {}", problem.desc, problem.data);
        if let Some(message) = self.messages.error(problem) {
            self.send(message);
        }
    }

    /// A module is to run.
    pub async fn create(&self, create: Create) {
        let is_resent = self.messages.identity().dialect == Dialect::Manager;
        if is_resent {
            let just_registered = self.registered.is_some_and(|at| at.elapsed() < CROSSING);
            let has_ended = match just_registered {
                true => self.reports.may_cross(&create.uuid),
                false => self.reports.is_ending(&create.uuid),
            };
            if has_ended || self.is_alive(&create.uuid).await {
                return self.resent(&create);
            }
        }
        let (order, note) = match self.order(&create) {
            Ok(order) => order,
            Err(problem) => {
                let note = self.reports.expect(&create, None);
                return self.refuse(&create.uuid, &note, &problem);
            }
        };
        let problem = match self.supervisor.create(order).await {
            Ok(()) => return count(&self.counters.creates),
            Err(Refused::Exists(_)) if is_resent => {
                self.reports.expect_no_more(&note);
                return self.resent(&create);
            }
            Err(Refused::Exists(id)) => {
                Problem::new("invalid uuid", format!("Module {id} already exists"))
            }
            Err(refused @ Refused::Full(_)) => Problem::new("max_nmodules", refused.to_string()),
            Err(refused) => Problem::new("error in launcher", refused.to_string()),
        };
        self.refuse(&create.uuid, &note, &problem);
    }

    /// After a registration that orchestrator sends once more what should run here.
    fn resent(&self, create: &Create) {
        log::info!("module {:?} is asked for once more", create.uuid);
    }

    fn refuse(&self, id: &str, note: &Note, problem: &Problem) {
        count(&self.counters.refused);
        log::warn!("module {id:?}: {}: {}", problem.desc, problem.data);
        for message in self.reports.refuse(id, note, problem) {
            self.send(message);
        }
        self.reports.expect_no_more(note);
    }

    fn order(&self, create: &Create) -> Result<(Order, Note), Problem> {
        let dir = self.store.files(&name_of(&create.uuid));
        let plan = self.plan(create, &dir)?;
        let is_wasm = plan.spec.config_type == wasm::CONFIG_TYPE;
        let note = self.reports.expect(create, plan.files);
        let order = Order {
            id: create.uuid.clone(),
            spec: plan.spec,
            handling: self.handling(plan.handling, is_wasm),
            note: note.to_value(),
        };
        Ok((order, note))
    }

    fn plan(&self, create: &Create, dir: &Path) -> Result<launcher::Plan, Problem> {
        let member = |key: &str| create.data.get(key).cloned().unwrap_or(Value::Null);
        let program = launcher::Program {
            uuid: create.uuid.clone(),
            name: create.name.clone(),
            file: create.file.clone(),
            location: create.location.clone(),
            filetype: create.filetype.clone(),
            args: member("args"),
            env: member("env"),
            apis: member("apis"),
            resources: member("resources"),
            fault_crash: member("fault_crash"),
        };
        launcher::plan(&self.settings, &program, dir)
            .map_err(|error| Problem::new("error in launcher", chain(&error)))
    }

    /// How a module is handled, where that depends on the dialect or the kind of module.
    fn handling(&self, mut handling: Handling, is_wasm: bool) -> Handling {
        let dialect = self.messages.identity().dialect;
        handling.streams = match (self.settings.launcher.pipe_stdout, dialect) {
            (false, _) => Vec::new(),
            // One topic, which has room for one stream.
            (true, Dialect::Manager) => vec![Stream::Stdout],
            (true, _) => vec![Stream::Stdout, Stream::Stderr],
        };
        handling.text = dialect.words().output == Text::Json;
        handling.attach = false;
        if is_wasm {
            // WebAssembly has no signals: most programs can't hear that they should end, and the others
            // are quick.
            handling.stop_timeout.get_or_insert(1);
        }
        handling
    }

    /// A module is to end, which is called by its uuid, or by its name where only one has it.
    pub async fn delete(&self, delete: Delete) {
        let note = DeleteNote::of(&delete);
        let mut deleted = self.supervisor.delete(&delete.module, note.clone()).await;
        if deleted.is_err() {
            if let Some(id) = self.named(&delete.module).await {
                deleted = self.supervisor.delete(&id, note).await;
            }
        }
        match deleted {
            Ok(()) => count(&self.counters.deletes),
            // Another runtime's, or the orchestrator is about to hear that it has ended.
            Err(_) if !delete.is_ours || self.reports.is_ending(&delete.module) => {}
            Err(_) => {
                let problem = format!("Module {} does not exist", delete.module);
                self.complain(&Problem::new("invalid uuid", problem));
            }
        }
    }

    async fn is_alive(&self, id: &str) -> bool {
        let views = self.supervisor.modules().await;
        let mut alive = views.iter().filter(|view| view.stage != Stage::Ended);
        alive.any(|view| view.order.id == id)
    }

    /// The only living module with that name.
    async fn named(&self, name: &str) -> Option<String> {
        let views = self.supervisor.modules().await;
        let alive = views.iter().filter(|view| view.stage != Stage::Ended);
        let mut named = alive.filter(|view| Note::of(&view.order).name == name);
        let found = named.next()?;
        match named.next() {
            None => Some(found.order.id.clone()),
            Some(_) => {
                log::warn!("several modules are called {name:?}; use a uuid");
                None
            }
        }
    }

    /// Something is meant for the stdin of the module `id`.
    pub async fn input(&self, id: &str, payload: Bytes) {
        self.reports.is_active(id);
        let Some(bytes) = stdio::input(self.messages.identity().dialect, payload) else {
            return self.complain(&Problem::invalid_json(format!("stdin of module {id}")));
        };
        if let Err(refused) = self.supervisor.input(id, bytes).await {
            log::warn!("{refused}");
        }
    }
}
