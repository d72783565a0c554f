//! A runtime of one's own below our runtime manager: what a module reads it writes again.
//!
//! `cargo run --example echo_runtime -- config.json`, with the settings of `shellrt-edged manager`. What is
//! published to `realm/proc/stdio/UUID` of a module comes back there.
use std::collections::VecDeque;
use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value};
use shellrt_edge::link::silverline::runtime::{Error, Place, Runtime};
use shellrt_edge::link::silverline::runtime_manager::{config, RuntimeManager};
use shellrt_edge::link::silverline::slsocket::{FromRuntime, ToRuntime};

/// What it still has to tell.
#[derive(Default)]
struct Echo(VecDeque<FromRuntime>);

impl Runtime for Echo {
    fn runtime_type(&self) -> String {
        "test/echo".to_owned()
    }

    fn apis(&self) -> Vec<String> {
        vec!["stdio:in".to_owned(), "stdio:out".to_owned()]
    }

    async fn start(&mut self, _place: &Place) -> Result<Map<String, Value>, Error> {
        Ok(Map::new())
    }

    async fn send(&mut self, message: ToRuntime) -> Result<(), Error> {
        let (channel, flags, topic) = (0, 3, "$SL/proc/stdio".to_owned());
        self.0.extend(match message {
            ToRuntime::Create(module, _) => Some(FromRuntime::Open {
                module,
                channel,
                flags,
                topic,
            }),
            ToRuntime::Receive {
                module,
                channel,
                payload,
            } => Some(FromRuntime::Publish {
                module,
                channel,
                payload,
            }),
            ToRuntime::Delete(module) => {
                let status = ("status".to_owned(), "exited".into());
                Some(FromRuntime::Exited(module, Map::from_iter([status])))
            }
            ToRuntime::Stop => None,
        });
        Ok(())
    }

    async fn receive(&mut self) -> Option<FromRuntime> {
        match self.0.pop_front() {
            Some(message) => Some(message),
            None => std::future::pending().await,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).context("which settings?")?;
    let (config, _) = config::load(Path::new(&path))?;
    let mut manager = RuntimeManager::connect(&config, "node", "the-manager")?;
    manager.host(Echo::default(), "node.echo", "the-runtime")?;
    manager
        .run(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
        .await;
    Ok(())
}
