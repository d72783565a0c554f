//! The modules that a plugin runs, as a runtime tells of them: what the supervisor reports becomes the
//! messages of SLSocket.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{json, Map, Value};
use shellrt_api::v0::logs::Stream;
use tokio::sync::mpsc;

use crate::link::silverline::slsocket::{FromRuntime, Log, STDIO};
use crate::order::{End, Failure, Order, Reason};
use crate::plugin::{Input, Output};
use crate::supervisor::{Link, Reported, Supervisor, View};

/// Which module: what its order remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub index: u8,
    pub uuid: String,
    /// One of the lives of the uuid.
    life: String,
}

impl Identity {
    pub fn of(note: &Map<String, Value>) -> Option<Identity> {
        let index = note.get("index")?.as_u64()?;
        Some(Identity {
            index: u8::try_from(index).ok()?,
            uuid: note.get("uuid")?.as_str()?.to_owned(),
            life: note.get("life")?.as_str()?.to_owned(),
        })
    }

    pub fn of_order(order: &Order) -> Option<Identity> {
        Identity::of(order.note.as_object()?)
    }
}

/// What is known of the modules, and who hears of them.
pub struct Reports {
    messages: mpsc::Sender<FromRuntime>,
    /// Those whose end was not told.
    modules: Mutex<Vec<Module>>,
}

pub struct Module {
    identity: Identity,
    /// When it read or wrote last.
    active: Option<Timestamp>,
    /// How long it may run, and who ends it then.
    limit: Option<(Duration, Supervisor)>,
}

impl Reports {
    /// None yet; `messages` is for who hears of them.
    pub fn new(messages: mpsc::Sender<FromRuntime>) -> Reports {
        Reports {
            messages,
            modules: Mutex::default(),
        }
    }

    fn modules(&self) -> std::sync::MutexGuard<'_, Vec<Module>> {
        self.modules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn begin(&self, identity: &Identity, limit: Option<(Duration, Supervisor)>) {
        self.modules().push(Module {
            identity: identity.clone(),
            active: None,
            limit,
        });
    }

    /// Its end is being told.
    pub fn take(&self, identity: &Identity) -> Option<Module> {
        let mut modules = self.modules();
        let at = modules.iter().position(|it| it.identity == *identity)?;
        Some(modules.swap_remove(at))
    }

    fn take_order(&self, order: &Order) -> Option<u8> {
        let module = self.take(&Identity::of_order(order)?)?;
        Some(module.identity.index)
    }

    pub fn id(&self, index: u8) -> Option<String> {
        let modules = self.modules();
        let found = modules.iter().find(|it| it.identity.index == index);
        found.map(|it| it.identity.uuid.clone())
    }

    pub fn active(&self, which: impl Fn(&Identity) -> bool) {
        let mut modules = self.modules();
        if let Some(module) = modules.iter_mut().find(|it| which(&it.identity)) {
            module.active = Some(Timestamp::now());
        }
    }

    pub async fn tell(&self, message: FromRuntime) {
        // Where nobody reads any more, nobody needs it.
        let _ = self.messages.send(message).await;
    }

    /// Tells it without waiting here. What is told of the same module afterwards may come before it only
    /// where so much waits that the module has not begun yet.
    pub fn tell_later(&self, message: FromRuntime) {
        if let Err(mpsc::error::TrySendError::Full(message)) = self.messages.try_send(message) {
            let messages = self.messages.clone();
            tokio::spawn(async move { messages.send(message).await });
        }
    }

    /// A module is over before it began.
    pub fn fail(&self, module: u8, why: &str) {
        self.tell_later(FromRuntime::ModuleLog(module, line(Log::ERROR, why)));
        self.tell_later(FromRuntime::exited(module, [("error", json!(why))]));
    }

    /// A module's line in the keepalive.
    pub fn child(&self, view: &View) -> Value {
        let id = &view.order.id;
        let modules = self.modules();
        let module = modules.iter().find(|it| it.identity.uuid == *id);
        let active = module.and_then(|module| module.active);
        let active = active.map_or(json!(-1), |active| json!(active.to_string()));
        let usage = view.usage.as_ref().map(|(usage, _)| usage);
        json!({
            "uuid": id,
            "active": active,
            "cpu_usage_percent": usage.map(|usage| usage.cpu_percent),
            "mem_usage": usage.and_then(|usage| usage.top.memory_bytes),
        })
    }
}

fn line(level: u8, text: &str) -> Log {
    Log {
        level,
        text: text.to_owned(),
    }
}

impl Link for Reports {
    async fn prepare(&self, _order: &mut Order) -> Result<(), Failure> {
        Ok(())
    }

    async fn attached(&self, _order: &Order, _input: Input, _output: Output) {}

    async fn started(&self, order: &Order) {
        let identity = Identity::of_order(order);
        let mut modules = self.modules();
        let module = modules
            .iter_mut()
            .find(|it| Some(&it.identity) == identity.as_ref());
        let Some((limit, supervisor)) = module.and_then(|module| module.limit.take()) else {
            return;
        };
        let id = order.id.clone();
        tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            if supervisor.delete(&id, json!("limit")).await.is_ok() {
                log::info!("module {id:?} has run for as long as it may");
            }
        });
    }

    async fn failed(&self, order: &Order, failure: &Failure) {
        if let Some(index) = self.take_order(order) {
            let log = line(Log::ERROR, &failure.message);
            self.tell(FromRuntime::ModuleLog(index, log)).await;
            self.tell(FromRuntime::exited(
                index,
                [("error", json!(failure.message))],
            ))
            .await;
        }
    }

    async fn output(&self, order: &Order, stream: Stream, bytes: Bytes) -> Reported {
        if let Some(identity) = Identity::of_order(order) {
            let module = identity.index;
            let message = match stream {
                Stream::Stdout => {
                    self.active(|other| *other == identity);
                    FromRuntime::publish(module, STDIO, bytes)
                }
                Stream::Stderr => {
                    let text = String::from_utf8_lossy(&bytes);
                    FromRuntime::ModuleLog(module, line(Log::INFO, text.trim_end()))
                }
            };
            self.tell(message).await;
        }
        Box::pin(std::future::ready(()))
    }

    async fn ended(&self, order: &Order, end: &End) {
        let Some(index) = self.take_order(order) else {
            return;
        };
        let status = end.status.as_ref();
        let code = status.and_then(|status| status.exit_code);
        let reason = match &end.reason {
            Reason::Itself => status.map(|status| status.status_description.as_str()),
            Reason::Deleted(note) if note == "limit" => Some("time limit"),
            Reason::Deleted(_) => Some("deleted"),
            Reason::Idle => Some("idle"),
            Reason::Shutdown => Some("shutdown"),
        };
        self.tell(FromRuntime::exited(
            index,
            [("exit_code", json!(code)), ("reason", json!(reason))],
        ))
        .await;
    }

    async fn gone(&self, _order: &Order) {}
}
