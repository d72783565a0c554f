//! What a component asks of its router, and what it answers.

use serde_json::Value;

use super::{Pending, Session, State, CANCELED, RUNTIME_ERROR};
use crate::link::wamp::message::{kind, Dict, Message, Payload};

/// Why a request is not even sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no session.
    #[error("there is no session with a router now")]
    NotJoined,
    /// The name can't be one.
    #[error("{0:?} is no URI: its parts, between dots, must not be empty and must not have spaces or \"#\"")]
    InvalidUri(String),
    /// Nothing of this name is registered.
    #[error("no procedure {0:?} is registered")]
    NoSuchRegistration(String),
    /// Nothing of this name is subscribed to.
    #[error("no topic {0:?} is subscribed to")]
    NoSuchSubscription(String),
}

impl Refused {
    /// The protocol's name for it.
    pub fn uri(&self) -> &'static str {
        match self {
            Refused::NotJoined => "wamp.error.not_joined",
            Refused::InvalidUri(_) => "wamp.error.invalid_uri",
            Refused::NoSuchRegistration(_) => "wamp.error.no_such_registration",
            Refused::NoSuchSubscription(_) => "wamp.error.no_such_subscription",
        }
    }
}

impl<T: Clone> Session<T> {
    /// Calls a procedure. The number is for [`Session::cancel`].
    ///
    /// # Errors
    /// [`Refused`].
    pub fn call(
        &mut self,
        procedure: String,
        options: Dict,
        payload: Payload,
        waiter: T,
    ) -> Result<(u64, Message), Refused> {
        self.check(&procedure, &Dict::new())?;
        let request = self.open(Pending::Call(waiter));
        let call = Message::Call {
            request,
            options,
            procedure,
            payload,
        };
        Ok((request, call))
    }

    /// Gives a call up. Its answer is still awaited: an error, where the router can cancel.
    pub fn cancel(&mut self, request: u64) -> Option<Message> {
        let is_open = matches!(self.pending.get(&request), Some(Pending::Call(_)));
        if !is_open || self.state != State::Joined {
            return None;
        }
        let mut options = Dict::new();
        options.insert("mode".to_owned(), "kill".into());
        Some(Message::Cancel { request, options })
    }

    /// Offers a procedure.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn register(
        &mut self,
        procedure: String,
        options: Dict,
        waiter: T,
    ) -> Result<Message, Refused> {
        self.check(&procedure, &options)?;
        let request = self.open(Pending::Register(procedure.clone(), waiter));
        Ok(Message::Register {
            request,
            options,
            procedure,
        })
    }

    /// Offers a procedure no more.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn unregister(&mut self, procedure: String, waiter: T) -> Result<Message, Refused> {
        self.check_joined()?;
        let found = of_name(&self.registrations, &procedure);
        let registration = found.ok_or(Refused::NoSuchRegistration(procedure))?;
        let request = self.open(Pending::Unregister(registration, waiter));
        Ok(Message::Unregister {
            request,
            registration,
        })
    }

    /// Offers no procedure any more. `waiter` is told of each.
    pub fn withdraw(&mut self, waiter: &T) -> Vec<Message> {
        if self.state != State::Joined {
            return Vec::new();
        }
        let offered: Vec<u64> = self.registrations.keys().copied().collect();
        let messages = offered.into_iter().map(|registration| {
            let request = self.open(Pending::Unregister(registration, waiter.clone()));
            Message::Unregister {
                request,
                registration,
            }
        });
        messages.collect()
    }

    /// Wants to hear a topic.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn subscribe(
        &mut self,
        topic: String,
        options: Dict,
        waiter: T,
    ) -> Result<Message, Refused> {
        self.check(&topic, &options)?;
        let request = self.open(Pending::Subscribe(topic.clone(), waiter));
        Ok(Message::Subscribe {
            request,
            options,
            topic,
        })
    }

    /// Wants to hear a topic no more.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn unsubscribe(&mut self, topic: String, waiter: T) -> Result<Message, Refused> {
        self.check_joined()?;
        let found = of_name(&self.subscriptions, &topic);
        let subscription = found.ok_or(Refused::NoSuchSubscription(topic))?;
        let request = self.open(Pending::Unsubscribe(subscription, waiter));
        Ok(Message::Unsubscribe {
            request,
            subscription,
        })
    }

    /// Publishes. Who waits hears when the router has it.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn publish(
        &mut self,
        topic: String,
        mut options: Dict,
        payload: Payload,
        waiter: Option<T>,
    ) -> Result<Message, Refused> {
        self.check(&topic, &Dict::new())?;
        if waiter.is_some() {
            options.insert("acknowledge".to_owned(), true.into());
        }
        let is_acknowledged = options.get("acknowledge") == Some(&Value::Bool(true));
        let request = match is_acknowledged {
            true => self.open(Pending::Publish(waiter)),
            false => self.next_request(),
        };
        Ok(Message::Publish {
            request,
            options,
            topic,
            payload,
        })
    }

    /// Answers an invocation, or gives a part of the answer. Nothing where nobody waits for it.
    pub fn answer(&mut self, request: u64, payload: Payload, progress: bool) -> Option<Message> {
        let wants_parts = *self.invocations.get(&request)?;
        let mut options = Dict::new();
        if progress {
            // The protocol forbids parts that were not asked for.
            if !wants_parts {
                return None;
            }
            options.insert("progress".to_owned(), true.into());
        } else {
            self.invocations.remove(&request);
        }
        self.only_joined(Message::Yield {
            request,
            options,
            payload,
        })
    }

    /// Answers an invocation with an error. Nothing where nobody waits for it.
    pub fn fail(&mut self, request: u64, uri: &str, payload: Payload) -> Option<Message> {
        self.invocations.remove(&request)?;
        let uri = match is_uri(uri, false) {
            true => uri,
            false => RUNTIME_ERROR,
        };
        self.only_joined(Message::Error {
            kind: kind::INVOCATION,
            request,
            details: Dict::new(),
            uri: uri.to_owned(),
            payload,
        })
    }

    /// Answers an invocation that its caller has given up.
    pub fn interrupted(&mut self, request: u64) -> Option<Message> {
        self.fail(request, CANCELED, Payload::default())
    }

    /// A request that could not be sent. Answers who waits for it.
    pub fn forget(&mut self, request: u64) -> Option<T> {
        match self.pending.remove(&request)? {
            Pending::Call(waiter)
            | Pending::Register(_, waiter)
            | Pending::Unregister(_, waiter)
            | Pending::Subscribe(_, waiter)
            | Pending::Unsubscribe(_, waiter) => Some(waiter),
            Pending::Publish(waiter) => waiter,
        }
    }

    fn only_joined(&self, message: Message) -> Option<Message> {
        (self.state == State::Joined).then_some(message)
    }

    fn open(&mut self, pending: Pending<T>) -> u64 {
        let request = self.next_request();
        self.pending.insert(request, pending);
        request
    }

    fn check_joined(&self) -> Result<(), Refused> {
        match self.state {
            State::Joined => Ok(()),
            State::Joining | State::Leaving | State::Over => Err(Refused::NotJoined),
        }
    }

    /// Some routers close the connection for a name that is none.
    fn check(&self, uri: &str, options: &Dict) -> Result<(), Refused> {
        self.check_joined()?;
        let matching = options.get("match").and_then(Value::as_str);
        let is_pattern = matches!(matching, Some("prefix" | "wildcard"));
        match is_uri(uri, is_pattern) {
            true => Ok(()),
            false => Err(Refused::InvalidUri(uri.to_owned())),
        }
    }
}

/// The specification's loose rule; the parts of a pattern may be empty.
fn is_uri(uri: &str, is_pattern: bool) -> bool {
    let is_part = |part: &str| {
        (is_pattern || !part.is_empty())
            && !part.contains(|it: char| it.is_whitespace() || it == '#')
    };
    uri.split('.').all(is_part)
}

fn of_name(named: &std::collections::BTreeMap<u64, String>, name: &str) -> Option<u64> {
    let mut found = named.iter().filter(|(_, its_name)| *its_name == name);
    found.next().map(|(id, _)| *id)
}
