//! The configs of `create`: one type per `config_type`, built by embedders and the driver, read by
//! plugins.
//!
//! One idea has one name in all of them, the Compose specification's. Unknown keys are an error: a
//! typo there must not be silently lost.

pub mod containerd;
pub mod containerd_cri;
pub mod docker;
mod quantity;
mod restart;
pub mod wasm;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use quantity::{Bytes, Duration, QuantityError};
pub use restart::{Restart, RestartError};

use super::logs::Stream;
use super::{decode, Code, Error};

/// Reads a config.
///
/// # Errors
/// [`Code::INVALID_CONFIG`]; `detail.path` is a JSON pointer into the request.
pub fn decode<T: DeserializeOwned>(config: &Value) -> Result<T, Error> {
    decode::typed(config).map_err(|(path, reason)| invalid(&path, &reason))
}

/// The error for something that is wrong at `path`, a JSON pointer into the config.
pub fn invalid(path: &str, reason: &str) -> Error {
    let place = path.trim_start_matches('/');
    let message = if place.is_empty() {
        format!("the config is wrong: {reason}")
    } else {
        format!("{place:?} in the config is wrong: {reason}")
    };
    Error::message(Code::INVALID_CONFIG, message).with("path", format!("/config{path}"))
}

/// How a module's output is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// How large a log file may become before it is rotated, in bytes or as `"10m"`. Default 10 MiB.
    pub max_size: Bytes,
    /// How many log files are kept, the current one included. Default 3.
    pub max_files: u32,
    /// Which streams are kept. Default both. What is not kept is heard by `attach` only.
    pub streams: Vec<Stream>,
}

impl Default for Log {
    fn default() -> Self {
        Log {
            max_size: Bytes(10 << 20),
            max_files: 3,
            streams: vec![Stream::Stdout, Stream::Stderr],
        }
    }
}

impl Log {
    fn is_default(&self) -> bool {
        *self == Log::default()
    }
}
