//! What the supervisor owns, and the one task that changes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::Value;
use shellrt_api::v0::{list, status};
use tokio::sync::{mpsc, oneshot, watch};

use super::life::{Begin, Found, Life, INPUTS};
use super::{Context, Drain, Link, Refused, Stage, Usage, View};
use crate::order::{self, Order, Reason};
use crate::plugin::Plugins;
use crate::store::Record;

/// How often a plugin is asked for its modules until it answers, after the start of the daemon.
const ADOPTION_PAUSE: Duration = Duration::from_secs(5);

/// What the supervisor is asked, by links and by lives.
pub(super) enum Request {
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

/// What the supervisor owns.
pub(super) struct Table<L> {
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
pub(super) enum Wish {
    /// End the module and report that.
    End(Reason),
    /// Let it run, and report no more.
    Leave,
}

impl<L: Link> Table<L> {
    /// No modules yet.
    pub(super) fn new(context: Context<L>, requests: mpsc::Sender<Request>) -> Self {
        Table {
            context,
            requests,
            entries: BTreeMap::new(),
            lives: 0,
            drain: None,
        }
    }

    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
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
        self.live(*order, Begin::New);
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
            true => Begin::Found(Found {
                was_started: status.started_at != 0,
                was_confirmed: confirmed,
                deleted,
            }),
            // Nobody knows what it was for.
            false => Begin::Remove,
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

    fn live(&mut self, order: Order, begin: Begin) {
        self.lives += 1;
        let (wish, wishes) = watch::channel(None);
        let (input, inputs) = mpsc::channel(INPUTS);
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
        let life = Life {
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
            self.live(*next, Begin::New);
        }
    }

    fn entry(&mut self, id: &str, life: u64) -> Option<&mut Entry> {
        self.entries.get_mut(id).filter(|entry| entry.life == life)
    }
}

/// Asks all plugins for the modules of `owner`. What is remembered and was not found is forgotten.
pub(super) async fn find_all(plugins: Plugins, owner: String, requests: mpsc::Sender<Request>) {
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
