//! Tells a component what comes for it, in order, and hears its answers to calls.

use std::collections::VecDeque;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::message::{Dict, Payload};
use super::session::Answer;
use super::translate;
use crate::component::{self, Answers, Call, Component, Event, Problem, Responder};

/// How much may wait until a component is ready, in bytes.
const MOST_HELD: usize = 16 << 20;

/// What comes for a component.
pub enum Delivery {
    /// The answer to a request of its own.
    Answer(Responder, Answer),
    /// The answer to a call of its own, or a part of it, for who attends to that call.
    Part(mpsc::Sender<Answer>, Answer),
    /// Something was published.
    Event(String, Payload),
    /// A procedure of its is called.
    Call {
        /// The invocation.
        request: u64,
        /// The procedure.
        procedure: String,
        /// With what.
        payload: Payload,
        /// What the router says of the call.
        details: Dict,
        /// Told when the answer is not needed any more.
        interrupted: oneshot::Receiver<()>,
    },
}

/// What a component's calls and answers lead to.
#[derive(Debug, PartialEq)]
pub enum Back {
    /// An invocation is answered, or a part of the answer is there.
    Answered {
        /// Which.
        request: u64,
        /// With what.
        payload: Payload,
        /// Whether more follows.
        progress: bool,
    },
    /// An invocation went wrong.
    Failed {
        /// Which.
        request: u64,
        /// Why.
        problem: Problem,
    },
    /// The component has given up this call of its own.
    Cancelled(u64),
}

/// Delivers until nothing comes any more or the component has ended. Before it is `ready` it hears the
/// answers to its own requests only: it may need these to become ready.
pub async fn deliver(
    component: Component,
    mut deliveries: mpsc::Receiver<Delivery>,
    ready: oneshot::Receiver<()>,
    back: mpsc::Sender<Back>,
) {
    let mut held = Held::default();
    tokio::pin!(ready);
    loop {
        tokio::select! {
            biased;
            delivery = deliveries.recv() => match delivery {
                Some(Delivery::Answer(responder, answer)) => respond(responder, answer).await,
                Some(Delivery::Part(waiter, answer)) => pass(waiter, answer).await,
                Some(delivery) => held.hold(delivery, &back).await,
                None => return,
            },
            told = &mut ready => match told {
                Ok(()) => break,
                // It never will be.
                Err(_) => return,
            },
        }
    }
    let mut held = held.deliveries;
    loop {
        let delivery = match held.pop_front() {
            Some(delivery) => delivery,
            None => match deliveries.recv().await {
                Some(delivery) => delivery,
                None => return,
            },
        };
        match delivery {
            Delivery::Answer(responder, answer) => respond(responder, answer).await,
            Delivery::Part(waiter, answer) => pass(waiter, answer).await,
            Delivery::Event(topic, payload) => {
                let Payload { args, kwargs } = payload;
                let event = Event {
                    topic,
                    args,
                    kwargs,
                };
                if let Err(error) = component.event(event).await {
                    log::warn!("an event was not delivered: {error}");
                }
            }
            Delivery::Call {
                request,
                procedure,
                payload,
                details,
                interrupted,
            } => {
                let call = Call {
                    from: details.get("caller").map_or(Value::Null, from),
                    procedure: Some(procedure),
                    content: translate::content(payload, false),
                };
                match component.call(call).await {
                    Ok(answers) => {
                        tokio::spawn(attend(answers, request, interrupted, back.clone()));
                    }
                    Err(error) => {
                        let problem = Problem::new(error.to_string());
                        let failed = Back::Failed { request, problem };
                        // Where nobody listens there is nobody to tell.
                        let _ = back.send(failed).await;
                    }
                }
            }
        }
    }
}

/// What waits until a component is ready. It must not keep the answers to the component's requests from
/// coming, so that it can't be the router who waits.
#[derive(Default)]
struct Held {
    deliveries: VecDeque<Delivery>,
    /// About how much memory they take, in bytes.
    weight: usize,
}

impl Held {
    /// Holds `delivery`, or refuses it where there is too much.
    async fn hold(&mut self, delivery: Delivery, back: &mpsc::Sender<Back>) {
        self.weight += match &delivery {
            Delivery::Event(_, payload) | Delivery::Call { payload, .. } => weight_of(payload),
            Delivery::Answer(..) | Delivery::Part(..) => 0,
        };
        if self.weight <= MOST_HELD {
            return self.deliveries.push_back(delivery);
        }
        // Nothing that comes later overtakes it.
        self.weight = MOST_HELD;
        match delivery {
            Delivery::Call { request, .. } => {
                let problem = Problem::new("the component is not ready");
                // Where nobody listens there is nobody to tell.
                let _ = back.send(Back::Failed { request, problem }).await;
            }
            Delivery::Event(topic, _) => {
                log::warn!("an event of {topic:?} was not delivered: the component is not ready");
            }
            Delivery::Answer(..) | Delivery::Part(..) => {}
        }
    }
}

fn weight_of(payload: &Payload) -> usize {
    let args = payload.args.iter().map(weight_of_value);
    let kwargs = payload.kwargs.iter();
    let kwargs = kwargs.map(|(name, value)| name.len() + weight_of_value(value));
    size_of::<Delivery>() + args.sum::<usize>() + kwargs.sum::<usize>()
}

fn weight_of_value(value: &Value) -> usize {
    let inner = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight_of_value).sum(),
        Value::Object(members) => {
            let members = members.iter();
            members
                .map(|(name, member)| name.len() + weight_of_value(member))
                .sum()
        }
    };
    size_of::<Value>() + inner
}

/// A caller, where the router tells who it is: its session.
fn from(caller: &Value) -> Value {
    match caller {
        Value::Number(session) => session.to_string().into(),
        other => other.clone(),
    }
}

async fn respond(mut responder: Responder, answer: Answer) {
    match answer {
        Answer::Done { payload, progress } => {
            let content = translate::content(payload, progress);
            responder.reply(content).await;
        }
        Answer::Error { uri, payload } => responder.error(translate::problem(uri, payload)).await,
    }
}

async fn pass(waiter: mpsc::Sender<Answer>, answer: Answer) {
    // Where nobody waits the call was cancelled.
    let _ = waiter.send(answer).await;
}

/// Attends to a call of a component's own until it is answered or given up.
pub async fn attend_own(
    mut responder: Responder,
    request: u64,
    mut parts: mpsc::Receiver<Answer>,
    back: mpsc::Sender<Back>,
) {
    loop {
        let part = tokio::select! {
            part = parts.recv() => part,
            () = responder.cancelled() => {
                let _ = back.send(Back::Cancelled(request)).await;
                return;
            }
        };
        match part {
            Some(Answer::Done {
                payload,
                progress: true,
            }) => responder.reply(translate::content(payload, true)).await,
            Some(last) => return respond(responder, last).await,
            None => {
                let problem = Problem::new("the session with the router has ended");
                return responder.error(problem).await;
            }
        }
    }
}

/// Attends to a call of a component until it has answered or nobody needs the answer.
async fn attend(
    mut answers: Answers,
    request: u64,
    mut interrupted: oneshot::Receiver<()>,
    back: mpsc::Sender<Back>,
) {
    loop {
        let answer = tokio::select! {
            answer = answers.next() => answer,
            // Dropping the answers cancels the call.
            _ = &mut interrupted => return,
        };
        let (message, is_last) = match answer {
            Ok(component::Answer::Reply(content)) => {
                let progress = content.progress;
                let payload = translate::payload(content);
                let answered = Back::Answered {
                    request,
                    payload,
                    progress,
                };
                (answered, !progress)
            }
            Ok(component::Answer::NoReply) => {
                let answered = Back::Answered {
                    request,
                    payload: Payload::default(),
                    progress: false,
                };
                (answered, true)
            }
            Ok(component::Answer::Error(problem)) => (Back::Failed { request, problem }, true),
            Err(_) => {
                let problem = translate::ended();
                (Back::Failed { request, problem }, true)
            }
        };
        if back.send(message).await.is_err() || is_last {
            return;
        }
    }
}
