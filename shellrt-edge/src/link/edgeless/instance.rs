//! One instance of a function, from Init to Stop: a module that speaks the line protocol, or the sample
//! that is built in.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{json, Value};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::host::Host;
use super::hub::{Hub, News};
use super::outgoing::pass_on;
use super::sample;
use super::state::Boot;
use crate::component::{
    self, Answer, Call, Cast, Component, Content, Incoming, Init, Instance as Identity, Level,
    Payload, Problem, State, Target,
};
use crate::order::{Handling, Order, Spec};
use crate::supervisor::{Refused, Supervisor};
use shellrt_api::v0::logs::Stream;

/// How long the supervisor may take to say how a component has ended that has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How many messages of an instance wait for the host; then the instance waits.
const QUEUE: usize = 256;

/// After which time the sample passes a message on.
const SAMPLE_PAUSE: Duration = Duration::from_secs(1);

/// What a function is.
#[derive(Clone)]
pub enum Program {
    /// The sample.
    Sample,
    /// A module.
    Module {
        /// What is run.
        spec: Box<Spec>,
        /// Who runs it.
        supervisor: Supervisor,
        /// Who hears of it.
        hub: Hub,
    },
}

/// Why an instance can't begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The supervisor takes no order.
    #[error("the module can't be started")]
    Refused(#[from] Refused),
    /// It could not be started.
    #[error("the module can't be started: {0}")]
    NotStarted(String),
    /// It has ended before it was ready.
    #[error("the module has ended before it was ready: {0}")]
    Ended(String),
    /// It does not want to begin.
    #[error(transparent)]
    Component(#[from] component::Error),
}

/// An instance that runs.
pub struct Instance {
    kind: Kind,
    /// The last of the instance's own doings ends with it.
    tasks: Mutex<JoinSet<()>>,
    ended: watch::Sender<bool>,
}

enum Kind {
    Sample {
        host: Host,
        outgoing: mpsc::Sender<Incoming>,
    },
    Module {
        component: Component,
        id: String,
        supervisor: Supervisor,
        news: tokio::sync::Mutex<mpsc::UnboundedReceiver<News>>,
    },
}

/// What an instance begins with.
pub struct Begin {
    /// The name that the settings have for the function.
    pub name: String,
    /// Who it is.
    pub boot: Boot,
    /// Its host.
    pub host: Host,
    /// What it is started with.
    pub payload: String,
    /// What it has synced last.
    pub state: Bytes,
}

impl Instance {
    /// Begins. Dropping the future ends what has begun.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn begin(program: &Program, begin: Begin) -> Result<Instance, Error> {
        let mut tasks = JoinSet::new();
        let kind = match program {
            Program::Sample => {
                let (outgoing, waiting) = mpsc::channel(QUEUE);
                let host = begin.host.clone();
                tasks.spawn(pass_on(begin.name, begin.host, waiting));
                Kind::Sample { host, outgoing }
            }
            Program::Module {
                spec,
                supervisor,
                hub,
            } => begin_module(spec, supervisor, hub, begin, &mut tasks).await?,
        };
        Ok(Instance {
            kind,
            tasks: Mutex::new(tasks),
            ended: watch::channel(false).0,
        })
    }

    /// Says something to it. Returns when it has it.
    pub async fn cast(&self, from: Identity, data: Bytes) {
        match &self.kind {
            Kind::Sample { outgoing, .. } => self.sample_cast(outgoing, &data).await,
            Kind::Module { component, id, .. } => {
                let cast = Cast {
                    from: sender(&from),
                    data: Payload(data),
                };
                if let Err(error) = component.cast(cast).await {
                    log::warn!("{id:?} did not get a cast: {error}");
                }
            }
        }
    }

    /// Asks it.
    pub async fn call(&self, from: Identity, data: Bytes) -> Answer {
        match &self.kind {
            Kind::Sample { host, .. } => sample_call(host, &data).await,
            Kind::Module { component, .. } => {
                let call = Call {
                    from: sender(&from),
                    content: Content {
                        data: Payload(data),
                        ..Content::default()
                    },
                    ..Call::default()
                };
                let answered = match component.call(call).await {
                    Ok(answers) => answers.last().await,
                    Err(error) => Err(error),
                };
                answered.unwrap_or_else(|error| Answer::Error(Problem::new(error.to_string())))
            }
        }
    }

    /// Returns when it has ended: how, in words.
    pub async fn ended(&self) -> String {
        match &self.kind {
            Kind::Sample { .. } => {
                let mut ended = self.ended.subscribe();
                // The channel lives as long as this does.
                let _ = ended.wait_for(|ended| *ended).await;
                "it was stopped".to_owned()
            }
            Kind::Module {
                component, news, ..
            } => {
                component.ended().await;
                last_words(&mut *news.lock().await).await
            }
        }
    }

    /// Ends it: it is told, and after `grace` it is killed. Returns when it has ended.
    pub async fn stop(&self, grace: Duration) {
        self.ended.send_replace(true);
        if let Kind::Module {
            component,
            id,
            supervisor,
            ..
        } = &self.kind
        {
            if !component.stop(grace).await {
                log::warn!("{id:?} does not end by itself in {grace:?} and is killed");
            }
            match supervisor.delete(id, Value::Null).await {
                // It is gone already.
                Ok(()) | Err(Refused::Unknown(_)) => {}
                Err(error) => log::warn!("{id:?}: {error}"),
            }
            component.ended().await;
        }
        self.tidy();
    }

    /// Ends what it has begun beside the calls.
    pub fn tidy(&self) {
        self.ended.send_replace(true);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.abort_all();
    }

    /// Returns when it is told to end.
    pub async fn is_stopped(&self) {
        let mut ended = self.ended.subscribe();
        // The channel lives as long as this does.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    async fn sample_cast(&self, outgoing: &mpsc::Sender<Incoming>, data: &[u8]) {
        let text = String::from_utf8_lossy(data);
        let cast = |target, message: &str, delay| Incoming::Cast {
            target,
            data: Bytes::copy_from_slice(message.as_bytes()),
            delay,
        };
        let alias = |alias: &str| Target::Alias(alias.to_owned());
        let message = match sample::cast(&text) {
            sample::Cast::Recast { alias: to, message } => cast(alias(to), message, None),
            sample::Cast::RecastRaw {
                node,
                function,
                message,
            } => cast(instance(node, function), message, None),
            sample::Cast::RecastDelayed {
                delay_ms,
                alias: to,
                message,
            } => cast(alias(to), message, Some(Duration::from_millis(delay_ms))),
            sample::Cast::TelemetryLog { target, message } => Incoming::Log(component::Log {
                level: Level::Info,
                target: target.to_owned(),
                message: message.to_owned(),
            }),
            sample::Cast::Sync(state) => Incoming::Sync(Bytes::copy_from_slice(state.as_bytes())),
            sample::Cast::Output(_) => {
                let (outgoing, data) = (outgoing.clone(), Bytes::copy_from_slice(data));
                let later = async move {
                    tokio::time::sleep(SAMPLE_PAUSE).await;
                    let target = Target::Alias("output".to_owned());
                    let delay = None;
                    let message = Incoming::Cast {
                        target,
                        data,
                        delay,
                    };
                    // Where it was stopped meanwhile nobody wants it.
                    let _ = outgoing.send(message).await;
                };
                let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
                while tasks.try_join_next().is_some() {}
                tasks.spawn(later);
                return;
            }
            sample::Cast::Incomplete(command) => {
                return log::warn!("a cast {command:?} is not complete");
            }
        };
        // The other end is there as long as the instance is.
        let _ = outgoing.send(message).await;
    }
}

async fn sample_call(host: &Host, data: &Bytes) -> Answer {
    let text = String::from_utf8_lossy(data);
    match sample::call(&text) {
        sample::Call::Recall { alias, message } => {
            let target = Target::Alias(alias.to_owned());
            host.call(target, Bytes::copy_from_slice(message.as_bytes()))
                .await
        }
        sample::Call::RecallRaw {
            node,
            function,
            message,
        } => {
            let data = Bytes::copy_from_slice(message.as_bytes());
            host.call(instance(node, function), data).await
        }
        sample::Call::NoReply => Answer::NoReply,
        sample::Call::Error => Answer::Error(Problem::new("it was asked for an error")),
        sample::Call::Echo => Answer::Reply(Content {
            data: Payload(data.clone()),
            ..Content::default()
        }),
        sample::Call::Incomplete(command) => Answer::Error(Problem::new(format!(
            "the call {command:?} is not complete"
        ))),
    }
}

fn instance(node: &str, function: &str) -> Target {
    Target::Instance {
        node: node.to_owned(),
        function: function.to_owned(),
    }
}

fn sender(from: &Identity) -> Value {
    json!({"node": from.node, "function": from.function})
}

/// Starts a module and waits until it is ready.
async fn begin_module(
    spec: &Spec,
    supervisor: &Supervisor,
    hub: &Hub,
    begin: Begin,
    tasks: &mut JoinSet<()>,
) -> Result<Kind, Error> {
    let id = format!("{}-{}", begin.name, uuid::Uuid::new_v4());
    let order = Order {
        id: id.clone(),
        spec: spec.clone(),
        handling: Handling {
            streams: vec![Stream::Stderr],
            text: true,
            attach: true,
            // It was told to end before.
            stop_timeout: Some(0),
            ..Handling::default()
        },
        note: Value::Null,
    };
    let mut news = hub.wait_for(&id);
    let orphan = Orphan {
        id: Some(id.clone()),
        supervisor: supervisor.clone(),
    };
    if let Err(refused) = supervisor.create(order).await {
        hub.forget(&id);
        return Err(refused.into());
    }
    let (component, incoming) = match news.recv().await {
        Some(News::Attached(input, output)) => component::open(&id, input, output),
        Some(News::Failed(failure)) => return Err(Error::NotStarted(failure.message)),
        Some(News::Ended(how)) => return Err(Error::Ended(how)),
        None => return Err(Error::Ended("it is gone".to_owned())),
    };
    tasks.spawn(pass_on(begin.name.clone(), begin.host, incoming));
    let init = Init {
        instance: Identity {
            node: begin.boot.instance.node_id,
            function: begin.boot.instance.function_id,
            name: begin.name,
        },
        data: Payload(begin.payload.into()),
        state: State(begin.state),
        extra: None,
    };
    match component.init(init).await {
        Ok(()) => {}
        Err(component::Error::Ended) => return Err(Error::Ended(last_words(&mut news).await)),
        Err(error) => return Err(error.into()),
    }
    orphan.taken();
    Ok(Kind::Module {
        component,
        id,
        supervisor: supervisor.clone(),
        news: tokio::sync::Mutex::new(news),
    })
}

/// A module that has begun and that nobody has yet.
struct Orphan {
    id: Option<String>,
    supervisor: Supervisor,
}

impl Orphan {
    fn taken(mut self) {
        self.id = None;
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        let (Some(id), supervisor) = (self.id.take(), self.supervisor.clone()) else {
            return;
        };
        // What was never created, or has ended, is not there.
        tokio::spawn(async move { supervisor.delete(&id, Value::Null).await });
    }
}

/// How a module has ended whose output has ended.
async fn last_words(news: &mut mpsc::UnboundedReceiver<News>) -> String {
    loop {
        match timeout(LAST_WORDS, news.recv()).await {
            Ok(Some(News::Attached(..))) => {}
            Ok(Some(News::Failed(failure))) => return failure.message,
            Ok(Some(News::Ended(how))) => return how,
            Ok(None) | Err(_) => return "it writes no more".to_owned(),
        }
    }
}
