//! A module's life, from the order to its removal, read from top to bottom.
//!
//! Whatever kills the daemon, the module or at least its record stays until its end was reported, so the
//! next daemon goes on where this one was.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use shellrt_api::v0::{status, Message};
use tokio::sync::{mpsc, oneshot, watch};

use super::table::{Request, Wish};
use super::{Context, Link, Stage};
use crate::order::{End, Failure, Order, Reason, Step};
use crate::plugin::Error;
use crate::store::Record;

/// How many messages for a module's stdin wait at most.
pub const INPUTS: usize = 64;

/// Where a life begins.
pub enum Begin {
    /// It was ordered.
    New,
    /// It was there when the daemon started.
    Found {
        /// Whether it was ever started.
        was_started: bool,
    },
    /// It is remembered and was not there when the daemon started.
    Lost,
    /// Nobody wants to hear of it any more.
    Remove {
        /// Whether it was there when the daemon started.
        is_there: bool,
    },
}

/// One life.
pub struct Life<L> {
    pub(super) context: Context<L>,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) number: u64,
    pub(super) order: Order,
    /// What is remembered of it.
    pub(super) record: Mutex<Record>,
    pub(super) wishes: watch::Receiver<Option<Wish>>,
    pub(super) inputs: mpsc::Receiver<Bytes>,
    /// Whether there may be a module of this life. Never remove one of the same name that is another's.
    pub(super) is_made: bool,
    /// Whether an image may have been pulled for it.
    pub(super) has_image: bool,
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

/// What the link hears last of a module, before that it is gone.
type Last = Result<End, Failure>;

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
            Begin::Found { was_started } => self.go_on(was_started).await,
            Begin::Lost => Err(self.lost()),
            Begin::Remove { .. } => {
                log::info!("module {:?} is not wanted and is removed", self.order.id);
                if self.remove().await {
                    self.forget().await;
                }
                return;
            }
        };
        let ended = match begun {
            Ok(reason) => self.attend(reason).await,
            Err(broken) => Err(broken),
        };
        let (has_run, mut last) = match ended {
            Ok(end) => (true, Ok(end)),
            Err(Break::Failed(failure)) => (false, Err(failure)),
            Err(Break::Unwanted(reason)) => {
                let status = None;
                (false, Ok(End { status, reason }))
            }
            Err(Break::Left) => return,
        };
        if let Some(deleted) = self.over().await {
            // Who has deleted it waits for an answer to that, whatever became of it meanwhile.
            last = match last {
                Ok(end) => Ok(End {
                    reason: deleted,
                    ..end
                }),
                Err(_) => Ok(End {
                    status: None,
                    reason: deleted,
                }),
            };
        }
        if !has_run {
            if let Ok(End {
                reason: Reason::Deleted(note),
                ..
            }) = &last
            {
                // The next daemon must not start what this one was told to remove.
                let note = note.clone();
                self.remember(|record| record.deleted = Some(note)).await;
            }
            // Of what never ran nothing is left when the orchestrator hears of it.
            if !self.remove().await {
                return;
            }
        }
        if !self.tell(&last).await {
            return;
        }
        if has_run {
            self.remember(|record| record.ended = true).await;
            if !self.remove().await {
                return;
            }
        }
        self.forget().await;
    }

    /// From the module that was there. Answers why it should end.
    async fn go_on(&mut self, was_started: bool) -> Result<Reason, Break> {
        let (was_confirmed, deleted) = {
            let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            (record.confirmed, record.deleted.clone())
        };
        match (deleted, was_started) {
            // What was asked for is done while it is attended to.
            (Some(note), true) => return Ok(Reason::Deleted(note)),
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

    /// What is to be said of a module that was not found again.
    fn lost(&self) -> Break {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        match (&record.deleted, record.confirmed) {
            (Some(note), _) => Break::Unwanted(Reason::Deleted(note.clone())),
            (None, true) => Break::Unwanted(Reason::Itself),
            (None, false) => Break::Failed(Failure {
                step: Step::Create,
                message: "the daemon ended before it had begun".to_owned(),
            }),
        }
    }

    /// Reports the last of it, and answers whether that was done before the daemon goes away.
    async fn tell(&self, last: &Last) -> bool {
        let id = &self.order.id;
        match last {
            Ok(end) => {
                log::info!("module {id:?} has ended: {}", words(end));
                self.report(|link, order| link.ended(order, end)).await
            }
            Err(failure) => {
                log::warn!("module {id:?} can't be started: {}", failure.message);
                self.report(|link, order| link.failed(order, failure)).await
            }
        }
    }

    async fn forget(&self) {
        self.context.link.gone(&self.order).await;
        self.context.modules.forget(&self.order.name());
    }

    pub(super) async fn look(&self) -> Result<status::Response, Error> {
        let request = status::Request {
            name: self.order.name(),
        };
        self.call(request).await
    }

    pub(super) async fn call<M>(&self, request: M) -> Result<M::Response, Error>
    where
        M: Message + Send + 'static,
        M::Response: Send + 'static,
    {
        let plugin = &self.order.spec.plugin;
        self.context.plugins.call(plugin, request).await
    }

    pub(super) fn wish(&self) -> Option<Wish> {
        self.wishes.borrow().clone()
    }

    /// Breaks off where the module is not wanted any more.
    pub(super) fn unwanted(&self) -> Result<(), Break> {
        match self.wish() {
            None => Ok(()),
            Some(Wish::End(reason)) => Err(Break::Unwanted(reason)),
            Some(Wish::Leave) => Err(Break::Left),
        }
    }

    /// Does `work`, unless the module is not wanted any more.
    pub(super) async fn unless_unwanted<T>(
        &self,
        work: impl std::future::Future<Output = T>,
    ) -> Result<T, Break> {
        let mut wishes = self.wishes.clone();
        tokio::select! {
            biased;
            // The supervisor lives as long as the entry.
            Ok(_) = wishes.wait_for(Option::is_some) => {}
            done = work => return Ok(done),
        }
        Err(self.unwanted().err().unwrap_or(Break::Left))
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

    /// Nothing more is wished of it from now on. Answers the deletion, if that was wished before.
    async fn over(&self) -> Option<Reason> {
        let (sender, done) = oneshot::channel();
        let message = Request::Over(self.order.id.clone(), self.number, sender);
        // Where the supervisor is gone, nobody wishes anything any more.
        let _ = self.requests.send(message).await;
        let _ = done.await;
        match &*self.wishes.borrow() {
            Some(Wish::End(reason @ Reason::Deleted(_))) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Changes what the next daemon will know of it.
    pub(super) async fn remember(&self, change: impl FnOnce(&mut Record)) {
        let record = {
            let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut record);
            record.clone()
        };
        let modules = self.context.modules.clone();
        let name = self.order.name();
        // Disks are slow, and the loop has other modules.
        let written = tokio::task::spawn_blocking(move || modules.remember(&name, &record)).await;
        if let Ok(Err(error)) = written {
            let id = &self.order.id;
            log::warn!("{error}; the next daemon will not know module {id:?}");
        }
    }
}

fn words(end: &End) -> &str {
    match &end.status {
        Some(status) => &status.status_description,
        None => "it is not there any more",
    }
}
