//! A runtime of a runtime manager: who runs the modules. The manager does the rest: it registers the
//! runtime, numbers the modules, and carries what they read and write.
//!
//! To add one, implement [`Runtime`]: its three methods without a default, and whatever else differs.
//! `examples/echo_runtime.rs` is a whole one.

mod child;
mod cpus;
mod plugin;
mod program;
mod reports;

use std::future::Future;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::slsocket::{FromRuntime, ToRuntime, MODULES};

pub use child::{Child, ChildSettings};
pub use cpus::{BadCpus, Cpus};
pub use plugin::{PluginRuntime, PluginSettings};
pub use program::{BadProgram, Kind};

/// What a runtime is told of its place when it is started.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its index in its manager, from 0.
    pub index: u8,
    /// Its uuid.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// Where what its processes print goes; without it to the manager's stderr.
    pub log: Option<PathBuf>,
}

/// Why a runtime can't go on.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// In words.
    pub fn new(message: impl Into<String>) -> Error {
        Error {
            message: message.into(),
            source: None,
        }
    }

    /// In words, because of another error.
    pub fn because(
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error {
            message: message.into(),
            source: Some(source.into()),
        }
    }

    /// The message with its causes, on one line.
    pub fn chain(&self) -> String {
        crate::causes::chain(self)
    }
}

/// A runtime.
pub trait Runtime: Send + 'static {
    /// What the orchestrator knows it as, `linux/minimal` for example.
    fn runtime_type(&self) -> String;

    /// What its modules can use: `wasm`, `wasi`, ...
    fn apis(&self) -> Vec<String>;

    /// How many modules it runs at a time, at most 128. Default that.
    fn max_modules(&self) -> usize {
        MODULES
    }

    /// Its name where nobody gives it another. Default `runtime`.
    fn default_name(&self) -> String {
        "runtime".to_owned()
    }

    /// What is added to the manager's name where that has several runtimes. Default `rt`.
    fn short_name(&self) -> String {
        "rt".to_owned()
    }

    /// What its profiles are, as the topic of a profile says it. Default `raw32`.
    fn profile(&self) -> String {
        "raw32".to_owned()
    }

    /// Starts it, again after it has ended. Answers what is added to its registration. Dropping the future
    /// breaks the start off.
    fn start(
        &mut self,
        place: &Place,
    ) -> impl Future<Output = Result<Map<String, Value>, Error>> + Send;

    /// Tells it something. Never waits for the runtime itself, which may be waiting for the manager.
    fn send(&mut self, message: ToRuntime) -> impl Future<Output = Result<(), Error>> + Send;

    /// What it tells next; nothing when it has ended. May be dropped while it waits, and loses nothing then.
    fn receive(&mut self) -> impl Future<Output = Option<FromRuntime>> + Send;

    /// Ends it and its modules; what it tells of that is lost. Default: it is told to stop.
    fn stop(&mut self) -> impl Future<Output = ()> + Send {
        async {
            if let Err(error) = self.send(ToRuntime::Stop).await {
                log::debug!("{}", error.chain());
            }
        }
    }

    /// The orchestrator knows it now, and has said this. Default: nothing to do.
    fn registered(&mut self, details: &Map<String, Value>) {
        let _ = details;
    }

    /// The modules that run already after [`Runtime::start`]: the objects that created them, with `index` and
    /// `uuid`. Default none.
    fn running(&self) -> Vec<Map<String, Value>> {
        Vec::new()
    }

    /// A module is wanted; `data` has its `index`. Default: the runtime is told.
    fn create_module(
        &mut self,
        module: u8,
        data: Map<String, Value>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        self.send(ToRuntime::Create(module, data))
    }

    /// A module is not wanted any more. Default: the runtime is told.
    fn delete_module(&mut self, module: u8) -> impl Future<Output = Result<(), Error>> + Send {
        self.send(ToRuntime::Delete(module))
    }

    /// A module has ended; `report` goes to the orchestrator. Default: nothing to do.
    fn cleanup_module(
        &mut self,
        module: u8,
        report: &mut Map<String, Value>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (module, report);
        std::future::ready(())
    }
}
