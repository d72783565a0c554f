//! WAMP: launches components, and connects each to a router by a session of its own.
//!
//! The protocol is a client of our own, because the crates there are lack what is needed (cancelling,
//! progress, reconnecting) or stand on unmaintained ones:
//!
//! ```text
//! transport    bytes: WebSocket or RawSocket, plain or TLS, kept alive
//! serializer   bytes <-> values: JSON, MessagePack, CBOR
//! message      values <-> messages
//! session      messages -> steps: a state machine without I/O
//! pump         between a session and a component (deliver, translate)
//! instance     one life of a component: join, run, leave
//! itself       the same for one that connects by itself, beside a session that watches
//! ```
//! This file has the rest: what is read at the start, and necromancy.

pub mod address;
mod args;
pub mod auth;
mod blueprint;
mod deliver;
mod instance;
mod itself;
mod join;
pub mod message;
mod modules;
mod pump;
pub mod serializer;
pub mod session;
mod start;
mod translate;
pub mod transport;
mod value;

use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::sleep;

use crate::causes;
use crate::daemon::{self, Daemon};
use crate::endpoint;
use crate::shutdown::Next;
use crate::supervisor::{Context, Supervisor};

pub use args::{Switch, Wamp};
use blueprint::Blueprint;
use instance::{Counters, Death, World};
use modules::{Machine, Modules};
use start::Start;

/// Why `shellrt-edged wamp` ends with an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for can't be.
    #[error(transparent)]
    Start(#[from] start::Error),
    /// The daemon can't start.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    /// The same components run already.
    #[error("{0}; \"--name\" tells two daemons with the same components apart")]
    Taken(daemon::Error),
    /// The status can't be served.
    #[error(transparent)]
    Status(#[from] endpoint::Error),
    /// All components have ended.
    #[error("no component is left, and without --necromancy none is revived: {0}")]
    AllDead(String),
}

/// Runs components until a signal ends them, or until none is left.
///
/// # Errors
/// [`Error`].
pub async fn run(args: Wamp) -> Result<(), Error> {
    let revival = args
        .necromancy
        .then_some(Duration::from_secs(args.necromancy_sleep));
    let Start {
        edge,
        name,
        plan,
        blueprints,
    } = Start::read(args)?;
    let mut daemon = Daemon::start(edge, &name).map_err(|error| match error {
        taken @ daemon::Error::Taken { .. } => Error::Taken(taken),
        other => other.into(),
    })?;
    let modules = Arc::new(Modules::new(daemon.plugins.clone()));
    let supervisor = Supervisor::start(Context {
        link: Arc::clone(&modules),
        plugins: daemon.plugins.clone(),
        modules: daemon.store.modules(&name),
        owner: format!("wamp/{name}"),
        max_modules: 0,
        // A component is of no use without the session that it had.
        adopt: false,
    });
    daemon.add(&supervisor);
    let world = Arc::new(World {
        plan,
        machine: Machine {
            supervisor,
            modules,
        },
        store: daemon.store.clone(),
        shutdown: daemon.shutdown.clone(),
        counters: Counters::default(),
    });
    let watched = Arc::clone(&world);
    let components = blueprints.len() as u64;
    daemon.serve_status(move || vec![status(&watched, &name, components)])?;
    daemon.ready();
    let dead = attend(&mut daemon, &world, &blueprints, revival).await;
    daemon.drain().await;
    match dead {
        Some(why) => Err(Error::AllDead(why)),
        None => Ok(()),
    }
}

/// Attends to all components. Answers why none is left, unless the daemon was told to end.
async fn attend(
    daemon: &mut Daemon,
    world: &World,
    blueprints: &[Blueprint],
    revival: Option<Duration>,
) -> Option<String> {
    let lives = blueprints.iter().map(|one| live(world, one, revival));
    let mut lives: FuturesUnordered<_> = lives.collect();
    let mut dead = Vec::new();
    loop {
        tokio::select! {
            life = lives.next() => match life {
                Some(Some(why)) => dead.push(why),
                Some(None) => {}
                None if daemon.shutdown.is_ending() => return None,
                None => return Some(dead.join("; ")),
            },
            next = daemon.shutdown.next(), if !daemon.shutdown.is_ending() => match next {
                Next::Reload => {
                    log::info!("components and their extras are read at the start only");
                    daemon.ready();
                }
                Next::End => daemon.doing("components are ending"),
            },
        }
    }
}

/// Lets a component live, again and again where it is revived. Answers why it is dead for good, unless the
/// daemon was told to end.
async fn live(world: &World, blueprint: &Blueprint, revival: Option<Duration>) -> Option<String> {
    loop {
        let name = &blueprint.name;
        let why = match world.live(blueprint).await {
            Death::Told => return None,
            Death::Died(why) => why,
        };
        let Some(pause) = revival else {
            log::error!("component {name:?} is dead: {why}");
            return Some(format!("{name:?}: {why}"));
        };
        log::warn!("component {name:?} is dead: {why}; it is revived in {pause:?}");
        tokio::select! {
            () = world.shutdown.ending() => return None,
            () = sleep(pause) => {}
        }
    }
}

fn status(world: &World, name: &str, components: u64) -> endpoint::Link {
    let Counters {
        instances,
        joins,
        joined,
    } = &world.counters;
    let now_joined = joined.load(Ordering::Relaxed);
    endpoint::Link {
        name: format!("wamp/{name}"),
        connected: now_joined > 0,
        counters: [
            ("components", components),
            ("instances", instances.load(Ordering::Relaxed)),
            ("joins", joins.load(Ordering::Relaxed)),
            ("joined", now_joined),
        ]
        .into(),
    }
}

/// An error with its causes, on one line.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    causes::chain_new(error.to_string(), error.source())
}
