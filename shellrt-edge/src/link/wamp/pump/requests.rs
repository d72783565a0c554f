//! What a component wants from its router, and what it is refused.

use tokio::sync::mpsc;

use super::{Pump, Waiter};
use crate::component::{Incoming, Level, Log, OwnCall, Responder, Target};
use crate::link::wamp::deliver::{attend_own, Delivery};
use crate::link::wamp::message::{Message, Payload};
use crate::link::wamp::session::{Refused, Session};
use crate::link::wamp::translate;
use crate::link::wamp::transport::Connection;

/// How many parts of an answer wait for who attends to the call.
const PARTS: usize = 16;

/// What a component is refused.
const INVALID_ARGUMENT: &str = "wamp.error.invalid_argument";

impl Pump {
    /// Takes what the component wants.
    pub(super) fn request(&mut self, connection: &Connection, request: Incoming) {
        match request {
            Incoming::Call(call, responder) => self.call(connection, call, responder),
            Incoming::Register(procedure, options, responder) => {
                let asked =
                    |session: &mut Session<u64>, key| session.register(procedure, options, key);
                self.ask(connection, responder, asked);
            }
            Incoming::Unregister(procedure, responder) => {
                let asked = |session: &mut Session<u64>, key| session.unregister(procedure, key);
                self.ask(connection, responder, asked);
            }
            Incoming::Subscribe(topic, options, responder) => {
                let asked =
                    |session: &mut Session<u64>, key| session.subscribe(topic, options, key);
                self.ask(connection, responder, asked);
            }
            Incoming::Unsubscribe(topic, responder) => {
                let asked = |session: &mut Session<u64>, key| session.unsubscribe(topic, key);
                self.ask(connection, responder, asked);
            }
            Incoming::Publish(event, options, responder) => {
                let payload = Payload {
                    args: event.args,
                    kwargs: event.kwargs,
                };
                let topic = event.topic;
                match responder {
                    Some(responder) => self.ask(connection, responder, |session, key| {
                        session.publish(topic, options, payload, Some(key))
                    }),
                    None => match self.session.publish(topic, options, payload, None) {
                        Ok(message) => self.send(connection, message),
                        Err(refused) => log::warn!("{:?} can't publish: {refused}", self.name),
                    },
                }
            }
            Incoming::Log(Log {
                level,
                target,
                message,
            }) => log::log!(level_of(level), "{:?} {target}: {message}", self.name),
            // It is logged where it is heard.
            Incoming::Output(_) => {}
            Incoming::Cast { .. } => {
                log::warn!(
                    "{:?} wants to cast, which WAMP has not; it can publish",
                    self.name
                );
            }
            Incoming::Sync(_) => {
                log::warn!("{:?} wants its state kept, which WAMP does not", self.name);
            }
        }
    }

    fn call(&mut self, connection: &Connection, call: OwnCall, responder: Responder) {
        let OwnCall {
            target,
            procedure,
            content,
            options,
        } = call;
        let (Target::Nobody, Some(procedure)) = (target, procedure) else {
            let why = "a call in WAMP has a \"procedure\", and nothing else says whom it is for";
            let refused = translate::refusal(INVALID_ARGUMENT, &why);
            return self.inbox.push_back(Delivery::Answer(responder, refused));
        };
        let key = self.key();
        let payload = translate::payload(content);
        match self.session.call(procedure, options, payload, key) {
            Ok((request, message)) => {
                let (waiter, parts) = mpsc::channel(PARTS);
                self.waiting.insert(key, Waiter::Call(waiter));
                tokio::spawn(attend_own(responder, request, parts, self.back.clone()));
                self.send(connection, message);
            }
            Err(refused) => self.refuse(responder, &refused),
        }
    }

    fn ask(
        &mut self,
        connection: &Connection,
        responder: Responder,
        asked: impl FnOnce(&mut Session<u64>, u64) -> Result<Message, Refused>,
    ) {
        let key = self.key();
        match asked(&mut self.session, key) {
            Ok(message) => {
                self.waiting.insert(key, Waiter::Request(responder));
                self.send(connection, message);
            }
            Err(refused) => self.refuse(responder, &refused),
        }
    }

    fn refuse(&mut self, responder: Responder, refused: &Refused) {
        let answer = translate::refusal(refused.uri(), refused);
        self.inbox.push_back(Delivery::Answer(responder, answer));
    }
}

fn level_of(level: Level) -> log::Level {
    match level {
        Level::Error => log::Level::Error,
        Level::Warn => log::Level::Warn,
        Level::Info => log::Level::Info,
        Level::Debug => log::Level::Debug,
        Level::Trace => log::Level::Trace,
    }
}
