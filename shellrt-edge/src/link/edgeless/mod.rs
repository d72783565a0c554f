//! EDGELESS: functions that a node boots, inits, casts to, calls and stops over gRPC.
//!
//! ```text
//! node -- GuestAPIFunction --> function (state) --> instance --> module, over its stdin and stdout
//! node <-- GuestAPIHost ------ host <-------------- instance <--
//! ```

mod args;
pub mod emulator;
mod function;
mod host;
mod hub;
mod instance;
mod outgoing;
mod plan;
mod sample;
mod state;
pub mod wire;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::daemon::{self, Daemon};
use crate::endpoint;
use crate::settings::edgeless::Settings;
use crate::settings::files;
use crate::settings::OnShutdown;
use crate::shutdown::Next;
use crate::supervisor::{Context, Supervisor};
use function::Function;
use host::Hosts;
use hub::Hub;
use instance::Program;
use plan::{Plan, Served};
use wire::{FunctionService, Tls, TlsError};

pub use args::{Cli, Edgeless};
pub use host::Binary;

/// Why the link can't be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings can't be read.
    #[error("the settings {path:?} can't be read")]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The settings are wrong.
    #[error("the settings {path:?} are wrong: {why}")]
    Settings {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// They do not go together with what was typed.
    #[error(transparent)]
    Plan(#[from] plan::Error),
    /// TLS can't be set up.
    #[error("TLS can't be set up")]
    Tls(#[from] TlsError),
    /// A port can't be opened.
    #[error("the function {name:?} can't be served at {address}")]
    Listen {
        /// Whose.
        name: String,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The daemon can't start.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    /// The status can't be served.
    #[error(transparent)]
    Endpoint(#[from] endpoint::Error),
}

/// Serves functions until the daemon is told to end.
///
/// # Errors
/// [`Error`].
pub async fn run(args: Edgeless) -> Result<(), Error> {
    let settings = read_settings(args.config.as_deref())?;
    for key in settings.unknown() {
        log::warn!("the settings have {key:?}, which is not known");
    }
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let Plan {
        functions,
        listen,
        rules,
        tls,
        mut daemon,
    } = plan::plan(&args, &settings, &here)?;
    let tls = tls.map_or_else(|| Ok(Tls::default()), |path| Tls::read(&path))?;
    let (acceptor, connector) = (tls.acceptor()?, tls.connector()?);
    // A node gives up soon, so whatever takes time comes later.
    let mut ports = Vec::new();
    for function in &functions {
        ports.push(open(function, listen).await?);
    }
    // Others need not be there.
    let used = |plugin: &String| {
        let mut modules = functions.iter().filter_map(|it| it.module.as_ref());
        modules.any(|spec| spec.plugin == *plugin)
    };
    daemon.plugins.retain(|plugin, _| used(plugin));
    // What is in a component's mind can't be found again.
    daemon.on_shutdown = OnShutdown::Stop;
    let owner = format!("edgeless-{}", ports.first().map_or(0, |(port, _)| *port));
    let mut daemon = Daemon::start(daemon, &owner)?;

    let hub = Hub::default();
    let supervisor = functions.iter().any(|it| it.module.is_some()).then(|| {
        let supervisor = Supervisor::start(Context {
            link: Arc::new(hub.clone()),
            plugins: daemon.plugins.clone(),
            modules: daemon.store.modules(&owner),
            owner: owner.clone(),
            max_modules: 0,
            adopt: false,
        });
        daemon.add(&supervisor);
        supervisor
    });
    let hosts = Hosts::new(connector);
    let mut served = Vec::new();
    let mut serving = JoinSet::new();
    for (function, (port, listener)) in functions.into_iter().zip(ports) {
        let program = match (function.module, &supervisor) {
            (Some(spec), Some(supervisor)) => Program::Module {
                spec: Box::new(spec),
                supervisor: supervisor.clone(),
                hub: hub.clone(),
            },
            _ => Program::Sample,
        };
        log::info!("the function {:?} is served at port {port}", function.name);
        let function = Function::new(&function.name, program, hosts.clone(), rules.clone());
        let service = FunctionService(Arc::new(function.clone()));
        serving.spawn(wire::serve(listener, acceptor.clone(), service));
        served.push(function);
    }
    let shown = served.clone();
    daemon.serve_status(move || shown.iter().map(Function::status).collect())?;
    daemon.ready();
    while daemon.shutdown.next().await != Next::End {
        // Nothing of it can change while functions run.
        daemon.ready();
    }
    futures_util::future::join_all(served.iter().map(Function::end)).await;
    daemon.drain().await;
    Ok(())
}

/// Looks at a settings file: what is strange about it.
///
/// # Errors
/// Where it can't be used.
pub fn check(path: &Path) -> Result<Vec<String>, Error> {
    let settings = read_settings(Some(path))?;
    let unknown = settings.unknown().into_iter();
    Ok(unknown.map(|key| format!("{key:?} is not known")).collect())
}

fn read_settings(path: Option<&Path>) -> Result<Settings, Error> {
    let Some(path) = path else {
        return Ok(Settings::default());
    };
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    files::typed(&text).map_err(|why| Error::Settings {
        path: path.to_owned(),
        why,
    })
}

/// Opens the port of a function. Gives the port that it is.
async fn open(function: &Served, listen: Option<IpAddr>) -> Result<(u16, TcpListener), Error> {
    let all = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let mut address = SocketAddr::new(listen.unwrap_or(all), function.port);
    let mut opened = wire::listen(address).await;
    if opened.is_err() && listen.is_none() {
        // A machine without IPv6.
        address.set_ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        opened = wire::listen(address).await;
    }
    let failed = |source| Error::Listen {
        name: function.name.clone(),
        address,
        source,
    };
    let listener = opened.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((port, listener))
}
