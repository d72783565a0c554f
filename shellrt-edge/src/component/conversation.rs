//! What is open between the daemon and one component: a state machine without a clock and without I/O.
//!
//! Each side names its own requests. An answer to a name that is not open is a breach of the protocol;
//! one that was cancelled meanwhile is still awaited, so that its late answer is not taken for one.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{Content, FromComponent, Id, Problem};

/// How many requests of a component may be open at a time.
pub const MOST_OPEN: usize = 1024;

/// How many cancelled calls are remembered.
const MOST_CANCELLED: usize = 1 << 16;

/// Where a component is.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// It has not said that it is ready.
    Beginning,
    /// It has.
    Ready,
    /// Its `init` failed.
    Failed(Problem),
    /// It has ended; with why its `init` failed, where that is why.
    Ended(Option<Problem>),
}

/// Why a request of a component is not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There are too many.
    #[error("{MOST_OPEN} requests are open already, which is the most")]
    Full,
    /// Two requests would have the same name.
    #[error("the id {0} is in use")]
    InUse(String),
}

/// The open requests: `C` waits for the answer to a call of the daemon's, `R` hears when a request of the
/// component's is not needed any more.
#[derive(Debug)]
pub struct Conversation<C, R> {
    phase: Phase,
    last_id: u64,
    calls: BTreeMap<u64, C>,
    cancelled: BTreeSet<u64>,
    /// With a number of our own, because a component may use an id again.
    requests: BTreeMap<Id, (u64, R)>,
    last_request: u64,
}

/// The answer to a call of the daemon's.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A reply, or a part of it.
    Reply(Content),
    /// There is no reply.
    NoReply,
    /// It went wrong.
    Error(Problem),
}

/// What a message means.
#[derive(Debug, PartialEq)]
pub enum Heard<C, R> {
    /// The phase has changed.
    Phase,
    /// The answer to a call, for who waits for it.
    Answer(C, Answer),
    /// A request or a statement of the component, for the link.
    Request(FromComponent),
    /// A request of the component is not needed any more; that has to be answered by an error.
    Cancelled(Id, R),
    /// Nothing: it crossed with a cancellation or an answer.
    Nothing,
    /// It breaks the protocol: why.
    Broken(String),
}

impl<C: Clone, R> Conversation<C, R> {
    /// Nothing is open.
    pub fn new() -> Conversation<C, R> {
        Conversation {
            phase: Phase::Beginning,
            last_id: 0,
            calls: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            requests: BTreeMap::new(),
            last_request: 0,
        }
    }

    /// Where the component is.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Opens a call of the daemon's. Nothing where the component has ended.
    pub fn call(&mut self, waiter: C) -> Option<u64> {
        if matches!(self.phase, Phase::Ended(_)) {
            return None;
        }
        self.last_id += 1;
        self.calls.insert(self.last_id, waiter);
        Some(self.last_id)
    }

    /// Closes a call of the daemon's. Answers whether it was open.
    pub fn cancel(&mut self, id: u64) -> bool {
        let was_open = self.calls.remove(&id).is_some();
        if was_open {
            self.cancelled.insert(id);
            if self.cancelled.len() > MOST_CANCELLED {
                self.cancelled.pop_first();
            }
        }
        was_open
    }

    /// Opens a request of the component's. Gives the number by which it is closed.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn open(&mut self, id: Id, request: R) -> Result<u64, Refusal> {
        if self.requests.contains_key(&id) {
            return Err(Refusal::InUse(shown(&id)));
        }
        if self.requests.len() >= MOST_OPEN {
            return Err(Refusal::Full);
        }
        self.last_request += 1;
        self.requests.insert(id, (self.last_request, request));
        Ok(self.last_request)
    }

    /// Whether a request of the component's is open.
    pub fn is_open(&self, id: &Id, number: u64) -> bool {
        self.requests
            .get(id)
            .is_some_and(|(open, _)| *open == number)
    }

    /// Closes a request of the component's, which is answered now. Answers whether it was open.
    pub fn close(&mut self, id: &Id, number: u64) -> bool {
        let is_open = self.is_open(id, number);
        if is_open {
            self.requests.remove(id);
        }
        is_open
    }

    /// Takes a message.
    pub fn hear(&mut self, message: FromComponent) -> Heard<C, R> {
        match message {
            FromComponent::Ready => match self.phase {
                Phase::Beginning => {
                    self.phase = Phase::Ready;
                    Heard::Phase
                }
                Phase::Ready | Phase::Failed(_) | Phase::Ended(_) => {
                    Heard::Broken("\"ready\" comes once, after \"init\"".to_owned())
                }
            },
            FromComponent::Reply { id, content } => {
                self.answered(id, content.progress, Answer::Reply(content))
            }
            FromComponent::NoReply { id } => self.answered(id, false, Answer::NoReply),
            FromComponent::Error {
                id: Some(id),
                problem,
            } => self.answered(id, false, Answer::Error(problem)),
            FromComponent::Error { id: None, problem } => match self.phase {
                Phase::Beginning => {
                    self.phase = Phase::Failed(problem);
                    Heard::Phase
                }
                Phase::Ready | Phase::Failed(_) | Phase::Ended(_) => {
                    Heard::Broken("an \"error\" without an \"id\" answers \"init\" only".to_owned())
                }
            },
            FromComponent::Cancel { id } => match self.requests.remove(&id) {
                Some((_, request)) => Heard::Cancelled(id, request),
                // Its answer may be on the way.
                None => Heard::Nothing,
            },
            request @ (FromComponent::Cast { .. }
            | FromComponent::Call { .. }
            | FromComponent::Register { .. }
            | FromComponent::Unregister { .. }
            | FromComponent::Subscribe { .. }
            | FromComponent::Unsubscribe { .. }
            | FromComponent::Publish { .. }
            | FromComponent::Sync { .. }
            | FromComponent::Log(_)) => Heard::Request(request),
        }
    }

    /// The component has ended. Gives all that waited for an answer of it, and all that works on one.
    pub fn end(&mut self) -> (Vec<C>, Vec<R>) {
        let why = match std::mem::replace(&mut self.phase, Phase::Ended(None)) {
            Phase::Failed(problem) => Some(problem),
            Phase::Beginning | Phase::Ready | Phase::Ended(_) => None,
        };
        self.phase = Phase::Ended(why);
        let calls = std::mem::take(&mut self.calls);
        let requests = std::mem::take(&mut self.requests);
        (
            calls.into_values().collect(),
            requests.into_values().map(|(_, request)| request).collect(),
        )
    }

    fn answered(&mut self, id: u64, has_more: bool, answer: Answer) -> Heard<C, R> {
        let waiter = match has_more {
            true => self.calls.get(&id).cloned(),
            false => self.calls.remove(&id),
        };
        if let Some(waiter) = waiter {
            return Heard::Answer(waiter, answer);
        }
        let was_cancelled = match has_more {
            true => self.cancelled.contains(&id),
            false => self.cancelled.remove(&id),
        };
        match was_cancelled {
            true => Heard::Nothing,
            false => Heard::Broken(format!("no call with the id {id} is open")),
        }
    }
}

/// An id as it stands in a line.
fn shown(id: &Id) -> String {
    match id {
        Id::Number(number) => number.to_string(),
        Id::Text(text) => format!("{text:?}"),
    }
}
