//! What the user typed for `shellrt-edged edgeless` and `shellrt-edged edgeless-cli`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::host::Binary;

/// The run-time environment of EDGELESS functions.
#[derive(Debug, Clone, Default, Args)]
pub struct Edgeless {
    /// A YAML file with the settings; what is typed here counts more
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the function is served; 0 takes a free one
    #[arg(long, env = "PORT", value_name = "PORT")]
    pub port: Option<u16>,
    /// Serve the function NAME of the settings at PORT; may be repeated. Without such settings it is
    /// another one of what --module says
    #[arg(long = "function", value_name = "NAME=PORT")]
    pub functions: Vec<NamedPort>,
    /// The module that is the function, by its image's reference; without it the sample that is built in
    #[arg(long, value_name = "REFERENCE")]
    pub module: Option<String>,
    /// Which plugin runs the module: wasm, containerd or another one of the settings
    #[arg(long, value_name = "NAME", requires = "module")]
    pub plugin: Option<String>,
    /// The module's arguments, behind --
    #[arg(last = true, value_name = "ARGUMENT", requires = "module")]
    pub command: Vec<String>,
    /// How many casts and calls of a function are worked on at a time [default: 10]
    #[arg(long, env = "MAX_WORKERS", value_name = "N")]
    pub max_workers: Option<usize>,
    /// The address that the ports are opened at [default: all]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// How long a cast or a call may take, in seconds; 0 for without end [default: 0]
    #[arg(long, value_name = "SECONDS")]
    pub call_timeout: Option<f64>,
    /// How long a function may take to end by itself, in seconds [default: 5]
    #[arg(long, value_name = "SECONDS")]
    pub stop_timeout: Option<f64>,
    /// What becomes of bytes that are not UTF-8, which nodes can't take [default: base64]
    #[arg(long, value_name = "HOW")]
    pub binary: Option<Binary>,
    /// EDGELESS's file for TLS, tls_config.toml; without it there is none
    #[arg(long, value_name = "FILE")]
    pub tls_config: Option<PathBuf>,
    /// Where the daemon remembers which modules are its own
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// The emulator of a node.
#[derive(Debug, Clone, Args)]
pub struct Cli {
    /// Where this node is reached by the function: host:port
    #[arg(long, default_value = "localhost:50050", value_name = "ENDPOINT")]
    pub host_endpoint: String,
    /// Where the function is: host:port
    #[arg(long, default_value = "localhost:7101", value_name = "ENDPOINT")]
    pub function_endpoint: String,
    /// What the function is started with
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub init_payload: String,
    /// The state that the function is given
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub serialized_state: String,
    /// EDGELESS's file for TLS, tls_config.toml; without it there is none
    #[arg(long, value_name = "FILE")]
    pub tls_config: Option<PathBuf>,
}

/// A function's name and where it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPort {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: u16,
}

/// It is not a name and a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it must be a name, \"=\" and a port, as in echo=7101")]
pub struct BadNamedPort;

impl FromStr for NamedPort {
    type Err = BadNamedPort;

    fn from_str(text: &str) -> Result<Self, BadNamedPort> {
        let (name, port) = text.rsplit_once('=').ok_or(BadNamedPort)?;
        if name.is_empty() {
            return Err(BadNamedPort);
        }
        Ok(NamedPort {
            name: name.to_owned(),
            port: port.parse().map_err(|_| BadNamedPort)?,
        })
    }
}
