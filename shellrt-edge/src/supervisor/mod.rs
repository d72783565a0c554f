//! The supervisor: one task that owns the state of all modules of one link.
//!
//! A link orders modules and hears of them; it decides nothing about them. Each module has a task that
//! leads it through its life (`life`) and tells the supervisor at which stage it is. After a start of the
//! daemon the modules that are still there are found by their labels and led on.
//!
//! ```text
//! Preparing -> Running -> Ended -> gone
//!     |           |          ^
//!     |           v          |
//!     |        Stopping -----+
//!     +-- failed, or deleted before it ran --> gone
//! ```

mod begin;
mod end;
mod finding;
mod life;
mod lines;
mod running;
mod streams;
mod table;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::Value;
use shellrt_api::v0::logs::Stream;
use shellrt_api::v0::top;
use tokio::sync::{mpsc, oneshot};

use crate::order::{self, End, Failure, Order};
use crate::plugin::{Input, Output, Plugins};
use crate::policy;
use crate::store::Modules;

use table::{Request, Table};

pub use lines::Position;

/// How many messages wait for the supervisor.
const MESSAGES: usize = 256;

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

/// How a link talks to the supervisor.
#[derive(Clone)]
pub struct Supervisor {
    requests: mpsc::Sender<Request>,
    plugins: Plugins,
    /// Whether it was told to end all lives, after which it ends itself.
    is_draining: Arc<AtomicBool>,
}

impl Supervisor {
    /// Starts the supervisor, and finds the modules that are there already.
    pub fn start<L: Link>(context: Context<L>) -> Supervisor {
        let (requests, receiver) = mpsc::channel(MESSAGES);
        let supervisor = Supervisor {
            requests: requests.clone(),
            plugins: context.plugins.clone(),
            is_draining: Arc::default(),
        };
        let plugins = context.plugins.clone();
        tokio::spawn(finding::find_all(plugins, requests.clone()));
        let table = Table::new(context, requests);
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

    /// Whether it still does its work, as far as it has any.
    pub async fn answers(&self) -> bool {
        self.is_over() || self.ask(Request::Views).await.is_ok()
    }

    /// Whether it has ended as it was told to.
    pub fn is_over(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed) && self.requests.is_closed()
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
        self.is_draining.store(true, Ordering::Relaxed);
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
