//! The arguments of `create`.

mod containerd;

use std::path::PathBuf;

use clap::ValueHint;
use shellrt_api::v0::config::{Bytes, Duration, Restart};

use super::mount::Mount;
use super::value::{self, Variable};
use super::{mount, Stream};

pub use containerd::ContainerdFlags;

#[derive(Debug, clap::Args)]
pub struct Create {
    /// The kind of config; "version" lists what the plugin understands
    pub config_type: String,

    /// The new module's name
    pub name: String,

    /// The image's reference; optional where --config names it
    pub image: Option<String>,

    /// Set a variable; without a value it is taken from the environment of this program
    #[arg(long, short, value_name = "KEY[=VALUE]")]
    pub env: Vec<Variable>,

    /// Read variables from a file, one KEY=VALUE or KEY per line; -e wins over it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub env_file: Vec<PathBuf>,

    /// Read the config from a JSON file, or from stdin with "-". A "wasm" or "containerd" config is
    /// checked, and the options below win over it: a list replaces the file's list, labels and the
    /// like are added. Any other config is sent as it is
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    #[command(
        flatten,
        next_help_heading = "Options for a \"wasm\" or \"containerd\" config"
    )]
    pub shared: SharedFlags,

    #[command(flatten, next_help_heading = "Options for a \"wasm\" config")]
    pub wasm: WasmFlags,

    #[command(flatten, next_help_heading = "Options for a \"containerd\" config")]
    pub containerd: ContainerdFlags,
}

/// What every config type of this project has.
#[derive(Debug, Default, PartialEq, clap::Args)]
pub struct SharedFlags {
    /// Give the program a directory of this machine, for reading and writing; ":ro" for reading
    /// only. Also as "type=bind,source=HOST,target=GUEST,readonly"; a container can have
    /// "type=tmpfs" and "type=volume" too
    #[arg(
        long = "mount",
        value_name = "HOST:GUEST[:ro|rw]",
        value_parser = mount::mount
    )]
    pub mounts: Vec<Mount>,

    /// What its memory may grow to, in bytes or as "64m"
    #[arg(
        long = "memory",
        short = 'm',
        visible_alias = "mem-limit",
        value_name = "SIZE"
    )]
    pub mem_limit: Option<Bytes>,

    /// How many processors it may use on average, as in "0.5"
    #[arg(long, value_name = "NUMBER", value_parser = value::cpus)]
    pub cpus: Option<f64>,

    /// When to start it again after it has ended: "no", "on-failure", "on-failure:3", "always" or
    /// "unless-stopped"
    #[arg(long, value_name = "POLICY")]
    pub restart: Option<Restart>,

    /// Keep an open stdin that "attach" feeds
    #[arg(long, short = 'i', visible_alias = "interactive")]
    pub stdin: bool,

    /// Add a label
    #[arg(long = "label", short, value_name = "KEY=VALUE", value_parser = value::label)]
    pub labels: Vec<(String, String)>,

    /// How large a log file may become, in bytes or as "10m"
    #[arg(long, value_name = "SIZE")]
    pub log_max_size: Option<Bytes>,

    /// How many log files are kept
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub log_max_files: Option<u32>,

    /// Keep only this stream in the log; default both
    #[arg(
        long = "log-stream",
        visible_alias = "log-streams",
        value_name = "STREAM",
        value_delimiter = ','
    )]
    pub log_streams: Vec<Stream>,

    /// The program's arguments, without its own name; default: those of the image
    #[arg(last = true)]
    pub command: Vec<String>,
}

/// What only a `wasm` config has.
#[derive(Debug, Default, PartialEq, clap::Args)]
pub struct WasmFlags {
    /// How long one run may take, in seconds or as "10s"
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<Duration>,

    /// How many units of work, about one per instruction, one run may take
    #[arg(long, value_name = "UNITS")]
    pub fuel: Option<u64>,

    /// Where the program may connect to, as "host:port" or "10.0.0.0/8"
    #[arg(long, value_name = "TARGET", value_parser = value::connect)]
    pub connect: Vec<String>,

    /// Where a "wasi:http/proxy" component is served, as "address:port"
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = value::listen)]
    pub listen: Option<String>,

    /// Let the program look up the names that --connect lists
    #[arg(long)]
    pub dns: bool,
}
