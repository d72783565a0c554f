//! A session with a router: a state machine without a clock and without I/O. It takes messages and gives
//! steps, and knows all that is open.
//!
//! ```text
//! Joining -- WELCOME --> Joined -- leave --> Leaving -- GOODBYE --> Over
//!    |  CHALLENGE ^        |                                         ^
//!    +------------+        +-- GOODBYE, ABORT, a violation ----------+
//! ```

mod answers;
mod requests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{json, Value};

use super::auth::Credentials;
use super::message::{Dict, Message, Payload, MAX_ID};

pub use requests::Refused;

/// The error that a component's failure is to a caller, where it names none itself.
pub const RUNTIME_ERROR: &str = "wamp.error.runtime_error";

/// The error of a cancelled call.
pub const CANCELED: &str = "wamp.error.canceled";

/// The error of a message that is too large.
pub const PAYLOAD_SIZE_EXCEEDED: &str = "wamp.error.payload_size_exceeded";

/// The reason with which a session is left.
pub const CLOSE_REALM: &str = "wamp.close.close_realm";

/// The error of a realm that the router does not have.
pub const NO_SUCH_REALM: &str = "wamp.error.no_such_realm";

const GOODBYE_AND_OUT: &str = "wamp.close.goodbye_and_out";
const PROTOCOL_VIOLATION: &str = "wamp.error.protocol_violation";
const CANNOT_AUTHENTICATE: &str = "wamp.error.cannot_authenticate";
const NO_SUCH_REGISTRATION: &str = "wamp.error.no_such_registration";

/// How many subscriptions and registrations that are over are remembered, because messages for them may
/// still be on their way.
const MOST_RETIRED: usize = 1024;

/// How many calls of a component may be open at a time: each takes memory until it is answered.
const MOST_INVOCATIONS: usize = 4096;

/// A session. `T` is told what becomes of a request.
#[derive(Debug)]
pub struct Session<T> {
    state: State,
    credentials: Credentials,
    last_request: u64,
    pending: BTreeMap<u64, Pending<T>>,
    /// Their ids, and their names.
    registrations: BTreeMap<u64, String>,
    subscriptions: BTreeMap<u64, String>,
    retired: BTreeSet<u64>,
    /// What is being answered, and whether the caller wants parts of the answer.
    invocations: BTreeMap<u64, bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Joining,
    Joined,
    Leaving,
    Over,
}

/// What waits for the router's answer.
#[derive(Debug)]
enum Pending<T> {
    Call(T),
    Register(String, T),
    Unregister(u64, T),
    Subscribe(String, T),
    Unsubscribe(u64, T),
    /// A publication is acknowledged although nobody waits for that, where its options say so.
    Publish(Option<T>),
}

/// What a message leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<T> {
    /// This goes to the router.
    Send(Message),
    /// The session is there.
    Joined {
        /// Its id.
        session: u64,
        /// What the router says of it.
        details: Dict,
    },
    /// A request is answered.
    Answered(T, Answer),
    /// Something was published.
    Event {
        /// To which topic.
        topic: String,
        /// What.
        payload: Payload,
    },
    /// A procedure is called.
    Invoked {
        /// The call's id.
        request: u64,
        /// Which one.
        procedure: String,
        /// With what.
        payload: Payload,
        /// What the router says of the call.
        details: Dict,
    },
    /// The answer to a call is not needed any more.
    Interrupted {
        /// The call's id.
        request: u64,
    },
    /// The session has ended, and what carries it is to be closed.
    Over(Over),
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It is done. A part of a result is followed by more.
    Done {
        /// The result.
        payload: Payload,
        /// Whether more follows.
        progress: bool,
    },
    /// It is not done.
    Error {
        /// Which error.
        uri: String,
        /// What belongs to it.
        payload: Payload,
    },
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Over {
    /// We have left it.
    #[error("the session was left")]
    Left,
    /// The router has ended it.
    #[error("the router has closed the session: {0}")]
    Closed(String),
    /// The router does not want it.
    #[error("the router has aborted the session: {0}")]
    Aborted(String),
    /// The router's challenge can't be answered.
    #[error(transparent)]
    Auth(#[from] super::auth::Error),
    /// The router breaks the protocol.
    #[error("the router breaks the protocol: {0}")]
    Violated(String),
}

impl<T: Clone> Session<T> {
    /// Joins `realm`: the session, and its first message.
    ///
    /// # Errors
    /// Where the credentials are none.
    pub fn join(
        realm: &str,
        credentials: Credentials,
    ) -> Result<(Session<T>, Message), super::auth::Error> {
        let mut details = Dict::new();
        let agent = concat!("shellrt-edged-", env!("CARGO_PKG_VERSION"));
        details.insert("agent".to_owned(), agent.into());
        details.insert("roles".to_owned(), roles());
        credentials.introduce(&mut details)?;
        let session = Session {
            state: State::Joining,
            credentials,
            last_request: 0,
            pending: BTreeMap::new(),
            registrations: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            retired: BTreeSet::new(),
            invocations: BTreeMap::new(),
        };
        let realm = realm.to_owned();
        Ok((session, Message::Hello { realm, details }))
    }

    /// Whether requests can be made.
    pub fn is_joined(&self) -> bool {
        self.state == State::Joined
    }

    /// Leaves. What is to be sent is nothing where there is no session to leave.
    pub fn leave(&mut self, reason: &str) -> Option<Message> {
        if self.state != State::Joined {
            self.state = State::Over;
            return None;
        }
        self.state = State::Leaving;
        Some(Message::Goodbye {
            details: Dict::new(),
            reason: reason.to_owned(),
        })
    }

    /// Takes what could not even be read.
    pub fn receive_nonsense(&mut self, why: String) -> Vec<Step<T>> {
        self.violated(why)
    }

    /// Takes a message.
    pub fn receive(&mut self, message: Message) -> Vec<Step<T>> {
        match self.state {
            State::Joining => self.receive_joining(message),
            State::Joined => self.receive_joined(message),
            State::Leaving => match message {
                Message::Goodbye { .. } | Message::Abort { .. } => self.over(Over::Left),
                // It was on its way when we left.
                _ => Vec::new(),
            },
            State::Over => Vec::new(),
        }
    }

    fn receive_joining(&mut self, message: Message) -> Vec<Step<T>> {
        match message {
            Message::Welcome { session, details } => {
                self.state = State::Joined;
                vec![Step::Joined { session, details }]
            }
            Message::Challenge { method, extra } => {
                match self.credentials.answer(&method, &extra) {
                    Ok(signature) => {
                        let extra = Dict::new();
                        vec![Step::Send(Message::Authenticate { signature, extra })]
                    }
                    Err(error) => self.abort(CANNOT_AUTHENTICATE, error.to_string(), error.into()),
                }
            }
            Message::Abort { details, reason } => {
                self.over(Over::Aborted(reason_with_text(reason, &details)))
            }
            _ => self.violated("a message came before WELCOME".to_owned()),
        }
    }

    /// A request's number: they count up from 1 and wrap to it.
    fn next_request(&mut self) -> u64 {
        self.last_request = match self.last_request {
            MAX_ID => 1,
            last => last + 1,
        };
        self.last_request
    }

    fn retire(&mut self, id: u64) {
        self.retired.insert(id);
        if self.retired.len() > MOST_RETIRED {
            self.retired.pop_first();
        }
    }

    fn over(&mut self, over: Over) -> Vec<Step<T>> {
        self.state = State::Over;
        vec![Step::Over(over)]
    }

    fn violated(&mut self, why: String) -> Vec<Step<T>> {
        if self.state == State::Over {
            return Vec::new();
        }
        self.abort(PROTOCOL_VIOLATION, why.clone(), Over::Violated(why))
    }

    fn abort(&mut self, reason: &str, message: String, over: Over) -> Vec<Step<T>> {
        self.state = State::Over;
        let mut details = Dict::new();
        details.insert("message".to_owned(), message.into());
        let abort = Message::Abort {
            details,
            reason: reason.to_owned(),
        };
        vec![Step::Send(abort), Step::Over(over)]
    }
}

/// A reason, and what its details say to people.
fn reason_with_text(reason: String, details: &Dict) -> String {
    match details.get("message").and_then(Value::as_str) {
        Some(text) if !text.is_empty() => format!("{reason}: {text}"),
        _ => reason,
    }
}

fn roles() -> Value {
    let registered = json!({
        "call_canceling": true,
        "pattern_based_registration": true,
        "progressive_call_results": true,
        "registration_revocation": true,
        "shared_registration": true,
    });
    let subscribed = json!({
        "pattern_based_subscription": true,
        "subscription_revocation": true,
    });
    let called = json!({
        "call_canceling": true,
        "call_timeout": true,
        "progressive_call_results": true,
    });
    let published = json!({
        "publisher_exclusion": true,
        "subscriber_blackwhite_listing": true,
    });
    json!({
        "callee": {"features": registered},
        "caller": {"features": called},
        "publisher": {"features": published},
        "subscriber": {"features": subscribed},
    })
}
