//! What the user typed. Each link has its own arguments in its own folder.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use shellrt_edge::link::{edgeless, silverline, wamp};
use shellrt_edge::logging::LogLevel;

const EXIT_STATUS: &str = "\
Exit status:
  0    it was told to end by SIGTERM or SIGINT, and did; or there was nothing to find fault with
  1    it could not start or go on, or \"check\" found a fault
  2    the command line is wrong
  130, 143  a second SIGINT or SIGTERM ended it at once

SIGHUP has it read again what can be read again.";

/// One command line.
#[derive(Debug, Parser)]
#[command(
    name = "shellrt-edged",
    version,
    about = "The edge daemon: joins modules, which shellrt plugins run, to orchestrators",
    after_help = EXIT_STATUS,
    subcommand_value_name = "LINK",
    subcommand_help_heading = "Links",
    max_term_width = 100
)]
pub struct Args {
    /// How much to log to stderr: critical, error, warning, info, debug or trace, in either case.
    /// Without it LOG_LEVEL says it, then the settings, else it is info
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        help_heading = "Common options"
    )]
    pub log_level: Option<LogLevel>,

    #[command(subcommand)]
    pub command: Command,
}

/// The links, and what there is beside them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Be a runtime of a Silverline fleet, over MQTT
    Silverline(silverline::args::Args),
    /// Serve functions to an EDGELESS node
    Edgeless(edgeless::Edgeless),
    /// Play an EDGELESS node for one function
    EdgelessCli(edgeless::Cli),
    /// Be a runtime below a Silverline runtime manager, which starts this
    LinuxMinimal(silverline::linux_minimal::LinuxMinimal),
    /// Be a Silverline runtime manager: several runtimes over one connection
    Manager(silverline::runtime_manager::args::Manager),
    /// Launches components and connects each to a WAMP router
    Wamp(wamp::Wamp),
    /// Look at the settings of a link and start nothing
    Check(Check),
}

/// What is looked at.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Whose settings they are
    #[arg(value_enum, default_value = "silverline")]
    pub link: Link,

    /// Where they are, as the link itself is told. Of silverline it is the folder of settings.yaml and its
    /// companions; without it the current one, its "conf" and its "config" are searched. Of the others it
    /// is a file, config.json for a manager that is not told
    #[arg(long, short, value_name = "PATH")]
    pub config: Option<PathBuf>,
}

/// The links that have settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Link {
    /// A runtime of a Silverline fleet
    Silverline,
    /// A Silverline runtime manager
    Manager,
    /// Functions of an EDGELESS node
    Edgeless,
    /// WAMP components
    Wamp,
}
