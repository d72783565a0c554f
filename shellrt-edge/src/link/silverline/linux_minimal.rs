//! `shellrt-edged linux-minimal`: a runtime below a runtime manager, ours or upstream's. It speaks SLSocket
//! and runs WebAssembly modules in `shellrt-wasm`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use futures_util::FutureExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::runtime::{self, Kind, PluginRuntime, PluginSettings, Runtime};
use super::slsocket::connection::{self, ReadError, Writer};
use super::slsocket::{FromRuntime, Header, Log, ToRuntime};
use crate::daemon::{self, Daemon};
use crate::settings;
use crate::supervisor::Drain;

/// How long the modules may take to end.
const END_TIME: Duration = Duration::from_secs(20);

/// How long the manager may take to read the last of it.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// The plugin, as the settings would call it.
const WASM: &str = "wasm";

/// The command line, which a manager completes with the index.
#[derive(Debug, Args)]
pub struct LinuxMinimal {
    /// The index of the runtime in its manager; its socket is DIR/INDEX.s, the index as two hexadecimal
    /// digits
    pub index: u8,

    /// The directory of the socket
    #[arg(long, value_name = "DIR", default_value = "/tmp/sl")]
    pub socket_dir: PathBuf,

    /// How long the header of a frame is, in bytes: 6, or 4 as managers before August 2023 have it
    #[arg(long, value_name = "BYTES", default_value = "6")]
    pub header: Header,

    /// The plugin that runs the modules: a path, or a name on PATH
    #[arg(long, value_name = "PROGRAM", default_value = "shellrt-wasm")]
    pub plugin: PathBuf,

    /// The directory that has the programs; no module gets at anything outside of it
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub files: PathBuf,

    /// What is remembered of modules is here. Without it /var/lib/shellrt/edge for root, else
    /// ~/.local/share/shellrt/edge
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// How often the runtime tells that it lives, in seconds; 0 for never
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub keepalive: u64,
}

/// Why the runtime does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't begin.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    /// Nobody listens.
    #[error("no manager listens at {path:?}")]
    Connect {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the manager says can't be read.
    #[error("the manager can't be understood")]
    Read(#[from] ReadError),
    /// The manager ended without a word.
    #[error("the manager has gone")]
    Gone,
    /// The modules can't be run.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
}

/// Runs until the manager says stop, goes away, or a signal comes. Then all modules are ended.
///
/// # Errors
/// [`Error`].
pub async fn run(args: LinuxMinimal) -> Result<(), Error> {
    let name = format!("linux-minimal-{:02x}", args.index);
    let settings = settings::Daemon {
        plugins: BTreeMap::from([(WASM.to_owned(), args.plugin)]),
        state_dir: args.state_dir,
        ..Default::default()
    };
    let daemon = Daemon::start(settings, &name)?;
    let path = args.socket_dir.join(format!("{:02x}.s", args.index));
    let socket = UnixStream::connect(&path).await;
    let socket = socket.map_err(|source| Error::Connect { path, source })?;
    let (writer, mut reader) = connection::open(socket, args.header);
    let mut runtime = PluginRuntime::start(PluginSettings {
        kind: Kind::Wasm,
        plugin: WASM.to_owned(),
        plugins: daemon.plugins.clone(),
        modules: daemon.store.modules(&name),
        owner: name.clone(),
        adopt: false,
        leave: false,
        end_time: END_TIME,
        files: args.files,
        keepalive: Duration::from_secs(args.keepalive),
        runtime_type: "linux/minimal".to_owned(),
        short_name: "min".to_owned(),
    });
    log::info!("connected to the manager");
    let ended = loop {
        tokio::select! {
            frame = reader.next_frame() => match frame {
                Ok(Some(frame)) => match ToRuntime::parse(frame) {
                    Ok(ToRuntime::Stop) => break Ok(()),
                    Ok(message) => runtime.send(message).await?,
                    Err(error) => complain(&writer, &error.to_string()),
                },
                Ok(None) => break Err(Error::Gone),
                Err(error) => break Err(error.into()),
            },
            Some(message) = runtime.receive() => tokio::select! {
                () = tell(&writer, &message) => {}
                () = daemon.shutdown.ending() => break Ok(()),
            },
            () = daemon.shutdown.ending() => break Ok(()),
        }
    };
    end(&mut runtime, &writer).await;
    ended
}

/// Ends all modules, and tells the manager, where it still listens.
async fn end(runtime: &mut PluginRuntime, writer: &Writer) {
    let supervisor = runtime.supervisor().clone();
    let drained = timeout(END_TIME, supervisor.drain(Drain::Stop));
    tokio::pin!(drained);
    loop {
        tokio::select! {
            done = &mut drained => {
                if done.is_err() {
                    log::warn!("not all modules have ended in time; the next start removes them");
                }
                break;
            }
            Some(message) = runtime.receive() => {
                // A manager that does not read any more must not keep the modules.
                if timeout(LAST_MOMENT, tell(writer, &message)).await.is_err() {
                    log::debug!("the manager does not read");
                }
            }
        }
    }
    let rest = async {
        while let Some(Some(message)) = runtime.receive().now_or_never() {
            tell(writer, &message).await;
        }
        writer.flushed().await;
    };
    if timeout(LAST_MOMENT, rest).await.is_err() {
        log::debug!("the manager does not read");
    }
}

/// Tells the manager, and waits while it does not read.
async fn tell(writer: &Writer, message: &FromRuntime) {
    if let Err(error) = writer.wait(&message.frame()).await {
        log::debug!("the manager is not told: {error}");
    }
}

fn complain(writer: &Writer, text: &str) {
    log::warn!("{text}");
    let log = FromRuntime::Log(Log {
        level: Log::ERROR,
        text: text.to_owned(),
    });
    if let Err(error) = writer.control(&log.frame()) {
        log::debug!("the manager is not told: {error}");
    }
}
