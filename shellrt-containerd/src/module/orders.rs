//! What a module's monitor is told through a file, since it asks containerd nothing.

use serde::{Deserialize, Serialize};
use shellrt_api::v0::logs::Stream;

use super::Module;
use crate::network::port::Held;

/// What a monitor has to know of its module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// How large a log file may become, in bytes.
    pub max_size: u64,
    /// How many log files are kept.
    pub max_files: u32,
    /// Which streams are kept.
    pub streams: Vec<Stream>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// What keeps the module's ports from others, while it runs.
    #[serde(default)]
    pub ports: Held,
}

impl Orders {
    /// Those of `module`.
    pub fn of(module: &Module) -> Self {
        let config = &module.definition.config;
        Orders {
            max_size: config.log.max_size.0,
            max_files: config.log.max_files,
            streams: config.log.streams.clone(),
            tty: config.tty,
            ports: Held::of(module),
        }
    }
}
