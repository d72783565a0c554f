//! What the user typed. What it means is decided in the other files.

mod create;
mod help;
mod lazy;
mod message;
mod mount;
mod value;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint};
use shellrt_api::v0::config::Duration;
use shellrt_api::v0::Secret;

pub use create::{ContainerdFlags, Create, SharedFlags, WasmFlags};
pub use lazy::Lazy;
pub use message::{
    Attach, Completions, Events, Exec, ImgPull, ImgRemove, List, Logs, Name, Prune, Remove, Stop,
    Stream, Wait,
};
pub use mount::Mount;
pub use value::Variable;

/// One command line.
#[derive(Debug, Parser)]
#[command(
    name = "shellrt-driver",
    version,
    about = "The command line over any shellrt plugin",
    long_about = "The command line over any shellrt plugin: it sends one message to the plugin and \
                  prints the answer, as readable text on a terminal and as JSON into a pipe.",
    subcommand_value_name = "MESSAGE",
    subcommand_help_heading = "Messages",
    max_term_width = 100
)]
pub struct Args {
    #[command(flatten)]
    pub options: Options,

    /// How long the plugin may take, in seconds or as "1m30s"; then it undoes what it began and
    /// answers error 20, and two seconds later it is killed. Stands before the message; some
    /// messages have a field of the same name
    #[arg(long, value_name = "SECONDS", value_parser = value::duration)]
    pub timeout: Option<Duration>,

    #[command(flatten)]
    pub credentials: Credentials,

    /// The plugin: a path (with a "/"), a short name ("wasm" is "shellrt-wasm", beside this program
    /// or on PATH), or a name on PATH
    #[arg(value_hint = ValueHint::CommandName)]
    pub plugin: OsString,

    #[command(subcommand)]
    pub message: Message,
}

/// What goes with every message, before it or after it.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How to print the answer
    #[arg(
        long,
        short,
        global = true,
        value_name = "FORM",
        default_value = "auto",
        help_heading = "Common options"
    )]
    pub output: Form,

    /// Show both payloads on stderr, without credentials and the values of environment variables
    #[arg(long, short, global = true, help_heading = "Common options")]
    pub verbose: bool,

    /// Print the payload exactly as it would be sent (a password included), and start nothing
    #[arg(long, global = true, help_heading = "Common options")]
    pub dry_run: bool,
}

/// How to print an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Text on a terminal, JSON elsewhere
    Auto,
    /// Short text for people
    Text,
    /// The response object in one line
    Json,
}

/// Who the registry is asked as. They stand before the message or after it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Credentials {
    /// The user at the registry
    #[arg(
        long,
        short,
        value_name = "USER",
        help_heading = "Credentials (img_pull)"
    )]
    pub username: Option<String>,

    /// The user's password; every user of this machine can see it in the list of processes, so
    /// prefer --password-stdin
    #[arg(
        long,
        short,
        value_name = "PASS",
        allow_hyphen_values = true,
        value_parser = value::secret,
        conflicts_with_all = ["password_stdin", "token_stdin"],
        help_heading = "Credentials (img_pull)"
    )]
    pub password: Option<Secret>,

    /// Read the password from stdin
    #[arg(
        long,
        conflicts_with = "token_stdin",
        help_heading = "Credentials (img_pull)"
    )]
    pub password_stdin: bool,

    /// Read a bearer token from stdin
    #[arg(
        long,
        conflicts_with = "username",
        help_heading = "Credentials (img_pull)"
    )]
    pub token_stdin: bool,
}

impl Credentials {
    /// Whether none of them was given.
    pub fn is_empty(&self) -> bool {
        let Credentials {
            username,
            password,
            password_stdin,
            token_stdin,
        } = self;
        username.is_none() && password.is_none() && !password_stdin && !token_stdin
    }
}

/// The messages, named as their `_type`.
#[derive(Debug, Subcommand)]
#[command(rename_all = "snake_case")]
pub enum Message {
    /// Fetch an image from its registry and make it ready to run
    ImgPull(Lazy<ImgPull>),
    /// Remove an image from this machine
    ImgRemove(Lazy<ImgRemove>),
    /// List the images on this machine
    ImgList,
    /// Make a module from an image and a config; it is not started
    Create(Box<Lazy<Create>>),
    /// Start a module; a running one stays as it is
    Start(Lazy<Name>),
    /// End a module; a stopped one stays as it is
    Stop(Lazy<Stop>),
    /// Stop a module with its own grace time, and start it
    Restart(Lazy<Name>),
    /// Remove a module with its log and its state; its image stays
    Remove(Lazy<Remove>),
    /// List the modules
    List(Lazy<List>),
    /// Show how a module is
    Status(Lazy<Name>),
    /// Print what a module wrote, byte for byte
    Logs(Lazy<Logs>),
    /// Print what a module writes from now on, and feed its input
    Attach(Lazy<Attach>),
    /// Wait until a module has ended and will not be restarted, and show its status
    Wait(Lazy<Wait>),
    /// Show the processes of a running module and what they use
    Top(Lazy<Name>),
    /// Run one command inside a running module, and exit with its exit code
    Exec(Lazy<Exec>),
    /// Run a module's configured check once
    Health(Lazy<Name>),
    /// Print what happened to modules and images
    Events(Lazy<Events>),
    /// Remove leftovers of broken requests, and images that no module uses
    Prune(Lazy<Prune>),
    /// Show what machine this is
    SysInfo,
    /// Show what the plugin and its runtime are
    Version,
    /// Send stdin to the plugin as it is, and print its answer as it is
    Raw,
    /// Print a completion script for a shell; needs no plugin
    Completions(Lazy<Completions>),
}

/// Whether what answers `message` is a stream, whose stdout is for the stream alone.
pub fn is_stream(message: &Message) -> bool {
    matches!(
        message,
        Message::Logs(_) | Message::Attach(_) | Message::Events(_) | Message::Raw
    )
}

/// `shellrt-driver completions SHELL`, the one command line without a plugin.
#[derive(Debug, Parser)]
#[command(name = "shellrt-driver")]
struct WithoutPlugin {
    #[command(subcommand)]
    message: Message,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// A message to a plugin.
    Message(Box<Args>),
    /// A completion script.
    Completions(clap_complete::Shell),
}

/// Reads a command line, the program's own name included.
///
/// # Errors
/// Wrong usage, or the text of `--help` and `--version`.
pub fn parse(arguments: Vec<OsString>) -> Result<Asked, clap::Error> {
    let first = arguments.get(1);
    if first.is_some_and(|first| first == "completions") {
        let command = help::with_examples(WithoutPlugin::command());
        let matches = command.try_get_matches_from(arguments)?;
        if let Message::Completions(Lazy(Completions { shell })) =
            WithoutPlugin::from_arg_matches(&matches)?.message
        {
            return Ok(Asked::Completions(shell));
        }
        // The first word was "completions", so there is no other message.
        return Err(command_line().error(
            clap::error::ErrorKind::MissingRequiredArgument,
            "the plugin is missing",
        ));
    }
    let matches = command_line().try_get_matches_from(arguments)?;
    let args = Args::from_arg_matches(&matches)?;
    Ok(match args.message {
        Message::Completions(Lazy(Completions { shell })) => Asked::Completions(shell),
        _ => Asked::Message(Box::new(args)),
    })
}

/// The whole command line with its help texts.
pub fn command_line() -> clap::Command {
    help::with_examples(Args::command())
}

#[cfg(test)]
#[path = "args/tests.rs"]
mod tests;
