//! What comes from the router while the session is there.

use serde_json::Value;

use super::{
    reason_with_text, Answer, Over, Pending, Session, State, Step, GOODBYE_AND_OUT,
    MOST_INVOCATIONS, NO_SUCH_REGISTRATION, RUNTIME_ERROR,
};
use crate::link::wamp::message::{kind, Dict, Message, Payload};

impl<T: Clone> Session<T> {
    pub(super) fn receive_joined(&mut self, message: Message) -> Vec<Step<T>> {
        let done = |waiter: T| vec![Step::Answered(waiter, Answer::nothing())];
        match message {
            Message::Goodbye { details, reason } => {
                self.state = State::Over;
                let goodbye = Message::Goodbye {
                    details: Dict::new(),
                    reason: GOODBYE_AND_OUT.to_owned(),
                };
                let over = Over::Closed(reason_with_text(reason, &details));
                vec![Step::Send(goodbye), Step::Over(over)]
            }
            Message::Abort { details, reason } => {
                self.over(Over::Aborted(reason_with_text(reason, &details)))
            }
            Message::Registered {
                request,
                registration,
            } => match self.take(request, kind::REGISTER) {
                Some(Pending::Register(procedure, waiter)) => {
                    self.registrations.insert(registration, procedure);
                    done(waiter)
                }
                _ => self.unknown("REGISTERED", request),
            },
            Message::Subscribed {
                request,
                subscription,
            } => match self.take(request, kind::SUBSCRIBE) {
                Some(Pending::Subscribe(topic, waiter)) => {
                    self.subscriptions.insert(subscription, topic);
                    self.retired.remove(&subscription);
                    done(waiter)
                }
                _ => self.unknown("SUBSCRIBED", request),
            },
            Message::Unregistered {
                request: 0,
                details,
            } => self.revoked(&details),
            Message::Unsubscribed {
                request: 0,
                details,
            } => self.revoked(&details),
            Message::Unregistered { request, .. } => match self.take(request, kind::UNREGISTER) {
                Some(Pending::Unregister(registration, waiter)) => {
                    self.registrations.remove(&registration);
                    self.retire(registration);
                    done(waiter)
                }
                _ => self.unknown("UNREGISTERED", request),
            },
            Message::Unsubscribed { request, .. } => match self.take(request, kind::UNSUBSCRIBE) {
                Some(Pending::Unsubscribe(subscription, waiter)) => {
                    self.subscriptions.remove(&subscription);
                    self.retire(subscription);
                    done(waiter)
                }
                _ => self.unknown("UNSUBSCRIBED", request),
            },
            Message::Published { request, .. } => match self.take(request, kind::PUBLISH) {
                Some(Pending::Publish(waiter)) => waiter.map_or(Vec::new(), done),
                _ => self.unknown("PUBLISHED", request),
            },
            Message::Result {
                request,
                details,
                payload,
            } => self.result(request, &details, payload),
            Message::Error {
                kind,
                request,
                uri,
                payload,
                ..
            } => self.error(kind, request, uri, payload),
            Message::Event {
                subscription,
                details,
                payload,
                ..
            } => self.event(subscription, &details, payload),
            Message::Invocation {
                request,
                registration,
                details,
                payload,
            } => self.invocation(request, registration, details, payload),
            // Where it is unknown the answer is on its way.
            Message::Interrupt { request, .. } => match self.invocations.contains_key(&request) {
                true => vec![Step::Interrupted { request }],
                false => Vec::new(),
            },
            Message::Welcome { .. } => self.violated("a second WELCOME came".to_owned()),
            Message::Hello { .. }
            | Message::Challenge { .. }
            | Message::Authenticate { .. }
            | Message::Publish { .. }
            | Message::Subscribe { .. }
            | Message::Unsubscribe { .. }
            | Message::Call { .. }
            | Message::Cancel { .. }
            | Message::Register { .. }
            | Message::Unregister { .. }
            | Message::Yield { .. } => {
                self.violated("a message came that no router sends in a session".to_owned())
            }
        }
    }

    fn result(&mut self, request: u64, details: &Dict, payload: Payload) -> Vec<Step<T>> {
        let progress = details.get("progress") == Some(&Value::Bool(true));
        let waiter = match self.pending.get(&request) {
            Some(Pending::Call(waiter)) => waiter.clone(),
            _ => return self.unknown("RESULT", request),
        };
        if !progress {
            self.pending.remove(&request);
        }
        vec![Step::Answered(waiter, Answer::Done { payload, progress })]
    }

    fn error(&mut self, kind: u64, request: u64, uri: String, payload: Payload) -> Vec<Step<T>> {
        let waiter = match self.take(request, kind) {
            Some(
                Pending::Call(waiter)
                | Pending::Register(_, waiter)
                | Pending::Unregister(_, waiter)
                | Pending::Subscribe(_, waiter)
                | Pending::Unsubscribe(_, waiter),
            ) => Some(waiter),
            Some(Pending::Publish(waiter)) => waiter,
            None => return self.unknown("ERROR", request),
        };
        let answer = Answer::Error { uri, payload };
        waiter.map_or(Vec::new(), |waiter| vec![Step::Answered(waiter, answer)])
    }

    fn event(&mut self, subscription: u64, details: &Dict, payload: Payload) -> Vec<Step<T>> {
        let Some(topic) = self.subscriptions.get(&subscription) else {
            // It may have crossed with the end of the subscription, or have overtaken its beginning.
            return match self.is_expected(subscription, kind::SUBSCRIBE) {
                true => Vec::new(),
                false => self.violated(format!(
                    "an event came for subscription {subscription}, which there is not"
                )),
            };
        };
        let topic = match details.get("topic").and_then(Value::as_str) {
            // The subscription is a pattern.
            Some(topic) => topic.to_owned(),
            None => topic.clone(),
        };
        vec![Step::Event { topic, payload }]
    }

    fn invocation(
        &mut self,
        request: u64,
        registration: u64,
        details: Dict,
        payload: Payload,
    ) -> Vec<Step<T>> {
        if self.invocations.contains_key(&request) {
            return self.violated(format!("invocation {request} came twice"));
        }
        let Some(procedure) = self.registrations.get(&registration) else {
            if !self.is_expected(registration, kind::REGISTER) {
                return self.violated(format!(
                    "an invocation came for registration {registration}, which there is not"
                ));
            }
            return refused(request, NO_SUCH_REGISTRATION, Payload::default());
        };
        if self.invocations.len() >= MOST_INVOCATIONS {
            let why = format!("{MOST_INVOCATIONS} calls are open already, which is the most");
            let payload = Payload {
                args: vec![why.into()],
                ..Payload::default()
            };
            return refused(request, RUNTIME_ERROR, payload);
        }
        let procedure = match details.get("procedure").and_then(Value::as_str) {
            // The registration is a pattern.
            Some(procedure) => procedure.to_owned(),
            None => procedure.clone(),
        };
        let wants_parts = details.get("receive_progress") == Some(&Value::Bool(true));
        self.invocations.insert(request, wants_parts);
        vec![Step::Invoked {
            request,
            procedure,
            payload,
            details,
        }]
    }

    /// The router ends a subscription or a registration by itself.
    fn revoked(&mut self, details: &Dict) -> Vec<Step<T>> {
        for (name, open) in [
            ("subscription", &mut self.subscriptions),
            ("registration", &mut self.registrations),
        ] {
            if let Some(id) = details.get(name).and_then(Value::as_u64) {
                if let Some(uri) = open.remove(&id) {
                    log::warn!("the router has ended the {name} of {uri:?}");
                }
            }
        }
        Vec::new()
    }

    /// Whether a message for an unknown subscription or registration is no violation.
    fn is_expected(&self, id: u64, opener: u64) -> bool {
        let is_opening = |pending: &Pending<T>| pending.kind() == opener;
        self.retired.contains(&id) || self.pending.values().any(is_opening)
    }

    /// Closes a request, where it is one of this kind.
    fn take(&mut self, request: u64, kind: u64) -> Option<Pending<T>> {
        match self.pending.get(&request) {
            Some(pending) if pending.kind() == kind => self.pending.remove(&request),
            _ => None,
        }
    }

    fn unknown(&mut self, what: &str, request: u64) -> Vec<Step<T>> {
        self.violated(format!(
            "{what} came for request {request}, which is not open"
        ))
    }
}

/// An invocation is answered at once.
fn refused<T>(request: u64, uri: &str, payload: Payload) -> Vec<Step<T>> {
    vec![Step::Send(Message::Error {
        kind: kind::INVOCATION,
        request,
        details: Dict::new(),
        uri: uri.to_owned(),
        payload,
    })]
}

impl Answer {
    /// Done, and there is nothing to say of it.
    pub fn nothing() -> Answer {
        Answer::Done {
            payload: Payload::default(),
            progress: false,
        }
    }
}

impl<T> Pending<T> {
    fn kind(&self) -> u64 {
        match self {
            Pending::Call(_) => kind::CALL,
            Pending::Register(..) => kind::REGISTER,
            Pending::Unregister(..) => kind::UNREGISTER,
            Pending::Subscribe(..) => kind::SUBSCRIBE,
            Pending::Unsubscribe(..) => kind::UNSUBSCRIBE,
            Pending::Publish(_) => kind::PUBLISH,
        }
    }
}
