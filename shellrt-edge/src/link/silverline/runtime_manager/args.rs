//! `shellrt-edged manager`: the command line, with the names of upstream's `start.py`, and what it starts.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::config::{self, Config};
use super::{Error, RuntimeManager};
use crate::daemon::{self, Daemon};
use crate::endpoint;
use crate::link::silverline::runtime::{
    Child, ChildSettings, Cpus, Kind, PluginRuntime, PluginSettings, Runtime,
};
use crate::link::silverline::slsocket::{Header, MODULES};
use crate::logging::{self, BadLevel, LogLevel};
use crate::mqtt;
use crate::settings::OnShutdown;
use crate::shutdown::Next;
use crate::store;

/// How often a runtime of ours tells that it lives, until the orchestrator says how often.
const KEEPALIVE: Duration = Duration::from_secs(60);

const TYPES: &str = "\
Types of runtimes:
  linux/minimal        a child process that runs WebAssembly modules, \"shellrt-edged linux-minimal\"
  plugin/wasm          WebAssembly modules in shellrt-wasm; they outlive the manager
  plugin/containerd    containers in shellrt-containerd; they outlive the manager
  any other            a child process, declared in the member \"runtimes\" of the settings";

/// The command line.
#[derive(Debug, Args)]
#[command(after_help = TYPES)]
pub struct Manager {
    /// The settings
    #[arg(
        short,
        long = "cfg",
        visible_alias = "config",
        value_name = "FILE",
        default_value = "config.json"
    )]
    pub config: PathBuf,

    /// The name of this machine
    #[arg(short, long, default_value = "node")]
    pub name: String,

    /// The types of its runtimes
    #[arg(short, long, value_name = "TYPE", num_args = 1.., default_value = "linux/minimal")]
    pub runtimes: Vec<String>,

    /// How much to log, as Python numbers it: 10 debug, 20 info, 30 warning, 40 error
    #[arg(short, long, value_name = "LEVEL")]
    pub verbose: Option<u8>,

    /// The processors of each of them, in their order, as "0", "0,2" or "0-3"; only for child processes
    #[arg(short = 'g', long, value_name = "CPUS", num_args = 1..)]
    pub cpus: Vec<Cpus>,

    /// The directory where each runtime's log is a file
    #[arg(short, long, value_name = "DIR")]
    pub log: Option<PathBuf>,
}

/// Why the manager does not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The manager can't be.
    #[error(transparent)]
    Manager(#[from] Error),
    /// The daemon can't be.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    /// It can't remember who it is.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The status can't be served.
    #[error(transparent)]
    Endpoint(#[from] endpoint::Error),
    /// There is no such level.
    #[error(transparent)]
    Level(#[from] BadLevel),
    /// There is no such runtime.
    #[error(
        "there is no runtime {0:?}; declare it in \"runtimes\" of the settings, or see \"manager --help\""
    )]
    UnknownType(String),
    /// Each runtime has its processors, or none has.
    #[error(
        "there are {0} runtimes and processors for {1}; name those of each, in the same order"
    )]
    CpusOfOthers(usize, usize),
    /// A plugin's modules are not this process's children.
    #[error(
        "the runtime {0:?} is a plugin and takes no processors; \"--cpus\" is for child processes"
    )]
    CpusOfPlugin(String),
    /// Where we are is not known.
    #[error("this program does not know where it is")]
    Self_(#[source] std::io::Error),
}

impl From<config::Error> for RunError {
    fn from(error: config::Error) -> Self {
        RunError::Manager(error.into())
    }
}

/// Runs until a signal comes.
///
/// # Errors
/// [`RunError`].
pub async fn run(args: Manager) -> Result<(), RunError> {
    if let Some(level) = args.verbose {
        logging::settle(level_of(level)?);
    }
    let (config, warnings) = config::load(&args.config)?;
    for warning in warnings {
        log::warn!("{warning}");
    }
    let mut daemon = Daemon::start(config.edge.clone(), "manager")?;
    let generate = || uuid::Uuid::new_v4().to_string();
    let uuid = match &config.uuid {
        Some(uuid) => uuid.clone(),
        None => daemon.store.uuid("manager", generate)?,
    };
    let mut manager = RuntimeManager::connect(&config, &args.name, &uuid)?;
    if let Some(dir) = args.log {
        std::fs::create_dir_all(&dir).map_err(|source| Error::Log {
            path: dir.clone(),
            source,
        })?;
        manager.log_to(dir);
    }
    let (all, given) = (args.runtimes.len(), args.cpus.len());
    if given != 0 && given != all {
        return Err(RunError::CpusOfOthers(all, given));
    }
    for (index, kind) in args.runtimes.iter().enumerate() {
        let cpus = args.cpus.get(index).copied();
        if cpus.is_some() && kind.starts_with("plugin/") {
            return Err(RunError::CpusOfPlugin(kind.clone()));
        }
        // The same runtime at the same place is the same one for the orchestrator.
        let identity = format!("manager-{index}-{kind}");
        let uuid = daemon.store.uuid(&identity, generate)?;
        let name = |short: String| match args.runtimes.len() {
            1 => args.name.clone(),
            _ => format!("{}.{short}", args.name),
        };
        match kind.as_str() {
            "plugin/wasm" => {
                let runtime = plugin(&config, &daemon, Kind::Wasm, kind, &uuid);
                let name = name(runtime.short_name());
                manager.host(runtime, &name, &uuid)?;
            }
            "plugin/containerd" => {
                let runtime = plugin(&config, &daemon, Kind::Containerd, kind, &uuid);
                let name = name(runtime.short_name());
                manager.host(runtime, &name, &uuid)?;
            }
            kind => {
                let runtime = Child::new(ChildSettings {
                    cpus,
                    ..child(&config, kind)?
                });
                let name = name(runtime.short_name());
                manager.host(runtime, &name, &uuid)?;
            }
        }
    }
    let (owner, counters) = (format!("manager/{uuid}"), manager.counters());
    daemon.serve_status(move || vec![status(&owner, &counters())])?;
    daemon.ready();
    let mut shutdown = daemon.shutdown.clone();
    let end = async {
        while shutdown.next().await != Next::End {
            log::warn!(
                "the settings of a runtime manager are only read when it starts: start it anew"
            );
            daemon.ready();
        }
        // Modules that are stopped are reported while there is somebody to report them.
        daemon.drain().await;
    };
    manager.run(end).await;
    Ok(())
}

fn status(owner: &str, line: &mqtt::Counters) -> endpoint::Link {
    endpoint::Link {
        name: owner.to_owned(),
        connected: line.connected,
        counters: line.named().into(),
    }
}

/// A level as Python numbers it.
fn level_of(level: u8) -> Result<LogLevel, BadLevel> {
    let name = match level {
        0..10 => "trace",
        10..20 => "debug",
        20..30 => "info",
        30..40 => "warning",
        _ => "error",
    };
    name.parse()
}

/// A runtime of one of our plugins. It finds the modules that run already.
fn plugin(config: &Config, daemon: &Daemon, kind: Kind, name: &str, uuid: &str) -> PluginRuntime {
    let plugin = match kind {
        Kind::Wasm => "wasm",
        Kind::Containerd => "containerd",
    };
    let owner = format!("manager/{uuid}");
    let runtime = PluginRuntime::start(PluginSettings {
        kind,
        plugin: plugin.to_owned(),
        plugins: daemon.plugins.clone(),
        modules: daemon.store.modules(&owner),
        owner,
        adopt: true,
        leave: config.edge.on_shutdown == OnShutdown::Leave,
        end_time: Duration::from_secs(config.edge.shutdown_timeout_sec),
        files: config.files.clone(),
        keepalive: KEEPALIVE,
        runtime_type: name.to_owned(),
        short_name: plugin.to_owned(),
    });
    daemon.add(runtime.supervisor());
    runtime
}

/// A runtime that is a child process.
fn child(config: &Config, kind: &str) -> Result<ChildSettings, RunError> {
    let settings = ChildSettings {
        command: String::new(),
        runtime_type: kind.to_owned(),
        apis: Vec::new(),
        max_modules: MODULES,
        short_name: "min".to_owned(),
        profile: "raw32".to_owned(),
        header: Header::default(),
        socket_dir: config.socket_dir.clone(),
        cpus: None,
    };
    if let Some(declared) = config.runtimes.get(kind) {
        let declared = declared.clone();
        return Ok(ChildSettings {
            command: declared.command,
            apis: declared.apis,
            max_modules: declared.max_nmodules,
            short_name: declared.short_name,
            profile: declared.profile,
            header: declared.header,
            ..settings
        });
    }
    if kind != "linux/minimal" {
        return Err(RunError::UnknownType(kind.to_owned()));
    }
    let program = std::env::current_exe().map_err(RunError::Self_)?;
    let mut words = vec![program.into_os_string(), "linux-minimal".into()];
    let mut option = |name: &str, value: &std::path::Path| {
        words.push(name.into());
        words.push(value.as_os_str().to_owned());
    };
    option("--socket-dir", &config.socket_dir);
    option("--files", &config.files);
    if let Some(dir) = &config.edge.state_dir {
        option("--state-dir", dir);
    }
    if let Some(plugin) = config.edge.plugins.get("wasm") {
        option("--plugin", plugin);
    }
    let words = words.iter().map(|word| quoted(&word.to_string_lossy()));
    Ok(ChildSettings {
        command: words.collect::<Vec<_>>().join(" "),
        apis: ["wasm", "wasi", "stdio:in", "stdio:out"]
            .map(str::to_owned)
            .to_vec(),
        ..settings
    })
}

/// A word as a shell takes it whole.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_program_whole() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn a_type_that_nobody_declared_is_named() {
        let error = child(&Config::default(), "linux/wamr").unwrap_err();
        assert!(error.to_string().contains("\"linux/wamr\""), "{error}");
        let own = child(&Config::default(), "linux/minimal").unwrap();
        assert!(own
            .command
            .contains("' 'linux-minimal' '--socket-dir' '/tmp/sl'"));
    }
}
