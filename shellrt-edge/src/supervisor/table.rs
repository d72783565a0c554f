//! What the supervisor owns, and the one task that changes it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;
use shellrt_api::v0::status;
use tokio::sync::{mpsc, oneshot, watch};

use super::life::{Begin, Life, INPUTS};
use super::{Context, Drain, Link, Refused, Stage, Usage, View};
use crate::order::{self, Order, Reason};
use crate::store::Record;

/// What the supervisor is asked, by links and by lives.
pub(super) enum Request {
    Create(Box<Order>, oneshot::Sender<Result<(), Refused>>),
    Delete(String, Value, oneshot::Sender<Result<(), Refused>>),
    Input(String, Bytes, oneshot::Sender<Result<(), Refused>>),
    Views(oneshot::Sender<Vec<View>>),
    Drain(Drain, oneshot::Sender<()>),
    /// From a life: this is what is run.
    Prepared(u64, Box<Order>),
    /// From a life: the module is there now.
    Stage(String, u64, Stage),
    /// From a life: the module has ended, and nothing is to be wished any more once that is answered.
    Over(String, u64, oneshot::Sender<()>),
    /// From a life: it is over.
    Gone(String, u64),
    /// After the start of the daemon: this plugin has this module.
    Found(String, Box<status::Response>),
    /// After the start of the daemon: this plugin has no more.
    AllFound(String),
    Sampled(String, Usage, Instant),
}

/// What the supervisor owns.
pub(super) struct Table<L> {
    context: Context<L>,
    requests: mpsc::Sender<Request>,
    entries: BTreeMap<String, Entry>,
    /// Counts lives, because an id can have several, one after the other.
    lives: u64,
    /// What is remembered of modules that were not found again yet, by their ids.
    sought: BTreeMap<String, Record>,
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
    /// What was ordered under the same id while this one was leaving, and what is wished of it already.
    next: Option<(Box<Order>, Option<Wish>)>,
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
            sought: BTreeMap::new(),
            drain: None,
        }
    }

    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        self.recall();
        while let Some(request) = requests.recv().await {
            self.handle(request);
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

    fn handle(&mut self, request: Request) {
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
            Request::Prepared(life, order) => {
                if let Some(entry) = self.entry(&order.id, life) {
                    entry.order = Arc::from(order);
                }
            }
            Request::Stage(id, life, stage) => {
                if let Some(entry) = self.entry(&id, life) {
                    entry.stage = stage;
                }
            }
            Request::Over(id, life, done) => {
                if let Some(entry) = self.entry(&id, life) {
                    entry.stage = Stage::Ended;
                }
                let _ = done.send(());
            }
            Request::Gone(id, life) => self.gone(&id, life),
            Request::Found(plugin, status) => self.found(&plugin, *status),
            Request::AllFound(plugin) => self.all_found(&plugin),
            Request::Sampled(id, usage, at) => {
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.usage = Some((usage, at));
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
        if !self.context.adopt {
            // What is sought will only be removed, which need not keep a new one of its id waiting.
            if let Some(record) = self.sought.remove(&order.id) {
                let old = record.order(record.plugin.as_deref().unwrap_or_default());
                self.live(old, Begin::Remove { is_there: true }, Some(record));
            }
        }
        let entry = self.entries.get(&order.id);
        // The orchestrator may hear of an end before the last of the module is removed.
        let leaving = |entry: &Entry| entry.stage == Stage::Ended && entry.next.is_none();
        let is_sought = self.sought.contains_key(&order.id);
        if is_sought || entry.is_some_and(|entry| !leaving(entry)) {
            return Err(Refused::Exists(order.id));
        }
        let most = self.context.max_modules;
        if most > 0 {
            let there = self.entries.values().filter(|entry| !leaving(entry));
            if there.count() + self.sought.len() >= most {
                return Err(Refused::Full(most));
            }
        }
        match self.entries.get_mut(&order.id) {
            Some(entry) => entry.next = Some((order, None)),
            None => self.live(*order, Begin::New, None),
        }
        Ok(())
    }

    fn delete(&mut self, id: &str, note: Value) -> Result<(), Refused> {
        if let Some(record) = self.sought.get_mut(id) {
            // It is done when it is found, by whatever daemon finds it.
            record.deleted.get_or_insert(note);
            if let Err(error) = self.context.modules.remember(&order::name_of(id), record) {
                log::warn!("{error}");
            }
            return Ok(());
        }
        let unknown = || Refused::Unknown(id.to_owned());
        let entry = self.entries.get_mut(id).ok_or_else(unknown)?;
        let end = Wish::End(Reason::Deleted(note));
        if let Some((_, wish)) = &mut entry.next {
            wish.get_or_insert(end);
            return Ok(());
        }
        if entry.stage == Stage::Ended {
            return Err(unknown());
        }
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
        for (id, entry) in &mut self.entries {
            match (&mut entry.next, drain) {
                (Some((_, wish)), Drain::Stop) => {
                    wish.get_or_insert(Wish::End(Reason::Shutdown));
                }
                (Some(_), Drain::Leave) => {
                    log::warn!("module {id:?} was ordered and will not begin any more");
                    entry.next = None;
                }
                (None, _) => {}
            }
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

    /// What the daemon before has left.
    fn recall(&mut self) {
        for name in self.context.modules.names() {
            let Some(record) = self.context.modules.recall(&name) else {
                continue;
            };
            let plugin = record.plugin.clone();
            match plugin {
                Some(plugin) if self.context.plugins.names().any(|name| name == plugin) => {
                    self.sought.insert(record.id.clone(), record);
                }
                Some(plugin) => log::warn!(
                    "module {:?} is not looked for: its plugin {plugin:?} is not configured any more",
                    record.id
                ),
                // It was being prepared, so nobody has it.
                None => self.lost(record),
            }
        }
    }

    fn found(&mut self, plugin: &str, status: status::Response) {
        let owner = &self.context.owner;
        let labels = status.labels.unwrap_or_default();
        if labels.get(order::OWNER) != Some(owner) || self.drain.is_some() {
            return;
        }
        let Some(id) = labels.get(order::ID) else {
            let label = order::ID;
            return log::warn!("a module of {owner} in {plugin} has no label {label:?}");
        };
        if self.entries.contains_key(id) {
            return;
        }
        let is_there = |record: &Record| record.plugin.as_deref() == Some(plugin);
        if self.sought.get(id).is_some_and(|record| !is_there(record)) {
            return log::warn!("module {id:?} is in {plugin} too, and left there");
        }
        let record = self.sought.remove(id);
        let begin = match &record {
            Some(record) if self.context.adopt && !record.ended => {
                log::info!("module {id:?} is there already");
                Begin::Found {
                    was_started: status.started_at != 0,
                }
            }
            // It was wanted by a daemon that is not there any more.
            Some(_) | None => Begin::Remove { is_there: true },
        };
        let record = record.unwrap_or_else(|| Record::unknown(id));
        self.live(record.order(plugin), begin, Some(record));
    }

    fn all_found(&mut self, plugin: &str) {
        let is_lost = |_: &String, record: &mut Record| record.plugin.as_deref() == Some(plugin);
        for (_, record) in self.sought.extract_if(.., is_lost).collect::<Vec<_>>() {
            self.lost(record);
        }
    }

    /// A daemon was killed before it had created this module, or after it had removed it; or somebody else
    /// has removed it.
    fn lost(&mut self, record: Record) {
        log::info!("module {:?} is remembered and not there", record.id);
        let begin = match self.context.adopt && !record.ended {
            true => Begin::Lost,
            false => Begin::Remove { is_there: false },
        };
        let order = record.order(record.plugin.as_deref().unwrap_or_default());
        self.live(order, begin, Some(record));
    }

    /// Begins the life of `order`, of which `record` is what is remembered.
    fn live(&mut self, order: Order, begin: Begin, record: Option<Record>) {
        let (wish, wishes) = watch::channel(None);
        let (input, inputs) = mpsc::channel(INPUTS);
        self.lives += 1;
        let is_there = matches!(
            begin,
            Begin::Found { .. } | Begin::Remove { is_there: true }
        );
        let had_plugin = record
            .as_ref()
            .is_some_and(|record| record.plugin.is_some());
        let life = Life {
            context: self.context.clone(),
            requests: self.requests.clone(),
            number: self.lives,
            order: order.clone(),
            record: Mutex::new(record.unwrap_or_else(|| Record::of(&order))),
            wishes,
            inputs,
            is_made: is_there,
            has_image: is_there || had_plugin,
        };
        let entry = Entry {
            life: self.lives,
            stage: match begin {
                Begin::New | Begin::Found { .. } => Stage::Preparing,
                Begin::Lost | Begin::Remove { .. } => Stage::Ended,
            },
            since: Instant::now(),
            usage: None,
            wish,
            input: (!order.handling.attach).then_some(input),
            next: None,
            order: Arc::new(order),
        };
        self.entries.insert(entry.order.id.clone(), entry);
        tokio::spawn(life.run(begin));
    }

    fn gone(&mut self, id: &str, life: u64) {
        if self.entry(id, life).is_none() {
            return;
        }
        let next = self.entries.remove(id).and_then(|entry| entry.next);
        if let Some((order, wish)) = next {
            self.live(*order, Begin::New, None);
            if let Some(entry) = self.entries.get_mut(id) {
                entry.wish.send_replace(wish);
            }
        }
    }

    fn entry(&mut self, id: &str, life: u64) -> Option<&mut Entry> {
        self.entries.get_mut(id).filter(|entry| entry.life == life)
    }
}
