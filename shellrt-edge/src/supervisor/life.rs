//! A module's life, from the order to its removal, read from top to bottom.
//!
//! Whatever kills the daemon, the module and its record stay until its end was reported, so the next
//! daemon goes on where this one was.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use shellrt_api::v0::status::State;
use shellrt_api::v0::{status, top, Code};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::table::{Request, Wish};
use super::{Context, Link, Stage};
use crate::order::{End, Failure, Order, Reason};
use crate::plugin::Error;
use crate::policy::{self, Idleness};
use crate::store::Record;

/// How many messages for a module's stdin wait at most.
pub const INPUTS: usize = 64;

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
pub(super) enum Break {
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
            let mut wishes = self.wishes.clone();
            // What is wished already is done.
            wishes.mark_unchanged();
            tokio::select! {
                () = sleep(policy::pause(failures)) => {}
                Ok(()) = wishes.changed() => {}
            }
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

    pub(super) async fn look(&self) -> Result<status::Response, Error> {
        let request = status::Request {
            name: self.order.name(),
        };
        self.call(request).await
    }

    pub(super) async fn call<M>(&self, request: M) -> Result<M::Response, Error>
    where
        M: shellrt_api::v0::Message + Send + 'static,
        M::Response: Send + 'static,
    {
        let plugin = &self.order.spec.plugin;
        self.context.plugins.call(plugin, request).await
    }

    /// Does `work`, unless the module is not wanted any more.
    pub(super) async fn unless_unwanted<T>(
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
    pub(super) async fn report<'a, F>(&'a self, report: impl FnOnce(&'a L, &'a Order) -> F) -> bool
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

    pub(super) async fn stage(&self, stage: Stage) {
        let message = Request::Stage(self.order.id.clone(), self.number, stage);
        // Where the supervisor is gone, nobody asks any more.
        let _ = self.requests.send(message).await;
    }

    pub(super) fn remember(&self, deleted: Option<&Value>, confirmed: bool) {
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

fn words(end: &End) -> &str {
    match &end.status {
        Some(status) => &status.status_description,
        None => "it is not there any more",
    }
}
