//! Between a router and a component: one task moves what comes from either side to the other, and waits for
//! neither. Where a side does not take what is for it, the other is not heard until it does.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::deliver::{attend_own, Back, Delivery};
use super::message::{kind, Dict, Message, Payload};
use super::session::{Answer, Over, Refused, Session, Step, PAYLOAD_SIZE_EXCEEDED};
use super::translate;
use super::transport::Connection;
use crate::component::{Incoming, Log, OwnCall, Responder, Target};

/// How much may wait for a side before the other is not heard any more.
const WAITING: usize = 64;

/// How many parts of an answer wait for who attends to the call.
const PARTS: usize = 16;

/// What a component is refused.
const INVALID_ARGUMENT: &str = "wamp.error.invalid_argument";

/// What moves.
pub struct Pump {
    name: String,
    session: Session<u64>,
    /// Who waits for the answers to the component's requests, by what the session knows them.
    waiting: BTreeMap<u64, Waiter>,
    last_key: u64,
    /// Who is told that an invocation is given up.
    invocations: BTreeMap<u64, oneshot::Sender<()>>,
    /// For the router.
    outbox: VecDeque<Bytes>,
    /// For the component.
    inbox: VecDeque<Delivery>,
    back: mpsc::Sender<Back>,
    backs: mpsc::Receiver<Back>,
}

enum Waiter {
    Request(Responder),
    Call(mpsc::Sender<Answer>),
}

impl Pump {
    /// What moves between the router of `session` and the component `name`.
    pub fn new(name: &str, session: Session<u64>) -> Pump {
        let (back, backs) = mpsc::channel(WAITING);
        Pump {
            name: name.to_owned(),
            session,
            waiting: BTreeMap::new(),
            last_key: 0,
            invocations: BTreeMap::new(),
            outbox: VecDeque::new(),
            inbox: VecDeque::new(),
            back,
            backs,
        }
    }

    /// Where answers to calls go.
    pub fn back(&self) -> mpsc::Sender<Back> {
        self.back.clone()
    }

    /// Moves until the session or the connection has ended, and says why. May be dropped and called again.
    pub async fn run(
        &mut self,
        connection: &mut Connection,
        deliveries: &mpsc::Sender<Delivery>,
        requests: &mut mpsc::Receiver<Incoming>,
    ) -> String {
        let moved = self.move_until(connection, deliveries, requests, |_| false);
        moved.await.unwrap_or_default()
    }

    /// The component has ended: moves until all calls of its are answered, at least by an error, and all that
    /// it has said is on its way. Whoever calls limits the time: new calls may come.
    pub async fn settle(
        &mut self,
        connection: &mut Connection,
        deliveries: &mpsc::Sender<Delivery>,
        requests: &mut mpsc::Receiver<Incoming>,
    ) {
        let is_settled = |pump: &Pump| pump.invocations.is_empty() && pump.outbox.is_empty();
        // Where the session ends meanwhile there is nothing to settle.
        let _ = self
            .move_until(connection, deliveries, requests, is_settled)
            .await;
    }

    /// Answers why the session has ended, or nothing when it is `done` before.
    async fn move_until(
        &mut self,
        connection: &mut Connection,
        deliveries: &mpsc::Sender<Delivery>,
        requests: &mut mpsc::Receiver<Incoming>,
        done: impl Fn(&Pump) -> bool,
    ) -> Option<String> {
        let outgoing = connection.outgoing.clone();
        loop {
            if requests.is_empty() && done(self) {
                return None;
            }
            let hears_component = self.outbox.len() < WAITING;
            // Most of what a router says is not answered by the daemon itself.
            let hears_router = self.inbox.len() < WAITING && self.outbox.len() < 2 * WAITING;
            tokio::select! {
                permit = outgoing.reserve(), if !self.outbox.is_empty() => {
                    let Ok(permit) = permit else {
                        return Some(connection.why_lost().await);
                    };
                    if let Some(bytes) = self.outbox.pop_front() {
                        permit.send(bytes);
                    }
                }
                Ok(permit) = deliveries.reserve(), if !self.inbox.is_empty() => {
                    if let Some(delivery) = self.inbox.pop_front() {
                        permit.send(delivery);
                    }
                }
                bytes = connection.next(), if hears_router => match bytes {
                    Ok(bytes) => if let Some(over) = self.hear(connection, &bytes) {
                        self.flush(&outgoing);
                        return Some(over.to_string());
                    },
                    Err(why) => return Some(why),
                },
                Some(request) = requests.recv(), if hears_component => {
                    self.request(connection, request);
                }
                Some(back) = self.backs.recv(), if hears_component => self.back_from(connection, back),
            }
        }
    }

    /// Says goodbye, and waits for the answer. Whoever calls limits the time.
    pub async fn leave(&mut self, connection: &mut Connection, reason: &str) {
        let outgoing = connection.outgoing.clone();
        let Some(goodbye) = self.session.leave(reason) else {
            return;
        };
        // What the component has said before goes out before.
        self.send(connection, goodbye);
        while let Some(bytes) = self.outbox.pop_front() {
            if outgoing.send(bytes).await.is_err() {
                return;
            }
        }
        while let Ok(bytes) = connection.next().await {
            if self.hear(connection, &bytes).is_some() {
                return;
            }
        }
    }

    /// Takes a message of the router's. Answers how the session is over, where it is.
    fn hear(&mut self, connection: &Connection, bytes: &[u8]) -> Option<Over> {
        for step in receive(&mut self.session, connection, bytes) {
            match step {
                Step::Send(message) => self.send(connection, message),
                Step::Joined { .. } => {}
                Step::Answered(key, answer) => self.answered(key, answer),
                Step::Event { topic, payload } => {
                    self.inbox.push_back(Delivery::Event(topic, payload));
                }
                Step::Invoked {
                    request,
                    procedure,
                    payload,
                    details,
                } => {
                    let (interrupt, interrupted) = oneshot::channel();
                    self.invocations.insert(request, interrupt);
                    self.inbox.push_back(Delivery::Call {
                        request,
                        procedure,
                        payload,
                        details,
                        interrupted,
                    });
                }
                Step::Interrupted { request } => {
                    // Dropping it tells who attends to the call.
                    self.invocations.remove(&request);
                    if let Some(message) = self.session.interrupted(request) {
                        self.send(connection, message);
                    }
                }
                Step::Over(over) => return Some(over),
            }
        }
        None
    }

    fn answered(&mut self, key: u64, answer: Answer) {
        let has_more = matches!(answer, Answer::Done { progress: true, .. });
        if let (true, Some(Waiter::Call(waiter))) = (has_more, self.waiting.get(&key)) {
            let part = Delivery::Part(waiter.clone(), answer);
            return self.inbox.push_back(part);
        }
        match self.waiting.remove(&key) {
            Some(Waiter::Request(responder)) => {
                self.inbox.push_back(Delivery::Answer(responder, answer));
            }
            Some(Waiter::Call(waiter)) => self.inbox.push_back(Delivery::Part(waiter, answer)),
            None => {}
        }
    }

    /// Takes what the component wants.
    fn request(&mut self, connection: &Connection, request: Incoming) {
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

    fn back_from(&mut self, connection: &Connection, back: Back) {
        let message = match back {
            Back::Answered {
                request,
                payload,
                progress,
            } => {
                if !progress {
                    self.invocations.remove(&request);
                }
                self.session.answer(request, payload, progress)
            }
            Back::Failed { request, problem } => {
                self.invocations.remove(&request);
                let (uri, payload) = translate::error(problem);
                self.session.fail(request, &uri, payload)
            }
            Back::Cancelled(request) => self.session.cancel(request),
        };
        if let Some(message) = message {
            self.send(connection, message);
        }
    }

    /// Queues a message. One that the router would not take is answered here.
    fn send(&mut self, connection: &Connection, message: Message) {
        let answers = match &message {
            Message::Yield { request, .. } => Some(*request),
            Message::Error {
                kind: kind::INVOCATION,
                request,
                ..
            } => Some(*request),
            _ => None,
        };
        let asks = match &message {
            Message::Call { request, .. } | Message::Publish { request, .. } => Some(*request),
            _ => None,
        };
        let bytes = connection.serializer.encode(&message.into_value());
        if bytes.len() <= connection.largest {
            return self.outbox.push_back(bytes.into());
        }
        let why = format!(
            "a message has {} bytes, and the router takes at most {}",
            bytes.len(),
            connection.largest
        );
        log::warn!("{:?}: {why}", self.name);
        if let Some(request) = answers {
            let error = Message::Error {
                kind: kind::INVOCATION,
                request,
                details: Dict::new(),
                uri: PAYLOAD_SIZE_EXCEEDED.to_owned(),
                payload: Payload::default(),
            };
            let bytes = connection.serializer.encode(&error.into_value());
            self.outbox.push_back(bytes.into());
        }
        if let Some(key) = asks.and_then(|request| self.session.forget(request)) {
            self.answered(key, translate::refusal(PAYLOAD_SIZE_EXCEEDED, &why));
        }
    }

    /// The last words go out, as far as there is room: nobody waits any more.
    fn flush(&mut self, outgoing: &mpsc::Sender<Bytes>) {
        while let Some(bytes) = self.outbox.pop_front() {
            if outgoing.try_send(bytes).is_err() {
                return;
            }
        }
    }

    fn key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }
}

/// What a router's bytes mean for a session.
pub fn receive(
    session: &mut Session<u64>,
    connection: &Connection,
    bytes: &[u8],
) -> Vec<Step<u64>> {
    let value = match connection.serializer.decode(bytes) {
        Ok(value) => value,
        Err(error) => return session.receive_nonsense(error.to_string()),
    };
    match Message::parse(value) {
        Ok(message) => session.receive(message),
        Err(error) => session.receive_nonsense(error.to_string()),
    }
}

fn level_of(level: crate::component::Level) -> log::Level {
    use crate::component::Level;
    match level {
        Level::Error => log::Level::Error,
        Level::Warn => log::Level::Warn,
        Level::Info => log::Level::Info,
        Level::Debug => log::Level::Debug,
        Level::Trace => log::Level::Trace,
    }
}
