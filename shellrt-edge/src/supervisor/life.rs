//! A module's life, from the order to its removal, read from top to bottom.
//!
//! Whatever kills the daemon, the module and its record stay until its end was reported, so the next
//! daemon goes on where this one was.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{FuturesOrdered, StreamExt};
use serde_json::Value;
use shellrt_api::v0::logs::Stream;
use shellrt_api::v0::status::State;
use shellrt_api::v0::{attach, img_remove, logs, remove, start, status, stop, top, wait, Code};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::lines::Lines;
use super::{Context, Link, Request, Stage, Wish};
use crate::order::{End, Failure, Order, Reason, Step};
use crate::plugin::{Error, Input};
use crate::policy::{self, Idleness, Rate};
use crate::store::Record;

/// How many messages for a module's stdin wait at most.
pub const INPUTS: usize = 64;

/// How many pieces of output may be on their way to the orchestrator.
const WINDOW: usize = 16;

/// How long after a piece of output was reported at the latest the position is written.
const MARK_EVERY: Duration = Duration::from_millis(100);

/// Where a life begins.
pub enum Begin {
    /// It was ordered.
    New,
    /// It was there when the daemon started.
    Found(Found),
    /// It was there, and nobody wants it.
    Remove,
}

/// A module that was there when the daemon started.
pub struct Found {
    /// Whether it was ever started.
    pub was_started: bool,
    /// Whether it was reported that it runs.
    pub was_confirmed: bool,
    /// Its deletion was asked for, with this note.
    pub deleted: Option<Value>,
}

/// One life.
pub struct Life<L> {
    pub(super) context: Context<L>,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) number: u64,
    pub(super) order: Order,
    pub(super) wishes: watch::Receiver<Option<Wish>>,
    pub(super) inputs: mpsc::Receiver<Bytes>,
}

/// Why a life stops in the middle.
enum Break {
    /// A step failed.
    Failed(Failure),
    /// It is not wanted any more.
    Unwanted(Reason),
    /// The daemon goes away and leaves it.
    Left,
}

impl<L: Link> Life<L> {
    pub(super) async fn run(mut self, begin: Begin) {
        self.lead(begin).await;
        let gone = Request::Gone(self.order.id.clone(), self.number);
        // Where the supervisor is gone, nobody counts any more.
        let _ = self.requests.send(gone).await;
    }

    async fn lead(&mut self, begin: Begin) {
        let begun = match begin {
            Begin::New => self.begin().await,
            Begin::Found(found) => self.go_on(found).await,
            Begin::Remove => {
                log::info!("module {:?} is nobody's and is removed", self.order.id);
                return self.remove().await;
            }
        };
        let ended = match begun {
            Ok(reason) => self.attend(reason).await,
            Err(broken) => Err(broken),
        };
        match ended {
            Ok(end) => {
                self.stage(Stage::Ended).await;
                log::info!("module {:?} has ended: {}", self.order.id, words(&end));
                if !self.report(|link, order| link.ended(order, &end)).await {
                    return;
                }
            }
            Err(Break::Failed(failure)) => {
                self.stage(Stage::Ended).await;
                log::warn!(
                    "module {:?} can't be started: {}",
                    self.order.id,
                    failure.message
                );
                // So that nothing is left when the orchestrator hears of it.
                self.remove().await;
                self.report(|link, order| link.failed(order, &failure))
                    .await;
                return;
            }
            Err(Break::Unwanted(reason)) => {
                self.stage(Stage::Ended).await;
                let end = End {
                    status: None,
                    reason,
                };
                self.remove().await;
                self.report(|link, order| link.ended(order, &end)).await;
                return;
            }
            Err(Break::Left) => return,
        }
        self.remove().await;
    }

    /// From the order to the running module.
    async fn begin(&mut self) -> Result<Reason, Break> {
        let link = std::sync::Arc::clone(&self.context.link);
        let mut order = self.order.clone();
        let prepared = self.unless_unwanted(link.prepare(&mut order)).await?;
        prepared.map_err(Break::Failed)?;
        self.order = order;
        self.remember(None, false);
        self.create().await?;
        self.start().await?;
        Ok(Reason::Itself)
    }

    async fn create(&mut self) -> Result<(), Break> {
        let plugins = self.context.plugins.clone();
        let plugin = self.order.spec.plugin.clone();
        let request = self.order.create(&self.context.owner);
        let created = plugins.call(&plugin, request.clone());
        let mut created = self.unless_unwanted(created).await?;
        if has_code(&created, Code::IMAGE_NOT_FOUND) {
            let image = self.order.spec.image.clone();
            log::info!("module {:?} waits for {}", self.order.id, image.image);
            let pulled = self.unless_unwanted(plugins.pull(&plugin, image)).await?;
            pulled.map_err(|error| failed(Step::Pull, &error))?;
            let again = plugins.call(&plugin, request.clone());
            created = self.unless_unwanted(again).await?;
        }
        if has_code(&created, Code::MODULE_EXISTS) && self.is_ours().await {
            // Somebody was killed before this life began.
            self.remove_module().await;
            created = plugins.call(&plugin, request).await;
        }
        created
            .map(drop)
            .map_err(|error| failed(Step::Create, &error))
    }

    /// Whether the module of this name is one of the same owner and id.
    async fn is_ours(&self) -> bool {
        let labels = self.look().await.ok().and_then(|status| status.labels);
        labels.is_some_and(|labels| {
            labels.get(crate::order::OWNER) == Some(&self.context.owner)
                && labels.get(crate::order::ID) == Some(&self.order.id)
        })
    }

    async fn start(&mut self) -> Result<(), Break> {
        if self.order.handling.attach {
            self.attach()
                .await
                .map_err(|error| failed(Step::Start, &error))?;
        }
        let request = start::Request {
            name: self.order.name(),
        };
        let plugins = self.context.plugins.clone();
        let plugin = self.order.spec.plugin.clone();
        let started = self.unless_unwanted(plugins.call(&plugin, request)).await?;
        started.map_err(|error| failed(Step::Start, &error))?;
        self.stage(Stage::Running).await;
        log::info!("module {:?} runs", self.order.id);
        self.confirm().await
    }

    /// Reports that it runs, once over all daemons.
    async fn confirm(&self) -> Result<(), Break> {
        if !self.report(|link, order| link.started(order)).await {
            return Err(Break::Left);
        }
        self.remember(None, true);
        Ok(())
    }

    /// The link talks to the module, from its first byte on.
    async fn attach(&self) -> Result<(), Error> {
        let request = attach::Request {
            name: self.order.name(),
            stdin: true,
            streams: Some(vec![Stream::Stdout]),
            close_stdin: true,
        };
        let plugins = &self.context.plugins;
        let (input, output) = plugins.attach(&self.order.spec.plugin, request).await?;
        self.context.link.attached(&self.order, input, output).await;
        Ok(())
    }

    /// From the module that was there. Answers why it should end.
    async fn go_on(&mut self, found: Found) -> Result<Reason, Break> {
        let Found {
            was_started,
            was_confirmed,
            deleted,
        } = found;
        match (deleted, was_started) {
            (Some(note), true) => {
                let reason = Reason::Deleted(note);
                self.stop(&reason).await?;
                return Ok(reason);
            }
            (Some(note), false) => return Err(Break::Unwanted(Reason::Deleted(note))),
            (None, false) => self.start().await?,
            (None, true) => {
                self.stage(Stage::Running).await;
                if !was_confirmed {
                    self.confirm().await?;
                }
            }
        }
        Ok(Reason::Itself)
    }

    /// Until the module has ended and all its output was reported.
    async fn attend(&mut self, mut reason: Reason) -> Result<End, Break> {
        let mut failures = 0;
        loop {
            let looked = self.follow_to_the_end(&mut reason).await?;
            match looked {
                Ok(status) if is_over(&status) => {
                    return Ok(End {
                        status: Some(status),
                        reason,
                    })
                }
                Ok(_) => failures = 1,
                Err(error) if error.code() == Some(Code::MODULE_NOT_FOUND) => {
                    return Ok(End {
                        status: None,
                        reason,
                    })
                }
                Err(error) => {
                    failures += 1;
                    log::warn!("module {:?}: {}", self.order.id, error.chain());
                }
            }
            // Its log broke off, or its plugin does not answer now.
            sleep(policy::pause(failures)).await;
        }
    }

    /// Follows the log until it ends, and does meanwhile what is wished. Answers how the module is then.
    async fn follow_to_the_end(
        &mut self,
        reason: &mut Reason,
    ) -> Result<Result<status::Response, Error>, Break> {
        let mut wishes = self.wishes.clone();
        let mut wished = wishes.borrow_and_update().clone();
        let idle = self.order.handling.idle.clone();
        let mut inputs = std::mem::replace(&mut self.inputs, mpsc::channel(1).1);
        let result = {
            let followed = self.follow();
            tokio::pin!(followed);
            let fed = self.feed(&mut inputs);
            tokio::pin!(fed);
            let bored = async {
                match &idle {
                    Some(rule) => self.idle(rule).await,
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(bored);
            let mut is_bored = false;
            loop {
                match wished.take() {
                    Some(Wish::Leave) => break Err(Break::Left),
                    Some(Wish::End(why)) if *reason == Reason::Itself => {
                        *reason = why;
                        // What it writes meanwhile waits in its log, which ends by that.
                        self.stop(reason).await?;
                    }
                    Some(Wish::End(_)) | None => {}
                }
                tokio::select! {
                    () = &mut followed => break Ok(()),
                    () = &mut fed => {}
                    Ok(()) = wishes.changed() => wished = wishes.borrow_and_update().clone(),
                    () = &mut bored, if !is_bored => {
                        is_bored = true;
                        log::info!("module {:?} is idle", self.order.id);
                        wished = Some(Wish::End(Reason::Idle));
                    }
                }
            }
        };
        self.inputs = inputs;
        result?;
        Ok(self.look().await)
    }

    /// Reports the module's output until its log ends.
    async fn follow(&self) {
        let handling = &self.order.handling;
        if handling.streams.is_empty() {
            let request = wait::Request {
                name: self.order.name(),
                timeout: None,
            };
            // Whatever it says, the module is looked at.
            let _ = self.call(request).await;
            return;
        }
        let mut streams = handling.streams.clone();
        streams.sort_unstable();
        streams.dedup();
        join_all(streams.into_iter().map(|stream| self.follow_stream(stream))).await;
    }

    async fn follow_stream(&self, stream: Stream) {
        let name = self.order.name();
        let modules = &self.context.modules;
        let begin = modules.position(&name, stream);
        let request = logs::Request {
            name: name.clone(),
            follow: true,
            since_ns: begin.map(|begin| begin.time_ns),
            timestamps: true,
            streams: Some(vec![stream]),
            ..Default::default()
        };
        let opened = self.context.plugins.open(&self.order.spec.plugin, request);
        let mut output = match opened.await {
            Ok((logs::Response {}, output)) => output,
            Err(error) => {
                log::debug!("module {:?}: {}", self.order.id, error.chain());
                return;
            }
        };
        let handling = &self.order.handling;
        let epoch = Instant::now();
        let mut rate = Rate::new(handling.rate, Duration::ZERO);
        let mut lines = Lines::new(begin, handling.text, handling.piece);
        let mut reported = FuturesOrdered::new();
        let mut marked = epoch;
        let mut is_open = true;
        while is_open || !reported.is_empty() {
            let pieces = tokio::select! {
                Some(position) = reported.next(), if !reported.is_empty() => {
                    if reported.is_empty() || marked.elapsed() >= MARK_EVERY {
                        marked = Instant::now();
                        if let Err(error) = modules.mark(&name, stream, &position) {
                            log::warn!("{error}");
                        }
                    }
                    continue;
                }
                piece = output.next(), if is_open && reported.len() < WINDOW => match piece {
                    Some(piece) => lines.feed(&piece),
                    None => {
                        is_open = false;
                        lines.finish().into_iter().collect()
                    }
                },
            };
            for (piece, position) in pieces {
                sleep(rate.take(piece.len(), epoch.elapsed())).await;
                let done = self.context.link.output(&self.order, stream, piece).await;
                reported.push_back(async move {
                    done.await;
                    position
                });
            }
        }
    }

    /// Passes on what is meant for the module's stdin, as long as there is somebody who may send it.
    async fn feed(&self, inputs: &mut mpsc::Receiver<Bytes>) {
        let mut open: Option<Input> = None;
        while let Some(mut bytes) = inputs.recv().await {
            // Once more where the other end has gone: the module was restarted, for example.
            for _ in 0..2 {
                if open.is_none() {
                    open = self.open_input().await;
                }
                let Some(input) = &open else { break };
                if input.write(bytes.clone()).await {
                    bytes = Bytes::new();
                    break;
                }
                open = None;
            }
            if !bytes.is_empty() {
                log::warn!(
                    "module {:?} did not take {} bytes of input",
                    self.order.id,
                    bytes.len()
                );
            }
        }
        std::future::pending().await
    }

    async fn open_input(&self) -> Option<Input> {
        let request = attach::Request {
            name: self.order.name(),
            stdin: true,
            streams: Some(Vec::new()),
            close_stdin: false,
        };
        let plugins = &self.context.plugins;
        match plugins.attach(&self.order.spec.plugin, request).await {
            Ok((input, mut output)) => {
                // Nothing comes there; its end is the plugin's.
                tokio::spawn(async move { while output.next().await.is_some() {} });
                Some(input)
            }
            Err(error) => {
                log::warn!("module {:?}: {}", self.order.id, error.chain());
                None
            }
        }
    }

    /// Returns when the module has been idle for too long.
    async fn idle(&self, rule: &policy::IdleRule) {
        let epoch = Instant::now();
        let mut idleness = Idleness::default();
        loop {
            let request = top::Request {
                name: self.order.name(),
            };
            let look = self.call(request).await.ok();
            if idleness.is_over(rule, look, epoch.elapsed()) {
                return;
            }
            sleep(Duration::from_secs(rule.check_interval_sec.max(1))).await;
        }
    }

    /// Stops the module, however long its plugin does not answer. That it was asked for is remembered.
    async fn stop(&self, reason: &Reason) -> Result<(), Break> {
        self.stage(Stage::Stopping).await;
        if let Reason::Deleted(note) = reason {
            self.remember(Some(note), true);
        }
        let mut failures = 0;
        loop {
            let request = stop::Request {
                name: self.order.name(),
                timeout: self.order.handling.stop_timeout,
            };
            match self.call(request).await {
                Ok(stop::Response {}) => return Ok(()),
                Err(error) if error.code() == Some(Code::MODULE_NOT_FOUND) => return Ok(()),
                Err(error) => {
                    failures += 1;
                    log::warn!(
                        "module {:?} can't be stopped: {}",
                        self.order.id,
                        error.chain()
                    );
                }
            }
            if matches!(*self.wishes.borrow(), Some(Wish::Leave)) {
                return Err(Break::Left);
            }
            sleep(policy::pause(failures)).await;
        }
    }

    /// Removes the module and what belongs to it.
    async fn remove(&mut self) {
        self.remove_module().await;
        if self.order.spec.remove_image {
            let request = img_remove::Request {
                image: self.order.spec.image.image.clone(),
                force: false,
            };
            match self.call(request).await {
                Err(error)
                    if ![Some(Code::IMAGE_NOT_FOUND), Some(Code::IMAGE_IN_USE)]
                        .contains(&error.code()) =>
                {
                    log::warn!("module {:?}: {}", self.order.id, error.chain());
                }
                _ => {}
            }
        }
        self.context.link.gone(&self.order).await;
        self.context.modules.forget(&self.order.name());
    }

    async fn remove_module(&self) {
        let mut failures = 0;
        loop {
            let request = remove::Request {
                name: self.order.name(),
                force: true,
            };
            match self.call(request).await {
                Ok(remove::Response {}) => return,
                Err(error) if error.code() == Some(Code::MODULE_NOT_FOUND) => return,
                Err(error) if !error.retryable() => {
                    log::warn!(
                        "module {:?} can't be removed: {}",
                        self.order.id,
                        error.chain()
                    );
                    return;
                }
                Err(error) => {
                    failures += 1;
                    log::warn!("module {:?}: {}", self.order.id, error.chain());
                }
            }
            if matches!(*self.wishes.borrow(), Some(Wish::Leave)) {
                return;
            }
            sleep(policy::pause(failures)).await;
        }
    }

    async fn look(&self) -> Result<status::Response, Error> {
        let request = status::Request {
            name: self.order.name(),
        };
        self.call(request).await
    }

    async fn call<M>(&self, request: M) -> Result<M::Response, Error>
    where
        M: shellrt_api::v0::Message + Send + 'static,
        M::Response: Send + 'static,
    {
        let plugin = &self.order.spec.plugin;
        self.context.plugins.call(plugin, request).await
    }

    /// Does `work`, unless the module is not wanted any more.
    async fn unless_unwanted<T>(
        &self,
        work: impl std::future::Future<Output = T>,
    ) -> Result<T, Break> {
        let mut wishes = self.wishes.clone();
        let unwanted = async {
            // The supervisor lives as long as the entry.
            let wish = wishes.wait_for(Option::is_some).await;
            wish.ok().and_then(|wish| wish.clone())
        };
        tokio::select! {
            done = work => Ok(done),
            wish = unwanted => Err(match wish {
                Some(Wish::End(reason)) => Break::Unwanted(reason),
                Some(Wish::Leave) | None => Break::Left,
            }),
        }
    }

    /// Reports, and answers whether that was done before the daemon goes away.
    async fn report<'a, F>(&'a self, report: impl FnOnce(&'a L, &'a Order) -> F) -> bool
    where
        F: std::future::Future<Output = ()> + 'a,
    {
        let mut wishes = self.wishes.clone();
        let left = wishes.wait_for(|wish| matches!(wish, Some(Wish::Leave)));
        tokio::select! {
            () = report(&self.context.link, &self.order) => true,
            Ok(_) = left => false,
        }
    }

    async fn stage(&self, stage: Stage) {
        let message = Request::Stage(self.order.id.clone(), self.number, stage);
        // Where the supervisor is gone, nobody asks any more.
        let _ = self.requests.send(message).await;
    }

    fn remember(&self, deleted: Option<&Value>, confirmed: bool) {
        let spec = &self.order.spec;
        let record = Record {
            id: self.order.id.clone(),
            handling: self.order.handling.clone(),
            note: self.order.note.clone(),
            remove_image: spec.remove_image.then(|| spec.image.image.clone()),
            deleted: deleted.cloned(),
            confirmed,
        };
        let remembered = self.context.modules.remember(&self.order.name(), &record);
        if let Err(error) = remembered {
            log::warn!(
                "{error}; the next daemon will not know module {:?}",
                self.order.id
            );
        }
    }
}

fn is_over(status: &status::Response) -> bool {
    matches!(status.state, Some(State::Exited))
        || (status.state.is_none() && status.finished_at.is_some())
}

fn has_code<T>(answer: &Result<T, Error>, code: Code) -> bool {
    answer
        .as_ref()
        .is_err_and(|error| error.code() == Some(code))
}

fn failed(step: Step, error: &Error) -> Break {
    Break::Failed(Failure {
        step,
        message: error.chain(),
    })
}

fn words(end: &End) -> &str {
    match &end.status {
        Some(status) => &status.status_description,
        None => "it is not there any more",
    }
}
