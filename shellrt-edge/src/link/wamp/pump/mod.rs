//! Between a router and a component: one task moves what comes from either side to the other, and waits for
//! neither. Where a side does not take what is for it, the other is not heard until it does.

mod requests;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::deliver::{Back, Delivery};
use super::message::{kind, Dict, Message, Payload};
use super::session::{Answer, Over, Session, Step, PAYLOAD_SIZE_EXCEEDED};
use super::translate;
use super::transport::Connection;
use crate::component::{Incoming, Responder};

/// How much may wait for a side before the other is not heard any more.
const WAITING: usize = 64;

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

    /// The component is ending: its procedures are taken back, so that no more calls come.
    pub fn withdraw(&mut self, connection: &Connection) {
        // Nobody waits for the answers.
        let key = self.key();
        for message in self.session.withdraw(&key) {
            self.send(connection, message);
        }
    }

    /// The component has ended: moves until all calls of its are answered, at least by an error, and all that
    /// it has said is on its way. Whoever calls limits the time.
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
        let mut loss = connection.loss();
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
                // Who is not heard may have gone.
                Ok(why) = loss.wait_for(Option::is_some), if !hears_router => return why.clone(),
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
