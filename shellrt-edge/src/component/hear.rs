//! Hears what a component says, and passes it on to who waits for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::conversation::{Heard, Refusal};
use super::line::{self, Line, Lines};
use super::message::{FromComponent, Id, Problem, ToComponent};
use super::{Incoming, Responder, Shared, WeakComponent};
use crate::plugin::Output;

/// How much of a line that is no message is logged, in bytes.
const LOGGED: usize = 4096;

/// Hears one component.
pub(super) struct Ear {
    pub shared: Arc<Shared>,
    pub lines: mpsc::WeakSender<Bytes>,
    pub incoming: mpsc::Sender<Incoming>,
}

impl Ear {
    /// Until the end of its output.
    pub async fn hear(self, mut output: Output) {
        let mut lines = Lines::default();
        while let Some(piece) = output.next().await {
            for line in lines.feed(&piece) {
                self.line(line).await;
            }
        }
        if let Some(line) = lines.finish() {
            self.line(line).await;
        }
        // All that wait hear of it by the ends of their channels.
        let waiting = self.shared.conversation().end();
        drop(waiting);
        self.tell_phase();
    }

    async fn line(&self, line: Line) {
        match line {
            Line::Message(message) => self.message(*message).await,
            Line::Output(line) => {
                let text = String::from_utf8_lossy(&line[..line.len().min(LOGGED)]);
                log::info!("{:?} writes: {text}", self.shared.name);
                self.pass_on(Incoming::Output(line)).await;
            }
            Line::Broken(why) => self.broken(why),
        }
    }

    async fn message(&self, message: FromComponent) {
        let heard = self.shared.conversation().hear(message);
        match heard {
            Heard::Phase => self.tell_phase(),
            // Who does not wait any more has cancelled.
            Heard::Answer(waiter, answer) => drop(waiter.send(answer).await),
            Heard::Request(request) => self.request(request).await,
            Heard::Cancelled(id, cancel) => {
                let _ = cancel.send(());
                self.refuse(id, "it was cancelled").await;
            }
            Heard::Nothing => {}
            Heard::Broken(why) => self.broken(why),
        }
    }

    async fn request(&self, request: FromComponent) {
        let incoming = match request {
            FromComponent::Cast {
                target,
                data,
                delay_ms,
            } => Ok(Incoming::Cast {
                target,
                data: data.0,
                delay: delay_ms.map(Duration::from_millis),
            }),
            FromComponent::Call { id, call } => self.open(id, |it| Incoming::Call(call, it)),
            FromComponent::Register {
                id,
                procedure,
                options,
            } => self.open(id, |it| Incoming::Register(procedure, options, it)),
            FromComponent::Unregister { id, procedure } => {
                self.open(id, |it| Incoming::Unregister(procedure, it))
            }
            FromComponent::Subscribe { id, topic, options } => {
                self.open(id, |it| Incoming::Subscribe(topic, options, it))
            }
            FromComponent::Unsubscribe { id, topic } => {
                self.open(id, |it| Incoming::Unsubscribe(topic, it))
            }
            FromComponent::Publish {
                id: Some(id),
                event,
                options,
            } => self.open(id, |it| Incoming::Publish(event, options, Some(it))),
            FromComponent::Publish {
                id: None,
                event,
                options,
            } => Ok(Incoming::Publish(event, options, None)),
            FromComponent::Sync { state } => Ok(Incoming::Sync(state.0)),
            FromComponent::Log(log) => Ok(Incoming::Log(log)),
            // The conversation has taken these.
            FromComponent::Ready
            | FromComponent::Reply { .. }
            | FromComponent::NoReply { .. }
            | FromComponent::Error { .. }
            | FromComponent::Cancel { .. } => return,
        };
        match incoming {
            Ok(incoming) => self.pass_on(incoming).await,
            Err((id, refusal @ Refusal::Full)) => {
                log::warn!("{:?}: {refusal}", self.shared.name);
                self.refuse(id, &refusal.to_string()).await;
            }
            // With the id it would answer the request that is open.
            Err((_, refusal @ Refusal::InUse(_))) => self.broken(refusal.to_string()),
        }
    }

    /// Opens a request that is answered.
    fn open(
        &self,
        id: Id,
        incoming: impl FnOnce(Responder) -> Incoming,
    ) -> Result<Incoming, (Id, Refusal)> {
        let (cancel, cancelled) = oneshot::channel();
        let opened = self.shared.conversation().open(id.clone(), cancel);
        let number = opened.map_err(|refusal| (id.clone(), refusal))?;
        Ok(incoming(Responder {
            component: self.weak(),
            id,
            number,
            cancelled,
        }))
    }

    async fn pass_on(&self, incoming: Incoming) {
        // Where the link listens no more, a request is answered by its being dropped.
        let _ = self.incoming.send(incoming).await;
    }

    /// Answers a request with an error. Waits while the component does not read.
    async fn refuse(&self, id: Id, why: &str) {
        let (id, problem) = (Some(id), Problem::new(why));
        let line = line::write(&ToComponent::Error { id, problem });
        if let (Ok(line), Some(lines)) = (line, self.lines.upgrade()) {
            // Where it reads no more it does not wait.
            let _ = lines.send(line).await;
        }
    }

    /// The component has broken the protocol: it is told, as far as it listens, and goes on.
    fn broken(&self, why: String) {
        log::warn!("{:?} breaks the protocol: {why}", self.shared.name);
        let (id, problem) = (None, Problem::new(why));
        let line = line::write(&ToComponent::Error { id, problem });
        if let (Ok(line), Some(lines)) = (line, self.lines.upgrade()) {
            // One that writes nonsense and does not read must not fill the memory, nor be held up.
            let _ = lines.try_send(line);
        }
    }

    fn tell_phase(&self) {
        let phase = self.shared.conversation().phase().clone();
        self.shared.phase.send_replace(phase);
    }

    fn weak(&self) -> WeakComponent {
        WeakComponent {
            shared: Arc::clone(&self.shared),
            lines: self.lines.clone(),
        }
    }
}
