//! `shellrt-edged`: the edge daemon.
//!
//! Parse ([`args`]), log, run the link until it is told to end, exit. A link is added by a variant of
//! [`args::Command`] and its line in the match below.
#![forbid(unsafe_code)]

mod args;

use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use shellrt_edge::link::{edgeless, silverline, wamp};
use shellrt_edge::logging::{self, LogLevel};
use shellrt_edge::settings;
use shellrt_edge::settings::Report;

use crate::args::{Args, Check, Command, Link};

fn main() -> ExitCode {
    let Args { log_level, command } = Args::parse();
    let done = start_log(log_level).and_then(|()| match command {
        Command::Silverline(args) => run(silverline::run(args)),
        Command::Edgeless(args) => run(edgeless::run(args)),
        Command::EdgelessCli(args) => run(edgeless::emulator::run(args)),
        Command::LinuxMinimal(args) => run(silverline::linux_minimal::run(args)),
        Command::Manager(args) => run(silverline::runtime_manager::args::run(args)),
        Command::Wamp(args) => run(wamp::run(args)),
        Command::Check(args) => check(&args),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what is wrong and what is strange about settings, a line each.
fn check(args: &Check) -> anyhow::Result<()> {
    let path = args.config.as_deref();
    let report = match args.link {
        Link::Silverline => settings::check(path, std::env::vars_os()),
        Link::Manager => {
            let path = path.unwrap_or(Path::new("config.json"));
            Report::of(
                silverline::runtime_manager::config::load(path).map(|(_, warnings)| warnings),
            )
        }
        Link::Edgeless => Report::of(edgeless::check(needed(path)?)),
        Link::Wamp => Report::of(settings::wamp::Settings::load(needed(path)?).map(|_| Vec::new())),
    };
    let mut out = std::io::stdout().lock();
    for problem in &report.problems {
        writeln!(out, "error: {problem}").context("stdout")?;
    }
    for warning in &report.warnings {
        writeln!(out, "warning: {warning}").context("stdout")?;
    }
    match report.problems.len() {
        0 => Ok(()),
        1 => anyhow::bail!("there is an error in the settings"),
        count => anyhow::bail!("there are {count} errors in the settings"),
    }
}

fn needed(path: Option<&Path>) -> anyhow::Result<&Path> {
    path.context("say which file: --config FILE")
}

fn start_log(asked: Option<LogLevel>) -> anyhow::Result<()> {
    let variable = std::env::var("LOG_LEVEL").ok();
    let variable = variable
        .filter(|level| !level.is_empty())
        .map(|level| level.parse());
    match (asked, variable) {
        (Some(level), _) => logging::start(Some(level)),
        (None, None) => logging::start(None),
        (None, Some(Ok(level))) => logging::start(Some(level)),
        (None, Some(Err(error))) => {
            logging::start(None);
            return Err(error).context("LOG_LEVEL");
        }
    }
    Ok(())
}

/// Runs a link to its end on this one thread: what waits for plugins waits elsewhere.
fn run<E>(link: impl Future<Output = Result<(), E>>) -> anyhow::Result<()>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    let done = runtime.block_on(link);
    // Plugins that still answer, or whose streams are open, are not waited for.
    runtime.shutdown_background();
    Ok(done?)
}
