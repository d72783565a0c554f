//! The arguments of the messages.

use clap::ValueEnum;
use shellrt_api::v0::{img_pull, logs, stop};

use super::value::{self, Variable};
use super::Credentials;

/// Arguments of the messages that have a name only.
#[derive(Debug, clap::Args)]
pub struct Name {
    /// The module's name
    pub name: String,
}

#[derive(Debug, clap::Args)]
pub struct ImgPull {
    /// The image's reference; "ubuntu" is "docker.io/library/ubuntu:latest"
    pub image: String,

    #[command(flatten)]
    pub credentials: Credentials,

    /// What to take from an image for many platforms, as "linux/arm64/v8"; default: what fits this
    /// machine best
    #[arg(long)]
    pub platform: Option<String>,

    /// Whether to ask the registry
    #[arg(long, default_value = "always")]
    pub policy: Policy,

    /// Ask for progress also where nobody watches; as JSON it is printed line by line. On a terminal
    /// there are always bars
    #[arg(long)]
    pub progress: bool,
}

/// When the registry is asked.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Policy {
    /// Every time
    Always,
    /// Only where the image is not on this machine
    Missing,
    /// Every time, but an image on this machine will do where the registry can't be reached
    #[value(alias = "if-reachable")]
    IfReachable,
}

impl From<Policy> for img_pull::Policy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Always => img_pull::Policy::Always,
            Policy::Missing => img_pull::Policy::Missing,
            Policy::IfReachable => img_pull::Policy::IfReachable,
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct ImgRemove {
    /// The image's reference
    pub image: String,

    /// Remove it even while a module uses it
    #[arg(long, short)]
    pub force: bool,
}

#[derive(Debug, clap::Args)]
pub struct Stop {
    /// The module's name
    pub name: String,

    /// How long the module may take to end by itself: 0 kills at once, a negative number waits
    /// without end
    #[arg(default_value_t = stop::DEFAULT_TIMEOUT, allow_negative_numbers = true)]
    pub seconds: i64,
}

#[derive(Debug, clap::Args)]
pub struct Remove {
    /// The module's name
    pub name: String,

    /// Stop it first if it runs
    #[arg(long, short)]
    pub force: bool,
}

#[derive(Debug, clap::Args)]
pub struct List {
    /// Also show the status of every module
    #[arg(long, short)]
    pub details: bool,
}

#[derive(Debug, clap::Args)]
pub struct Logs {
    /// The module's name
    pub name: String,

    /// Go on with what the module writes, until it has ended and will not be restarted
    #[arg(long, short)]
    pub follow: bool,

    /// Only the last so many lines
    #[arg(long, short = 'n', value_name = "LINES")]
    pub tail: Option<u32>,

    /// Only what was written at this time or later, in seconds since the epoch
    #[arg(long, value_name = "UNIX", allow_negative_numbers = true)]
    pub since: Option<i64>,

    /// As --since, in nanoseconds; it wins over --since
    #[arg(long, value_name = "NANOSECONDS", allow_negative_numbers = true)]
    pub since_ns: Option<i64>,

    /// Only what was written before this time, in seconds since the epoch
    #[arg(long, value_name = "UNIX", allow_negative_numbers = true)]
    pub until: Option<i64>,

    /// Write the time before each line
    #[arg(long, short)]
    pub timestamps: bool,

    /// Only this stream; default both
    #[arg(
        long = "stream",
        visible_alias = "streams",
        value_name = "STREAM",
        value_delimiter = ','
    )]
    pub streams: Vec<Stream>,
}

/// Where a module writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stream {
    /// Its standard output
    Stdout,
    /// Its standard error
    Stderr,
}

impl From<Stream> for logs::Stream {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Stdout => logs::Stream::Stdout,
            Stream::Stderr => logs::Stream::Stderr,
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct Attach {
    /// The module's name
    pub name: String,

    /// Feed stdin to the module; it must have been created with --stdin
    #[arg(long, short = 'i')]
    pub stdin: bool,

    /// At the end of stdin close the module's stdin too, or leave it open for the next attach;
    /// default: leave it open where stdin is a terminal, close it elsewhere
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        requires = "stdin"
    )]
    pub close_stdin: Option<bool>,

    /// Only this stream; default both
    #[arg(
        long = "stream",
        visible_alias = "streams",
        value_name = "STREAM",
        value_delimiter = ','
    )]
    pub streams: Vec<Stream>,
}

#[derive(Debug, clap::Args)]
pub struct Wait {
    /// The module's name
    pub name: String,

    /// How long to wait, in seconds or as "5m"; default: without end
    #[arg(long, value_name = "SECONDS", value_parser = value::whole_seconds)]
    pub timeout: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub struct Exec {
    /// Set a variable; without a value it is taken from the environment of this program
    #[arg(long, short, value_name = "KEY[=VALUE]")]
    pub env: Vec<Variable>,

    /// How long the command may run before it is killed, in seconds or as "5m"; default: without
    /// end
    #[arg(long, value_name = "SECONDS", value_parser = value::whole_seconds)]
    pub timeout: Option<u64>,

    /// The module's name
    pub name: String,

    /// The program and its arguments; no shell
    #[arg(required = true, trailing_var_arg = true)]
    pub args: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct Events {
    /// Go on with what happens from now on
    #[arg(long, short)]
    pub follow: bool,

    /// Only what happened at this time or later, in seconds since the epoch
    #[arg(long, value_name = "UNIX", allow_negative_numbers = true)]
    pub since: Option<i64>,
}

#[derive(Debug, clap::Args)]
pub struct Prune {
    /// Also remove the images that no module uses
    #[arg(long)]
    pub images: bool,

    /// Only what has not been touched for so long, in seconds or as "24h"
    #[arg(long, value_name = "SECONDS", value_parser = value::whole_seconds)]
    pub older_than: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell to complete in
    pub shell: clap_complete::Shell,
}
