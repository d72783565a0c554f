//! The link to Silverline over MQTT: a runtime of an orchestrator's fleet, in one of four dialects.
//!
//! What goes over the wire is pure: [`envelope`] and [`incoming`] read it, [`messages`], [`stdio`] and
//! [`keepalive`] write it, with the words of a [`dialect`] to its [`topics`] in the name of an
//! [`identity`]; [`registration`] says when to register once more. [`session`] is the loop around that,
//! [`requests`] go from there to the supervisor, and [`reports`] come back from it.
//!
//! Beside that, a [`runtime_manager`] hosts several of what implements [`runtime`]; those that are other
//! processes speak [`slsocket`], and [`linux_minimal`] is one.

pub mod args;
pub mod channels;
pub mod dialect;
pub mod envelope;
pub mod files;
pub mod identity;
pub mod incoming;
pub mod keepalive;
pub mod launcher;
pub mod linux_minimal;
pub mod messages;
pub mod registration;
pub mod reports;
pub mod requests;
pub mod runtime;
pub mod runtime_manager;
pub mod session;
pub mod slsocket;
pub mod stdio;
pub mod topics;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use self::args::Args;
use self::dialect::Dialect;
use self::identity::Identity;
use self::messages::Messages;
use self::registration::{Registration, Rule};
use self::reports::{number, Reports};
use self::requests::{Counters, Requests};
use self::session::{Session, State};
use self::topics::Topics;
use crate::daemon::{self, Daemon};
use crate::mqtt::{self, Mqtt};
use crate::settings::silverline::Settings;
use crate::settings::{self, Loaded};
use crate::supervisor::{Context, Supervisor};
use crate::{endpoint, logging, store};

/// The name of the link: in the log, in labels of modules, in the state directory.
const NAME: &str = "silverline";

/// Why the runtime can't start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings can't be used.
    #[error(transparent)]
    Settings(#[from] settings::Error),
    /// The daemon can't start.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    /// The state directory can't be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The status can't be served.
    #[error(transparent)]
    Status(#[from] endpoint::Error),
    /// The broker can't be reached with these settings.
    #[error(transparent)]
    Mqtt(#[from] mqtt::Error),
    /// No orchestrator has answered.
    #[error(
        "nobody answers the registration; set \"runtime.reg_attempts\" to 0 to go on trying, or \
         \"runtime.reg_fail_error\" to false to go on without"
    )]
    NotRegistered,
    /// The connection was closed.
    #[error("the connection to the broker is closed")]
    Closed,
}

/// Is a runtime until the daemon is told to end.
///
/// # Errors
/// [`Error`].
pub async fn run(args: Args) -> Result<(), Error> {
    let loaded = settings::load(args.config.as_deref(), std::env::vars_os())?;
    greet(&loaded);
    let settings = Arc::new(loaded.settings);
    let mut daemon = Daemon::start(settings.edge.clone(), NAME)?;
    let uuid = match &settings.runtime.uuid {
        Some(uuid) => uuid.clone(),
        None => daemon.store.uuid(NAME, || Uuid::new_v4().to_string())?,
    };
    let identity = identity(&settings, uuid);
    let owner = format!("{NAME}/{}", identity.uuid);
    let client_id = format!("{}:{}", identity.name, identity.uuid);
    let topics = Topics::new(&identity, &settings.topics);
    let messages = Arc::new(Messages::new(identity, topics));
    let will = messages.unregister(&number());
    let will = mqtt::Message {
        payload: will.payload(),
        topic: will.topic,
    };
    let (mqtt, events) = Mqtt::connect(broker(&settings, client_id), Some(will))?;
    let reports = Reports::new(Arc::clone(&messages), mqtt.clone(), daemon.store.clone());
    let modules = daemon.store.modules(&owner);
    reports.hear_remembered(&modules).await;
    let supervisor = Supervisor::start(Context {
        link: Arc::new(reports.clone()),
        plugins: daemon.plugins.clone(),
        modules,
        owner: owner.clone(),
        max_modules: settings.runtime.max_nmodules,
        adopt: true,
    });
    daemon.add(&supervisor);
    let requests = Requests::new(
        Arc::clone(&settings),
        Arc::clone(&messages),
        reports.clone(),
        supervisor.clone(),
        daemon.store.clone(),
        mqtt.clone(),
    );
    let (counters, line) = (requests.counters(), mqtt.clone());
    daemon.serve_status(move || vec![status(&owner, &line, &counters)])?;
    daemon.ready();
    let session = Session {
        registration: Registration::new(Rule {
            attempts: settings.runtime.reg_attempts,
            timeout: timeout(settings.runtime.reg_timeout_seconds),
            is_fatal: settings.runtime.reg_fail_error,
        }),
        keepalive: settings
            .runtime
            .ka_interval_sec
            .filter(|secs| *secs > 0)
            .map(Duration::from_secs),
        config: args.config,
        state: State::default(),
        messages,
        mqtt,
        events,
        reports,
        supervisor,
        requests,
    };
    session.run(&mut daemon).await
}

/// A time of the settings, which is never so short that the loop does nothing else.
fn timeout(seconds: f64) -> Duration {
    let timeout = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(5));
    timeout.max(Duration::from_millis(100))
}

/// Says what is strange about settings, and logs as much as they say.
fn greet(loaded: &Loaded<Settings>) {
    if let Some(level) = loaded.settings.loglevel {
        logging::settle(level);
    }
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
}

/// The broker of `settings`.
fn broker(settings: &Settings, client_id: String) -> mqtt::Settings {
    let broker = &settings.mqtt;
    // As the programs of this field do: one without the other is none.
    let username = broker.username.clone().filter(|name| !name.is_empty());
    let password = broker.password.clone();
    let password = password.filter(|password| !password.expose().is_empty());
    let (username, password) = username.zip(password).unzip();
    mqtt::Settings {
        host: broker.host.clone(),
        port: broker.port,
        username,
        password,
        tls: broker.ssl.then(|| mqtt::Tls {
            ca: broker.ca.clone(),
            cert: broker.cert.clone(),
            key: broker.key.clone(),
            verify: broker.ssl_verify,
        }),
        client_id,
        keep_alive: broker.keepalive,
    }
}

fn identity(settings: &Settings, uuid: String) -> Identity {
    let runtime = &settings.runtime;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let platform = serde_json::json!({"cpu": {"cores": cores}});
    Identity {
        dialect: settings.dialect,
        uuid,
        name: runtime.name.clone(),
        runtime_type: runtime.runtime_type.clone(),
        max_nmodules: runtime.max_nmodules,
        apis: runtime.apis.clone(),
        realm: runtime.realm.clone(),
        namespace: runtime.namespace.clone(),
        tags: runtime.tags.clone(),
        is_orchestration_runtime: runtime.is_orchestration_runtime,
        platform: (settings.dialect == Dialect::Manager).then_some(platform),
        metadata: None,
        parent: None,
        request_type: settings.types.request.clone(),
        answer_type: settings.types.response.clone(),
    }
}

fn status(owner: &str, mqtt: &Mqtt, counters: &Counters) -> endpoint::Link {
    let line = mqtt.counters();
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let own = [
        ("creates", get(&counters.creates)),
        ("deletes", get(&counters.deletes)),
        ("requests_refused", get(&counters.refused)),
        ("answers_dropped", get(&counters.dropped)),
        ("registrations", get(&counters.registrations)),
    ];
    endpoint::Link {
        name: owner.to_owned(),
        connected: line.connected,
        counters: line.named().into_iter().chain(own).collect(),
    }
}
