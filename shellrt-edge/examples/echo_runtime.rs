//! A runtime of one's own below our runtime manager: what a module reads it writes again.
//!
//! `cargo run --example echo_runtime -- config.json`, with the settings of `shellrt-edged manager`. What is
//! published to `realm/proc/stdio/UUID` of a module comes back there.
use std::{collections::VecDeque, future::pending, path::Path};

use serde_json::{Map, Value};
use shellrt_edge::link::silverline::runtime::{Error, Place, Runtime};
use shellrt_edge::link::silverline::runtime_manager::{config, RuntimeManager};
use shellrt_edge::link::silverline::slsocket::{FromRuntime, ToRuntime};

/// What it still has to tell.
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
        self.0.extend(match message {
            ToRuntime::Create(m, _) => Some(FromRuntime::open_stdio(m)),
            ToRuntime::Receive {
                module: m,
                channel: c,
                payload: p,
            } => Some(FromRuntime::publish(m, c, p)),
            ToRuntime::Delete(m) => Some(FromRuntime::exited(m, [])),
            ToRuntime::Stop => None,
        });
        Ok(())
    }
    async fn receive(&mut self) -> Option<FromRuntime> {
        match self.0.pop_front() {
            Some(message) => Some(message),
            None => pending().await,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).unwrap_or("config.json".to_owned());
    let (config, _) = config::load(Path::new(&path))?;
    let mut manager = RuntimeManager::connect(&config, "node", "the-manager")?;
    manager.host(Echo(VecDeque::new()), "node.echo", "the-runtime")?;
    let end = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    manager.run(end).await;
    Ok(())
}
