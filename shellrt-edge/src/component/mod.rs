//! Components: modules that a link talks to over their own stdin and stdout, one JSON object per line.
//!
//! [`open`] takes what `attach` gives. A link asks by the [`Component`] and hears by a channel of
//! [`Incoming`]. Whatever a component does wrong it is told (`error`), and it goes on.
//!
//! ```text
//! Beginning -- ready --> Ready -- end of its output --> Ended
//!     |                                                   ^
//!     +-- error --> Failed -------------------------------+
//! ```
//! Until it is ready nothing but `init` is sent, besides the answers to its own requests: a component may
//! need these to become ready.

mod conversation;
mod hear;
mod line;
mod message;
mod payload;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};

use crate::plugin::{Input, Output};
use conversation::Conversation;

pub use conversation::{Answer, Phase, MOST_OPEN};
pub use line::LONGEST_LINE;
pub use message::{
    Call, Cast, Content, Event, FromComponent, Id, Init, Instance, Level, Log, OwnCall, Problem,
    Target, ToComponent,
};
pub use payload::{Payload, State};

/// How many lines wait until they are written.
const LINES: usize = 64;

/// How much is written at once, in bytes, where many lines wait.
const BATCH: usize = 256 << 10;

/// How many messages of a component wait for the link; then the component waits.
const MESSAGES: usize = 256;

/// How many parts of an answer wait for who reads it; then the component waits.
const PARTS: usize = 16;

/// Why something can't be asked of a component, or is not answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Its line would be too long.
    #[error("a message for the component is {0} bytes long, and {LONGEST_LINE} is the most")]
    TooLong(usize),
    /// It has ended, or reads no more.
    #[error("the component has ended")]
    Ended,
    /// It did not become ready.
    #[error("the component can't begin: {}", .0.message)]
    Failed(Problem),
}

/// What a component wants from its link.
#[derive(Debug)]
pub enum Incoming {
    /// Something that is not answered.
    Cast {
        /// For whom.
        target: Target,
        /// What.
        data: Bytes,
        /// How long to wait before it goes.
        delay: Option<Duration>,
    },
    /// A call.
    Call(OwnCall, Responder),
    /// It offers a procedure, with the options.
    Register(String, Map<String, Value>, Responder),
    /// It offers a procedure no more.
    Unregister(String, Responder),
    /// It wants to hear a topic, with the options.
    Subscribe(String, Map<String, Value>, Responder),
    /// It wants to hear a topic no more.
    Unsubscribe(String, Responder),
    /// It has something for a topic, with the options, and wants to know or not that it is there.
    Publish(Event, Map<String, Value>, Option<Responder>),
    /// The state for the next `init`.
    Sync(Bytes),
    /// A line for the log.
    Log(Log),
    /// A line that is no message.
    Output(Bytes),
}

/// How a link asks something of a component. When the last one is dropped the component's stdin ends.
#[derive(Clone)]
pub struct Component {
    shared: Arc<Shared>,
    lines: mpsc::Sender<Bytes>,
}

/// What waits for the answer to a call.
type Waiter = mpsc::Sender<Answer>;

/// What hears that a request of a component is not needed any more.
type Cancel = oneshot::Sender<()>;

/// What the link's side and the hearing side both know.
struct Shared {
    name: String,
    conversation: Mutex<Conversation<Waiter, Cancel>>,
    phase: watch::Sender<Phase>,
}

impl Shared {
    fn conversation(&self) -> MutexGuard<'_, Conversation<Waiter, Cancel>> {
        // Nothing is half done where it panics.
        self.conversation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Talks to the module `name` over its stdin and stdout.
pub fn open(name: &str, input: Input, output: Output) -> (Component, mpsc::Receiver<Incoming>) {
    let (lines, waiting) = mpsc::channel(LINES);
    let (incoming, messages) = mpsc::channel(MESSAGES);
    let shared = Arc::new(Shared {
        name: name.to_owned(),
        conversation: Mutex::new(Conversation::new()),
        phase: watch::channel(Phase::Beginning).0,
    });
    tokio::spawn(write_lines(input, waiting));
    let ear = hear::Ear {
        shared: Arc::clone(&shared),
        // Whoever hears must not keep the component's stdin open.
        lines: lines.downgrade(),
        incoming,
    };
    tokio::spawn(ear.hear(output));
    (Component { shared, lines }, messages)
}

/// Writes the lines, several at once where they have come faster than they are read.
async fn write_lines(input: Input, mut waiting: mpsc::Receiver<Bytes>) {
    let mut lines = Vec::with_capacity(LINES);
    while waiting.recv_many(&mut lines, LINES).await > 0 {
        let mut batch = Vec::new();
        for line in lines.drain(..) {
            if !batch.is_empty() && batch.len() + line.len() > BATCH {
                input.write(std::mem::take(&mut batch).into()).await;
            }
            batch.extend_from_slice(&line);
        }
        if !input.write(batch.into()).await {
            // Its end is heard elsewhere.
            return;
        }
    }
}

impl Component {
    /// Begins. Returns when the component is ready.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn init(&self, init: Init) -> Result<(), Error> {
        self.send(&ToComponent::Init(init)).await?;
        self.ready().await
    }

    /// Says something that is not answered. Waits while the component reads slower than it is told.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn cast(&self, cast: Cast) -> Result<(), Error> {
        self.ready().await?;
        self.send(&ToComponent::Cast(cast)).await
    }

    /// Tells of a publication.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn event(&self, event: Event) -> Result<(), Error> {
        self.ready().await?;
        self.send(&ToComponent::Event(event)).await
    }

    /// Asks. Dropping what it returns cancels the call.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn call(&self, call: Call) -> Result<Answers, Error> {
        self.ready().await?;
        let (waiter, parts) = mpsc::channel(PARTS);
        let id = self.shared.conversation().call(waiter);
        let answers = Answers {
            component: self.clone(),
            id: id.ok_or(Error::Ended)?,
            parts,
            is_open: true,
        };
        let message = ToComponent::Call {
            id: answers.id,
            call,
        };
        self.send(&message).await?;
        Ok(answers)
    }

    /// Tells the component to end, and waits for at most `grace`. Answers whether it has ended.
    pub async fn stop(&self, grace: Duration) -> bool {
        let told_and_ended = async {
            // Where it has ended it hears nothing, and one that reads no more is not told.
            let _ = self.send(&ToComponent::Stop).await;
            self.ended().await;
        };
        tokio::time::timeout(grace, told_and_ended).await.is_ok()
    }

    /// Returns when the component has ended.
    pub async fn ended(&self) {
        let mut phase = self.shared.phase.subscribe();
        // The channel lives as long as this does.
        let _ = phase
            .wait_for(|phase| matches!(phase, Phase::Ended(_)))
            .await;
    }

    /// Returns when the component is ready.
    async fn ready(&self) -> Result<(), Error> {
        let mut phase = self.shared.phase.subscribe();
        let now = phase.wait_for(|phase| *phase != Phase::Beginning).await;
        match now.as_deref() {
            Ok(Phase::Ready) => Ok(()),
            Ok(Phase::Failed(problem) | Phase::Ended(Some(problem))) => {
                Err(Error::Failed(problem.clone()))
            }
            Ok(Phase::Ended(None) | Phase::Beginning) | Err(_) => Err(Error::Ended),
        }
    }

    async fn send(&self, message: &ToComponent) -> Result<(), Error> {
        let line = line::write(message).map_err(Error::TooLong)?;
        self.lines.send(line).await.map_err(|_| Error::Ended)
    }
}

/// The answer to a call.
pub struct Answers {
    component: Component,
    id: u64,
    parts: mpsc::Receiver<Answer>,
    is_open: bool,
}

impl Answers {
    /// The answer, or with progress its next part; the last one is a part without progress.
    ///
    /// # Errors
    /// [`Error::Ended`], also behind the last part.
    pub async fn next(&mut self) -> Result<Answer, Error> {
        let part = self.parts.recv().await;
        self.is_open = match &part {
            Some(Answer::Reply(content)) => content.progress,
            Some(Answer::NoReply | Answer::Error(_)) | None => false,
        };
        part.ok_or(Error::Ended)
    }

    /// The answer; of several parts the last.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub async fn last(mut self) -> Result<Answer, Error> {
        loop {
            let part = self.next().await?;
            if !self.is_open {
                return Ok(part);
            }
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        if !self.is_open || !self.component.shared.conversation().cancel(self.id) {
            return;
        }
        let Ok(line) = line::write(&ToComponent::Cancel { id: self.id }) else {
            return;
        };
        if let Err(mpsc::error::TrySendError::Full(line)) = self.component.lines.try_send(line) {
            let lines = self.component.lines.clone();
            // Where the component has ended there is nothing to cancel.
            tokio::spawn(async move { lines.send(line).await });
        }
    }
}

/// Answers a request of a component, once. One that is dropped answers with an error.
#[derive(Debug)]
pub struct Responder {
    component: WeakComponent,
    id: Id,
    number: u64,
    cancelled: oneshot::Receiver<()>,
}

/// A component, whose stdin this does not keep open.
#[derive(Clone)]
struct WeakComponent {
    shared: Arc<Shared>,
    lines: mpsc::WeakSender<Bytes>,
}

impl std::fmt::Debug for WeakComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shared.name)
    }
}

impl Responder {
    /// Answers. What has progress is not the last.
    pub async fn reply(&mut self, content: Content) {
        let has_more = content.progress;
        let id = self.id.clone();
        self.answer(has_more, &ToComponent::Reply { id, content })
            .await;
    }

    /// There is no answer.
    pub async fn no_reply(self) {
        let id = self.id.clone();
        self.answer(false, &ToComponent::NoReply { id }).await;
    }

    /// It went wrong.
    pub async fn error(self, problem: Problem) {
        let id = Some(self.id.clone());
        self.answer(false, &ToComponent::Error { id, problem })
            .await;
    }

    /// Returns when the answer is not needed any more: the component has cancelled, or has ended.
    pub async fn cancelled(&mut self) {
        // Dropped by the conversation when it is closed.
        let _ = (&mut self.cancelled).await;
    }

    async fn answer(&self, has_more: bool, message: &ToComponent) {
        let is_open = match has_more {
            true => self
                .component
                .shared
                .conversation()
                .is_open(&self.id, self.number),
            false => self
                .component
                .shared
                .conversation()
                .close(&self.id, self.number),
        };
        if !is_open {
            return;
        }
        let line = line::write(message).or_else(|length| {
            let problem = Problem::new(Error::TooLong(length).to_string());
            let id = Some(self.id.clone());
            line::write(&ToComponent::Error { id, problem })
        });
        if let (Ok(line), Some(lines)) = (line, self.component.lines.upgrade()) {
            // Where the component has ended nobody waits for it.
            let _ = lines.send(line).await;
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let shared = &self.component.shared;
        if !shared.conversation().close(&self.id, self.number) {
            return;
        }
        let id = Some(self.id.clone());
        let problem = Problem::new("nobody has answered");
        self.component.say_soon(&ToComponent::Error { id, problem });
    }
}

impl WeakComponent {
    /// Writes a line when there is room for it, without waiting.
    fn say_soon(&self, message: &ToComponent) {
        let (Ok(line), Some(lines)) = (line::write(message), self.lines.upgrade()) else {
            return;
        };
        if let Err(mpsc::error::TrySendError::Full(line)) = lines.try_send(line) {
            // Not more of these than there may be open requests.
            tokio::spawn(async move { lines.send(line).await });
        }
    }
}
