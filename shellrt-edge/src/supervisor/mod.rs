//! The supervisor: one task that owns the state of all modules of one link.
//!
//! A link orders modules and hears of them; it decides nothing about them. Each module has a task that
//! leads it through its life ([`life`]) and tells the supervisor at which stage it is. After a start of the
//! daemon the modules that are still there are found by their labels and led on.
//!
//! ```text
//! Preparing -> Running -> Ended -> gone
//!     |           |          ^
//!     |           v          |
//!     |        Stopping -----+
//!     +-- failed, or deleted before it ran --> gone
//! ```

mod life;
mod lines;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::Value;
use shellrt_api::v0::logs::Stream;
use shellrt_api::v0::{list, status, top};
use tokio::sync::{mpsc, oneshot, watch};

use crate::order::{self, End, Failure, Order, Reason};
use crate::plugin::{Input, Output, Plugins};
use crate::policy;
use crate::store::{Modules, Record};

pub use lines::Position;

/// How many messages wait for the supervisor.
const MESSAGES: usize = 256;

/// How often a plugin is asked for its modules until it answers, after the start of the daemon.
const ADOPTION_PAUSE: Duration = Duration::from_secs(5);

/// Resolves when the orchestrator has what was reported.
pub type Reported = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a link does with what it hears of its modules. Each module's reports come in order, and its life
/// goes on when the report is over: a link that waits until its orchestrator has it loses nothing.
pub trait Link: Send + Sync + 'static {
    /// Gets ready what the module needs: the program's files, for example. It may change what is run.
    fn prepare(&self, order: &mut Order) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The module is created and will be started: its stdin and stdout, where the order says `attach`.
    fn attached(
        &self,
        order: &Order,
        input: Input,
        output: Output,
    ) -> impl Future<Output = ()> + Send;

    /// It runs.
    fn started(&self, order: &Order) -> impl Future<Output = ()> + Send;

    /// It could not be started, and nothing of it is left.
    fn failed(&self, order: &Order, failure: &Failure) -> impl Future<Output = ()> + Send;

    /// It has written this. Returns when that is queued; what it returns resolves when the orchestrator has
    /// it.
    fn output(
        &self,
        order: &Order,
        stream: Stream,
        bytes: Bytes,
    ) -> impl Future<Output = Reported> + Send;

    /// It has ended and will not be restarted; all its output was reported.
    fn ended(&self, order: &Order, end: &End) -> impl Future<Output = ()> + Send;

    /// It is gone: what was prepared for it can go too.
    fn gone(&self, order: &Order) -> impl Future<Output = ()> + Send;
}

/// What the supervisor works with.
pub struct Context<L> {
    /// Who hears of the modules.
    pub link: Arc<L>,
    /// The plugins.
    pub plugins: Plugins,
    /// What is remembered.
    pub modules: Modules,
    /// Whose modules they are, for their label.
    pub owner: String,
    /// How many modules there may be at a time; 0 = no limit.
    pub max_modules: usize,
    /// Whether modules that run are found again after a start of the daemon; otherwise they are removed.
    pub adopt: bool,
}

impl<L> Clone for Context<L> {
    fn clone(&self) -> Self {
        Context {
            link: Arc::clone(&self.link),
            plugins: self.plugins.clone(),
            modules: self.modules.clone(),
            owner: self.owner.clone(),
            max_modules: self.max_modules,
            adopt: self.adopt,
        }
    }
}

/// Why an order is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is such a module.
    #[error("module {0:?} exists already")]
    Exists(String),
    /// There are as many as there may be.
    #[error("there are {0} modules already, which is the most there may be")]
    Full(usize),
    /// The id is empty or too long.
    #[error("an id must be 1 to {} bytes long", order::MAX_ID)]
    BadId,
    /// There is no such module.
    #[error("there is no module {0:?}")]
    Unknown(String),
    /// The module takes no input, or does not run.
    #[error("module {0:?} takes no input now")]
    NoInput(String),
    /// The daemon is ending.
    #[error("the daemon is ending")]
    Ending,
}

/// The stages of a module's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its files or its image are being fetched, it is being created or started.
    Preparing,
    /// It runs, or its plugin will start it again.
    Running,
    /// It was told to end.
    Stopping,
    /// It has ended, which the orchestrator does not know yet.
    Ended,
}

/// A module, as the status endpoint and a link's keepalive see it.
#[derive(Debug, Clone)]
pub struct View {
    /// The order, without the spec where it was found after a start of the daemon.
    pub order: Arc<Order>,
    /// Where it is.
    pub stage: Stage,
    /// When the daemon took it on.
    pub since: Instant,
    /// What it used when it was asked last, and when that was.
    pub usage: Option<(Usage, Instant)>,
}

/// What a module uses.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Percent of one processor since the last look; 0 at the first.
    pub cpu_percent: f64,
    /// What its plugin says.
    #[serde(flatten)]
    pub top: top::Response,
}

/// What ends all lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// Modules go on running; the next daemon finds them.
    Leave,
    /// Modules are stopped, and that is reported.
    Stop,
}

enum Request {
    Create(Box<Order>, oneshot::Sender<Result<(), Refused>>),
    Delete(String, Value, oneshot::Sender<Result<(), Refused>>),
    Input(String, Bytes, oneshot::Sender<Result<(), Refused>>),
    Views(oneshot::Sender<Vec<View>>),
    Drain(Drain, oneshot::Sender<()>),
    /// From a life: the module is there now.
    Stage(String, u64, Stage),
    /// From a life: it is over.
    Gone(String, u64),
    /// Found after the start of the daemon.
    Found(String, String, Box<status::Response>),
    /// All plugins have answered after the start of the daemon.
    AllFound,
    Sampled(String, Usage, Instant),
}

/// How a link talks to the supervisor.
#[derive(Clone)]
pub struct Supervisor {
    requests: mpsc::Sender<Request>,
    plugins: Plugins,
}

impl Supervisor {
    /// Starts the supervisor, and finds the modules that are there already.
    pub fn start<L: Link>(context: Context<L>) -> Supervisor {
        let (requests, receiver) = mpsc::channel(MESSAGES);
        let supervisor = Supervisor {
            requests: requests.clone(),
            plugins: context.plugins.clone(),
        };
        tokio::spawn(find_all(
            context.plugins.clone(),
            context.owner.clone(),
            requests.clone(),
        ));
        let table = Table {
            context,
            requests,
            entries: BTreeMap::new(),
            lives: 0,
            drain: None,
        };
        tokio::spawn(table.run(receiver));
        supervisor
    }

    /// Takes an order. What becomes of it the link hears.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn create(&self, order: Order) -> Result<(), Refused> {
        let order = Box::new(order);
        self.ask(|answer| Request::Create(order, answer)).await?
    }

    /// Has a module ended and removed. `note` comes back with the report of its end, also from the next
    /// daemon.
    ///
    /// # Errors
    /// [`Refused::Unknown`].
    pub async fn delete(&self, id: &str, note: Value) -> Result<(), Refused> {
        let id = id.to_owned();
        self.ask(|answer| Request::Delete(id, note, answer)).await?
    }

    /// Writes to a module's stdin. What is not written by its end is lost.
    ///
    /// # Errors
    /// [`Refused`], also where so much waits already that it would have to be thrown away.
    pub async fn input(&self, id: &str, bytes: Bytes) -> Result<(), Refused> {
        let id = id.to_owned();
        self.ask(|answer| Request::Input(id, bytes, answer)).await?
    }

    /// All modules.
    pub async fn modules(&self) -> Vec<View> {
        self.ask(Request::Views).await.unwrap_or_default()
    }

    /// All modules, those that run with what they use now.
    pub async fn modules_with_usage(&self) -> Vec<View> {
        let views = self.modules().await;
        join_all(views.into_iter().map(|view| self.sampled(view))).await
    }

    /// Ends all lives. Returns when that is done.
    pub async fn drain(&self, drain: Drain) {
        // Where the supervisor is gone there is nothing to drain.
        let _ = self.ask(|answer| Request::Drain(drain, answer)).await;
    }

    async fn sampled(&self, mut view: View) -> View {
        if view.stage != Stage::Running {
            return View {
                usage: None,
                ..view
            };
        }
        let request = top::Request {
            name: view.order.name(),
        };
        let before = view.usage.take();
        let Ok(top) = self.plugins.call(&view.order.spec.plugin, request).await else {
            return view;
        };
        let now = Instant::now();
        let cpu_percent = match &before {
            Some((before, at)) => policy::cpu_percent(&before.top, &top, now - *at),
            None => 0.0,
        };
        let usage = Usage { cpu_percent, top };
        let message = Request::Sampled(view.order.id.clone(), usage.clone(), now);
        // The next sample is compared with this one, if anybody still takes it.
        let _ = self.requests.send(message).await;
        view.usage = Some((usage, now));
        view
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Refused> {
        let (sender, answer) = oneshot::channel();
        let sent = self.requests.send(request(sender)).await;
        sent.map_err(|_| Refused::Ending)?;
        answer.await.map_err(|_| Refused::Ending)
    }
}

/// Asks all plugins for the modules of `owner`. What is remembered and was not found is forgotten.
async fn find_all(plugins: Plugins, owner: String, requests: mpsc::Sender<Request>) {
    let names = plugins.names().map(str::to_owned);
    let found = names.map(|plugin| find(plugins.clone(), plugin, owner.clone(), requests.clone()));
    join_all(found).await;
    // Where the supervisor is gone, nothing is to be forgotten.
    let _ = requests.send(Request::AllFound).await;
}

/// Asks a plugin for the modules of `owner`, until it answers.
async fn find(plugins: Plugins, plugin: String, owner: String, requests: mpsc::Sender<Request>) {
    loop {
        match plugins.call(&plugin, list::Request { details: true }).await {
            Ok(found) => {
                for (_, status) in found.details.unwrap_or_default() {
                    let labels = status.labels.as_ref();
                    if labels.and_then(|labels| labels.get(order::OWNER)) == Some(&owner) {
                        let found = Request::Found(plugin.clone(), owner.clone(), Box::new(status));
                        if requests.send(found).await.is_err() {
                            return;
                        }
                    }
                }
                return;
            }
            Err(error) => {
                log::warn!(
                    "{plugin} does not say which modules it has: {}",
                    error.chain()
                );
                tokio::time::sleep(ADOPTION_PAUSE).await;
                if requests.is_closed() {
                    return;
                }
            }
        }
    }
}

/// What the supervisor owns.
struct Table<L> {
    context: Context<L>,
    requests: mpsc::Sender<Request>,
    entries: BTreeMap<String, Entry>,
    /// Counts lives, because an id can have several, one after the other.
    lives: u64,
    drain: Option<(Drain, Vec<oneshot::Sender<()>>)>,
}

struct Entry {
    life: u64,
    order: Arc<Order>,
    stage: Stage,
    since: Instant,
    /// The last sample, and when it was taken.
    usage: Option<(Usage, Instant)>,
    wish: watch::Sender<Option<Wish>>,
    input: Option<mpsc::Sender<Bytes>>,
    /// What was ordered under the same id while this one was leaving.
    next: Option<Box<Order>>,
}

/// What a life is asked to do.
#[derive(Debug, Clone)]
enum Wish {
    /// End the module and report that.
    End(Reason),
    /// Let it run, and report no more.
    Leave,
}

impl<L: Link> Table<L> {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(request) = requests.recv().await {
            match request {
                Request::Create(order, answer) => {
                    let _ = answer.send(self.create(order));
                }
                Request::Delete(id, note, answer) => {
                    let _ = answer.send(self.delete(&id, note));
                }
                Request::Input(id, bytes, answer) => {
                    let _ = answer.send(self.input(&id, bytes));
                }
                Request::Views(answer) => {
                    let _ = answer.send(self.views());
                }
                Request::Drain(drain, done) => self.drain(drain, done),
                Request::Stage(id, life, stage) => {
                    if let Some(entry) = self.entry(&id, life) {
                        entry.stage = stage;
                    }
                }
                Request::Gone(id, life) => self.gone(&id, life),
                Request::Found(plugin, owner, status) => self.found(plugin, &owner, *status),
                Request::AllFound => self.forget_lost(),
                Request::Sampled(id, usage, at) => {
                    if let Some(entry) = self.entries.get_mut(&id) {
                        entry.usage = Some((usage, at));
                    }
                }
            }
            if self.entries.is_empty() {
                if let Some((_, waiting)) = self.drain.take() {
                    for done in waiting {
                        let _ = done.send(());
                    }
                    return;
                }
            }
        }
    }

    fn create(&mut self, order: Box<Order>) -> Result<(), Refused> {
        if self.drain.is_some() {
            return Err(Refused::Ending);
        }
        if order.id.is_empty() || order.id.len() > order::MAX_ID {
            return Err(Refused::BadId);
        }
        if let Some(entry) = self.entries.get_mut(&order.id) {
            // The orchestrator may hear of an end before the last of the module is removed.
            if entry.stage != Stage::Ended || entry.next.is_some() {
                return Err(Refused::Exists(order.id));
            }
            entry.next = Some(order);
            return Ok(());
        }
        let there_are = self
            .entries
            .values()
            .filter(|entry| entry.stage != Stage::Ended || entry.next.is_some())
            .count();
        if self.context.max_modules > 0 && there_are >= self.context.max_modules {
            return Err(Refused::Full(self.context.max_modules));
        }
        self.live(*order, life::Begin::New);
        Ok(())
    }

    fn delete(&mut self, id: &str, note: Value) -> Result<(), Refused> {
        let unknown = || Refused::Unknown(id.to_owned());
        let entry = self.entries.get_mut(id).ok_or_else(unknown)?;
        if entry.next.take().is_some() {
            return Ok(());
        }
        if entry.stage == Stage::Ended {
            return Err(unknown());
        }
        let end = Wish::End(Reason::Deleted(note));
        entry.wish.send_if_modified(|wish| {
            // The first one is the one that is answered.
            let is_new = !matches!(wish, Some(Wish::End(Reason::Deleted(_))));
            if is_new {
                *wish = Some(end);
            }
            is_new
        });
        Ok(())
    }

    fn input(&mut self, id: &str, bytes: Bytes) -> Result<(), Refused> {
        let entry = self.entries.get(id);
        let entry = entry.ok_or_else(|| Refused::Unknown(id.to_owned()))?;
        let refused = || Refused::NoInput(id.to_owned());
        let input = entry.input.as_ref().ok_or_else(refused)?;
        input.try_send(bytes).map_err(|_| refused())
    }

    fn views(&self) -> Vec<View> {
        let views = self.entries.values().map(|entry| View {
            order: Arc::clone(&entry.order),
            stage: entry.stage,
            since: entry.since,
            usage: entry.usage.clone(),
        });
        views.collect()
    }

    fn drain(&mut self, drain: Drain, done: oneshot::Sender<()>) {
        for entry in self.entries.values_mut() {
            entry.next = None;
            let wish = match drain {
                Drain::Stop => Wish::End(Reason::Shutdown),
                Drain::Leave => Wish::Leave,
            };
            entry.wish.send_if_modified(|old| {
                let is_new = drain == Drain::Leave || old.is_none();
                if is_new {
                    *old = Some(wish);
                }
                is_new
            });
        }
        let (_, mut waiting) = self.drain.take().unwrap_or((drain, Vec::new()));
        waiting.push(done);
        self.drain = Some((drain, waiting));
    }

    fn found(&mut self, plugin: String, owner: &str, status: status::Response) {
        let labels = status.labels.unwrap_or_default();
        let Some(id) = labels.get(order::ID) else {
            log::warn!(
                "a module of {owner} in {plugin} has no label {:?}",
                order::ID
            );
            return;
        };
        if self.entries.contains_key(id) || self.drain.is_some() {
            return;
        }
        let record = self.context.modules.recall(&order::name_of(id));
        let record = record.filter(|record| &record.id == id);
        let is_known = record.is_some() && self.context.adopt;
        let record = record.unwrap_or_else(|| Record::unknown(id));
        let (confirmed, deleted) = (record.confirmed, record.deleted.clone());
        let order = record.order(plugin);
        log::info!("module {id:?} is there already");
        let begin = match is_known {
            true => life::Begin::Found(life::Found {
                was_started: status.started_at != 0,
                was_confirmed: confirmed,
                deleted,
            }),
            // Nobody knows what it was for.
            false => life::Begin::Remove,
        };
        self.live(order, begin);
    }

    /// A daemon was killed before it had created these modules, or after it had removed them.
    fn forget_lost(&mut self) {
        for name in self.context.modules.names() {
            let record = self.context.modules.recall(&name);
            let lives = |record: &Record| self.entries.contains_key(&record.id);
            if record.as_ref().is_some_and(lives) {
                continue;
            }
            self.context.modules.forget(&name);
            if let Some(record) = record {
                log::info!("module {:?} was lost before it began", record.id);
                let link = Arc::clone(&self.context.link);
                tokio::spawn(async move { link.gone(&record.order(String::new())).await });
            }
        }
    }

    fn live(&mut self, order: Order, begin: life::Begin) {
        self.lives += 1;
        let (wish, wishes) = watch::channel(None);
        let (input, inputs) = mpsc::channel(life::INPUTS);
        let has_input = !order.handling.attach;
        let order = Arc::new(order);
        let entry = Entry {
            life: self.lives,
            order: Arc::clone(&order),
            stage: Stage::Preparing,
            since: Instant::now(),
            usage: None,
            wish,
            input: has_input.then_some(input),
            next: None,
        };
        self.entries.insert(order.id.clone(), entry);
        let life = life::Life {
            context: self.context.clone(),
            requests: self.requests.clone(),
            number: self.lives,
            order: (*order).clone(),
            wishes,
            inputs,
        };
        tokio::spawn(life.run(begin));
    }

    fn gone(&mut self, id: &str, life: u64) {
        if self.entry(id, life).is_none() {
            return;
        }
        let next = self.entries.remove(id).and_then(|entry| entry.next);
        if let Some(next) = next {
            self.live(*next, life::Begin::New);
        }
    }

    fn entry(&mut self, id: &str, life: u64) -> Option<&mut Entry> {
        self.entries.get_mut(id).filter(|entry| entry.life == life)
    }
}
