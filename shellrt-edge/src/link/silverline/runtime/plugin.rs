//! A runtime whose modules a shellrt plugin runs.
//!
//! Each module opens channel 0 on `$SL/proc/stdio`: what it prints goes there while it runs, and what comes
//! from there is its stdin. What it prints to stderr becomes lines of its log.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{json, Map, Value};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::program::{program, Kind, Program};
use super::reports::{Identity, Reports};
use super::{Error, Place, Runtime};
use crate::link::silverline::slsocket::{FromRuntime, ToRuntime, MODULES, STDIO};
use crate::plugin::Plugins;
use crate::store;
use crate::supervisor::{Context, Drain, Refused, Supervisor};

/// How many messages wait for who reads them; then the modules wait.
const MESSAGES: usize = 64;

/// What such a runtime needs.
#[derive(Debug, Clone)]
pub struct PluginSettings {
    /// What the plugin runs.
    pub kind: Kind,
    /// The plugin's name among `plugins`.
    pub plugin: String,
    /// The plugins.
    pub plugins: Plugins,
    /// What is remembered of the modules.
    pub modules: store::Modules,
    /// Whose modules they are, for their label.
    pub owner: String,
    /// Whether modules that run already are taken on; otherwise they are removed.
    pub adopt: bool,
    /// Whether modules outlive the runtime, for the next one to find them.
    pub leave: bool,
    /// How long modules may take to end with the runtime.
    pub end_time: Duration,
    /// The directory of the programs.
    pub files: PathBuf,
    /// How often it tells that it lives, until the orchestrator says how often; 0 for never.
    pub keepalive: Duration,
    /// [`Runtime::runtime_type`].
    pub runtime_type: String,
    /// [`Runtime::short_name`].
    pub short_name: String,
}

/// The runtime.
pub struct PluginRuntime {
    settings: PluginSettings,
    supervisor: Supervisor,
    reports: Arc<Reports>,
    messages: mpsc::Receiver<FromRuntime>,
    keepalive: Option<JoinHandle<()>>,
    found: Vec<Map<String, Value>>,
}

impl PluginRuntime {
    /// Finds the modules that run already, and begins.
    pub fn start(settings: PluginSettings) -> PluginRuntime {
        let (sender, messages) = mpsc::channel(MESSAGES);
        let reports = Arc::new(Reports::new(sender));
        let found = match settings.adopt {
            true => remembered(&settings.modules),
            false => Vec::new(),
        };
        let identities: Vec<Identity> = found.iter().filter_map(Identity::of).collect();
        for identity in &identities {
            reports.begin(identity, None);
        }
        let supervisor = Supervisor::start(Context {
            link: Arc::clone(&reports),
            plugins: settings.plugins.clone(),
            modules: settings.modules.clone(),
            owner: settings.owner.clone(),
            max_modules: MODULES,
            adopt: settings.adopt,
        });
        let keepalive = ticking(&reports, &supervisor, settings.keepalive);
        PluginRuntime {
            settings,
            supervisor,
            reports,
            messages,
            keepalive,
            found,
        }
    }

    /// The supervisor of its modules.
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    fn create(&self, module: u8, data: &Map<String, Value>) -> Result<Program, String> {
        let settings = &self.settings;
        let given = data.get("uuid").and_then(Value::as_str);
        let id = match given.filter(|uuid| !uuid.is_empty()) {
            Some(uuid) => uuid.to_owned(),
            None => uuid::Uuid::new_v4().to_string(),
        };
        let mut data = data.clone();
        data.insert("index".to_owned(), json!(module));
        data.insert("uuid".to_owned(), json!(id));
        // An id may come again while the last of its module is being removed.
        let life = uuid::Uuid::new_v4().to_string();
        data.insert("life".to_owned(), json!(life));
        program(settings.kind, &settings.plugin, &settings.files, &id, &data)
            .map_err(|error| error.to_string())
    }
}

/// The modules that have a record.
fn remembered(modules: &store::Modules) -> Vec<Map<String, Value>> {
    let records = modules.names().into_iter();
    let records = records.filter_map(|name| modules.recall(&name));
    let running = records.filter(|record| !record.ended);
    let notes = running.filter_map(|record| record.note.as_object().cloned());
    notes.filter(|note| Identity::of(note).is_some()).collect()
}

/// Tells that the runtime lives, again and again.
fn ticking(
    reports: &Arc<Reports>,
    supervisor: &Supervisor,
    every: Duration,
) -> Option<JoinHandle<()>> {
    if every.is_zero() {
        return None;
    }
    let (reports, supervisor) = (Arc::clone(reports), supervisor.clone());
    Some(tokio::spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            let views = supervisor.modules_with_usage().await;
            let children: Vec<Value> = views.iter().map(|view| reports.child(view)).collect();
            let object = json!({ "children": children });
            let object = object.as_object().cloned().unwrap_or_default();
            reports.tell(FromRuntime::Keepalive(object)).await;
        }
    }))
}

impl Runtime for PluginRuntime {
    fn runtime_type(&self) -> String {
        self.settings.runtime_type.clone()
    }

    fn apis(&self) -> Vec<String> {
        let apis: &[&str] = match self.settings.kind {
            Kind::Wasm => &["wasm", "wasi", "stdio:in", "stdio:out"],
            Kind::Containerd => &["container", "stdio:in", "stdio:out"],
        };
        apis.iter().map(|api| (*api).to_owned()).collect()
    }

    fn short_name(&self) -> String {
        self.settings.short_name.clone()
    }

    async fn start(&mut self, _place: &Place) -> Result<Map<String, Value>, Error> {
        // Nobody reads what is told yet, and there can be more modules than messages that wait.
        let reports = Arc::clone(&self.reports);
        let found: Vec<Identity> = self.found.iter().filter_map(Identity::of).collect();
        tokio::spawn(async move {
            for identity in found {
                reports.tell(FromRuntime::open_stdio(identity.index)).await;
            }
        });
        Ok(Map::new())
    }

    async fn send(&mut self, message: ToRuntime) -> Result<(), Error> {
        let (reports, supervisor) = (&self.reports, &self.supervisor);
        match message {
            ToRuntime::Create(module, data) => match self.create(module, &data) {
                Ok(Program { order, limit }) => {
                    let limit = limit.map(|limit| (limit, supervisor.clone()));
                    let identity = Identity::of_order(&order);
                    if let Some(identity) = &identity {
                        reports.begin(identity, limit);
                    }
                    reports.tell_later(FromRuntime::open_stdio(module));
                    if let Err(refused) = supervisor.create(order).await {
                        identity.and_then(|identity| reports.take(&identity));
                        reports.fail(module, &refused.to_string());
                    }
                }
                Err(why) => reports.fail(module, &why),
            },
            ToRuntime::Delete(module) => {
                if let Some(id) = reports.id(module) {
                    let deleted = supervisor.delete(&id, Value::Null).await;
                    unless_over(deleted);
                }
            }
            ToRuntime::Stop => {
                let supervisor = supervisor.clone();
                tokio::spawn(async move { supervisor.drain(Drain::Stop).await });
            }
            ToRuntime::Receive {
                module,
                channel: STDIO,
                payload,
            } => {
                if let Some(id) = reports.id(module).filter(|_| !payload.is_empty()) {
                    reports.active(|identity| identity.index == module);
                    unless_over(supervisor.input(&id, payload).await);
                }
            }
            ToRuntime::Receive { channel, .. } => {
                log::warn!("no module has opened channel {channel}");
            }
        }
        Ok(())
    }

    async fn receive(&mut self) -> Option<FromRuntime> {
        self.messages.recv().await
    }

    async fn stop(&mut self) {
        if let Some(keepalive) = self.keepalive.take() {
            keepalive.abort();
        }
        let drain = match self.settings.leave {
            true => Drain::Leave,
            false => Drain::Stop,
        };
        let drained = tokio::time::timeout(self.settings.end_time, self.supervisor.drain(drain));
        // What they still tell is read, so that they need not wait for that.
        let read = async { while self.messages.recv().await.is_some() {} };
        tokio::select! {
            () = read => {}
            ended = drained => {
                if ended.is_err() {
                    log::warn!("not all modules have ended in time");
                }
            }
        }
    }

    fn registered(&mut self, details: &Map<String, Value>) {
        let seconds = details.get("ka_interval_sec").and_then(Value::as_f64);
        let every = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let Some(every) = every else { return };
        let ticking = ticking(&self.reports, &self.supervisor, every);
        if let Some(old) = std::mem::replace(&mut self.keepalive, ticking) {
            old.abort();
        }
    }

    fn running(&self) -> Vec<Map<String, Value>> {
        self.found.clone()
    }
}

fn unless_over(done: Result<(), Refused>) {
    if let Err(refused) = done {
        log::info!("{refused}");
    }
}
