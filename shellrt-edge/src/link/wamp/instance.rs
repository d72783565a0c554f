//! One instance of a component: from the connection to the end of its module, read from top to bottom.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::blueprint::Blueprint;
use super::deliver::deliver;
use super::join::Joined;
use super::modules::{Machine, Module};
use super::start::Plan;
use super::words;
use crate::component::{self, Component, Init, Instance};
use crate::order::Order;
use crate::settings::wamp::Kind;
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::supervisor::Refused;

/// How many messages wait until the component is told.
const DELIVERIES: usize = 16;

/// How often it is looked whether the instance before has gone.
const GONE_EVERY: Duration = Duration::from_millis(100);

/// How long it may take to tell the callers of a component that has ended.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// How long a module's end may take to be told, when its output has ended.
const END_TIME: Duration = Duration::from_secs(2);

/// What all instances share.
pub struct World {
    /// Where they go, as whom, and how long things may take.
    pub plan: Plan,
    /// The modules.
    pub machine: Machine,
    /// Where files for them lie.
    pub store: Store,
    /// When to end.
    pub shutdown: Shutdown,
    /// What is counted.
    pub counters: Counters,
}

/// What is counted over all components.
#[derive(Debug, Default)]
pub struct Counters {
    /// Instances that began.
    pub instances: AtomicU64,
    /// Sessions that were joined.
    pub joins: AtomicU64,
    /// Sessions that are joined now.
    pub joined: AtomicU64,
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Death {
    /// The daemon was told to end.
    Told,
    /// Of something else.
    Died(String),
}

impl World {
    /// Lets `blueprint` live once.
    pub async fn live(&self, blueprint: &Blueprint) -> Death {
        self.counters.instances.fetch_add(1, Ordering::Relaxed);
        let lived = match blueprint.kind {
            Kind::Lines => self.live_with_session(blueprint).await,
            Kind::Itself => self.live_by_itself(blueprint).await,
        };
        lived.unwrap_or_else(|death| death)
    }

    async fn live_with_session(&self, blueprint: &Blueprint) -> Result<Death, Death> {
        let joined = self.unless_told(self.join(&blueprint.name)).await?;
        let mut joined = joined.map_err(|why| Death::Died(why.to_string()))?;
        let death = self.live_in_session(blueprint, &mut joined).await;
        self.leave(joined).await;
        Ok(death)
    }

    /// From the session to the end of the module.
    async fn live_in_session(&self, blueprint: &Blueprint, joined: &mut Joined) -> Death {
        let Joined { connection, pump } = joined;
        let mut module = match self.order(blueprint, blueprint.order()).await {
            Ok(module) => module,
            Err(death) => return death,
        };
        let attached = self.unless_told(module.attached()).await;
        let death = match attached {
            Ok(Ok((input, output))) => {
                let (component, mut requests) = component::open(&blueprint.name, input, output);
                let (deliveries, delivered) = mpsc::channel(DELIVERIES);
                let (is_ready, ready) = oneshot::channel();
                let delivering = deliver(component.clone(), delivered, ready, pump.back());
                let delivering = tokio::spawn(delivering);
                let death = tokio::select! {
                    biased;
                    () = self.shutdown.ending() => Death::Told,
                    () = component.ended() => Death::Died(end_of(&module).await),
                    why = self.begin(blueprint, &component, is_ready) => Death::Died(why),
                    why = pump.run(connection, &deliveries, &mut requests) => {
                        // A component's end and its connection's may come together.
                        Death::Died(why)
                    }
                };
                pump.withdraw(connection);
                // It may still have something to say or to answer while it ends.
                tokio::select! {
                    _ = component.stop(self.plan.grace) => {}
                    _ = async {
                        if death == Death::Told {
                            pump.run(connection, &deliveries, &mut requests).await;
                        }
                        std::future::pending::<()>().await;
                    } => {}
                }
                // Its last words go out, and its callers hear that it is gone.
                let settled = pump.settle(connection, &deliveries, &mut requests);
                let _ = timeout(SETTLE_TIME, settled).await;
                delivering.abort();
                death
            }
            Ok(Err(why)) => Death::Died(why),
            Err(death) => death,
        };
        self.end(blueprint, &module).await;
        death
    }

    /// Waits until the component is ready. Returns only where it will not be: why.
    async fn begin(
        &self,
        blueprint: &Blueprint,
        component: &Component,
        is_ready: oneshot::Sender<()>,
    ) -> String {
        let init = Init {
            instance: Instance {
                name: blueprint.name.clone(),
                ..Instance::default()
            },
            extra: Some(blueprint.extra.clone()),
            ..Init::default()
        };
        match timeout(self.plan.ready_time, component.init(init)).await {
            Err(_) => format!("it was not ready within {:?}", self.plan.ready_time),
            Ok(Err(component::Error::Ended)) => {
                // That it has ended is noticed elsewhere, with more words.
                std::future::pending().await
            }
            Ok(Err(error)) => words(&error),
            Ok(Ok(())) => {
                log::info!("component {:?} is ready", blueprint.name);
                let _ = is_ready.send(());
                std::future::pending().await
            }
        }
    }

    /// Orders the module, when the one before it has gone.
    pub(super) async fn order(&self, blueprint: &Blueprint, order: Order) -> Result<Module, Death> {
        let Machine {
            supervisor,
            modules,
        } = &self.machine;
        loop {
            let module = modules.expect(&blueprint.id, &blueprint.name);
            match supervisor.create(order.clone()).await {
                Ok(()) => return Ok(module),
                // One that a killed daemon has left is being removed.
                Err(Refused::Exists(_)) => self.unless_told(sleep(GONE_EVERY)).await?,
                Err(refused) => return Err(Death::Died(refused.to_string())),
            }
        }
    }

    /// Ends the module, and returns when nothing is left of it.
    pub(super) async fn end(&self, blueprint: &Blueprint, module: &Module) {
        // Where it has ended already it goes by itself.
        let _ = self
            .machine
            .supervisor
            .delete(&blueprint.id, Value::Null)
            .await;
        module.gone().await;
    }

    /// Does `work`, unless the daemon is told to end.
    pub(super) async fn unless_told<T>(
        &self,
        work: impl std::future::Future<Output = T>,
    ) -> Result<T, Death> {
        tokio::select! {
            biased;
            () = self.shutdown.ending() => Err(Death::Told),
            done = work => Ok(done),
        }
    }
}

/// How a module has ended whose output has.
async fn end_of(module: &Module) -> String {
    let ended = timeout(END_TIME, module.end()).await;
    ended.unwrap_or_else(|_| "it has closed its stdout".to_owned())
}
