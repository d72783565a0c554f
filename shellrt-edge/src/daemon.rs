//! What every link stands on: the plugins, the state directory, the signals, the service manager, the
//! status, and the graceful end.
//!
//! A link's `run` is always the same shape:
//!
//! ```text
//! let mut daemon = Daemon::start(settings.edge, "silverline")?;
//! let supervisor = Supervisor::start(Context { plugins: daemon.plugins.clone(), .. });
//! daemon.add(&supervisor);
//! daemon.serve_status(move || vec![link.status()])?;
//! daemon.ready();
//! loop { select! { event = events.recv() => .., next = daemon.shutdown.next() => .. } }
//! daemon.drain().await;
//! // the link says goodbye to its orchestrator
//! ```

use std::cell::OnceCell;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use shellrt_api::v0::client::Plugin;
use tokio::time::timeout;

use crate::endpoint::{self, About, Link, Module, Snapshot, SocketFile};
use crate::notify::{Notify, State};
use crate::plugin::Plugins;
use crate::settings::{self, OnShutdown};
use crate::shutdown::Shutdown;
use crate::store::{self, Store};
use crate::supervisor::{Drain, Supervisor};

/// How long the last of the end may take where the time for it is over already.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// How long plugins may take to say what modules use, for the status.
const USAGE_TIME: Duration = Duration::from_secs(5);

/// How often they are asked for the status at most.
const USAGE_EVERY: Duration = Duration::from_secs(5);

/// The daemon, as far as no link makes a difference.
pub struct Daemon {
    /// The plugins of the settings.
    pub plugins: Plugins,
    /// What outlives the daemon.
    pub store: Store,
    /// What signals ask for.
    pub shutdown: Shutdown,
    settings: settings::Daemon,
    watched: Arc<Watched>,
    socket: Option<SocketFile>,
    watching: OnceCell<()>,
    /// The state directory is this daemon's as long as the file is open.
    _lock: File,
}

/// What the status and the watchdog look at.
pub(crate) struct Watched {
    supervisors: Mutex<Vec<Supervisor>>,
    links: Mutex<Links>,
    notify: Notify,
    started: (Instant, Timestamp),
    /// When the plugins were asked for the usage of modules last.
    asked: Mutex<Option<Instant>>,
}

/// The links' parts of the status.
type Links = Arc<dyn Fn() -> Vec<Link> + Send + Sync>;

/// Why the daemon can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody says where the state directory is.
    #[error("there is no home directory to keep the state in; set \"state_dir\" in \"edge\"")]
    NoPlace,
    /// The state directory can't be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The state directory is in use.
    #[error(
        "another daemon runs as {name:?} with the state directory {dir:?}; end it, or set another \
         \"state_dir\" in \"edge\""
    )]
    Taken {
        /// As what.
        name: String,
        /// Where.
        dir: PathBuf,
    },
    /// The system lets nobody listen to signals.
    #[error("signals can't be heard")]
    Signals(#[source] io::Error),
}

impl Daemon {
    /// Starts what `settings` ask for. `name` is the link's: only one daemon of a name uses a state
    /// directory at a time.
    ///
    /// # Errors
    /// [`Error`].
    pub fn start(settings: settings::Daemon, name: &str) -> Result<Daemon, Error> {
        let shutdown = Shutdown::listen().map_err(Error::Signals)?;
        let dir = match &settings.state_dir {
            Some(dir) => dir.clone(),
            None => state_dir(rustix::process::geteuid().is_root(), |name| {
                std::env::var_os(name).map(PathBuf::from)
            })
            .ok_or(Error::NoPlace)?,
        };
        let store = Store::open(&dir)?;
        let lock = store.lock(name)?.ok_or_else(|| Error::Taken {
            name: name.to_owned(),
            dir,
        })?;
        let programs = settings.plugins.iter();
        let programs = programs.map(|(name, program)| (name.clone(), Plugin::new(program)));
        let watched = Watched {
            supervisors: Mutex::default(),
            links: Mutex::new(Arc::new(Vec::new)),
            notify: Notify::from_env(),
            started: (Instant::now(), Timestamp::now()),
            asked: Mutex::default(),
        };
        Ok(Daemon {
            plugins: Plugins::new(programs, settings.plugins_at_once),
            store,
            shutdown,
            settings,
            watched: Arc::new(watched),
            socket: None,
            watching: OnceCell::new(),
            _lock: lock,
        })
    }

    /// From now on the status shows the modules of `supervisor`, the watchdog is only fed while it answers,
    /// and the end of the daemon waits for it.
    pub fn add(&self, supervisor: &Supervisor) {
        let mut supervisors = lock(&self.watched.supervisors);
        supervisors.retain(|other| !other.is_over());
        supervisors.push(supervisor.clone());
    }

    /// Serves the status, where the settings say so. `links` answers at once.
    ///
    /// # Errors
    /// Where nobody can listen there.
    pub fn serve_status(
        &mut self,
        links: impl Fn() -> Vec<Link> + Send + Sync + 'static,
    ) -> Result<(), endpoint::Error> {
        *lock(&self.watched.links) = Arc::new(links);
        if let Some(address) = &self.settings.status {
            self.socket = endpoint::serve(address, Arc::clone(&self.watched))?;
        }
        Ok(())
    }

    /// Tells the service manager that the daemon does its work, now or again.
    pub fn ready(&self) {
        self.watched.notify.tell(State::Ready);
        if let Some(every) = self.watched.notify.watchdog() {
            let watched = Arc::clone(&self.watched);
            // From the first time on.
            self.watching
                .get_or_init(|| drop(tokio::spawn(watch(watched, every))));
        }
    }

    /// Tells the service manager that settings are read again; [`Daemon::ready`] follows.
    pub fn reloading(&self) {
        self.watched.notify.tell(State::Reloading);
    }

    /// Tells people what the daemon is doing, by the service manager.
    pub fn doing(&self, text: &str) {
        self.watched.notify.tell(State::Status(text));
    }

    /// Ends all modules, or leaves them, as is set. Returns when that is done and reported, or when the time
    /// for it is over: what is not reported then is left to the next daemon.
    pub async fn drain(&self) {
        let time = Duration::from_secs(self.settings.shutdown_timeout_sec);
        self.watched
            .notify
            .tell(State::Stopping(time + LAST_MOMENT));
        let supervisors = std::mem::take(&mut *lock(&self.watched.supervisors));
        let all =
            |how| futures_util::future::join_all(supervisors.iter().map(move |it| it.drain(how)));
        if self.settings.on_shutdown == OnShutdown::Stop {
            if timeout(time, all(Drain::Stop)).await.is_ok() {
                return;
            }
            log::warn!("not all modules have ended in time; the next daemon goes on with them");
        }
        if timeout(LAST_MOMENT, all(Drain::Leave)).await.is_err() {
            log::debug!("some plugins still answer");
        }
    }
}

impl Watched {
    /// Whether all supervisors answer in `time`.
    pub(crate) async fn is_alive(&self, time: Duration) -> bool {
        let supervisors = lock(&self.supervisors).clone();
        let deadline = Instant::now() + time;
        for supervisor in supervisors {
            let left = deadline.saturating_duration_since(Instant::now());
            if timeout(left, supervisor.answers()).await != Ok(true) {
                return false;
            }
        }
        true
    }

    /// How the daemon is now.
    pub(crate) async fn snapshot(&self) -> Snapshot {
        let links = Arc::clone(&lock(&self.links));
        let supervisors = lock(&self.supervisors).clone();
        let mut modules = Vec::new();
        let with_usage = self.may_ask();
        for supervisor in supervisors {
            let views = async {
                match with_usage {
                    true => supervisor.modules_with_usage().await,
                    false => supervisor.modules().await,
                }
            };
            // Where plugins are slow, the last numbers have to do.
            modules.extend(match timeout(USAGE_TIME, views).await {
                Ok(views) => views,
                Err(_) => supervisor.modules().await,
            });
        }
        let now = Timestamp::now();
        let (since, started) = self.started;
        Snapshot {
            daemon: About {
                version: env!("CARGO_PKG_VERSION"),
                pid: std::process::id(),
                started,
                uptime_sec: since.elapsed().as_secs(),
            },
            links: links(),
            modules: modules
                .into_iter()
                .map(|view| Module::of(view, now))
                .collect(),
        }
    }

    /// Whether the plugins may be asked for the usage of modules once more: that is a process for each, and
    /// who asks for the status often must not keep them busy.
    fn may_ask(&self) -> bool {
        let mut asked = lock(&self.asked);
        let may = asked.is_none_or(|at| at.elapsed() >= USAGE_EVERY);
        if may {
            *asked = Some(Instant::now());
        }
        may
    }
}

/// What panics with such a lock leaves all as it was.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Feeds the service manager's watchdog as long as everything answers.
async fn watch(watched: Arc<Watched>, every: Duration) {
    loop {
        if watched.is_alive(every).await {
            watched.notify.tell(State::Watchdog);
        } else {
            log::error!("the supervisor of the modules does not answer");
        }
        tokio::time::sleep(every).await;
    }
}

/// Where the state directory is when the settings do not say it.
fn state_dir(is_root: bool, variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if is_root {
        return Some(PathBuf::from("/var/lib/shellrt/edge"));
    }
    // The specification of base directories: a relative path is none.
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let data = variable("XDG_DATA_HOME").and_then(absolute);
    let home = || variable("HOME").and_then(absolute);
    let data = data.or_else(|| Some(home()?.join(".local/share")))?;
    Some(data.join(Path::new("shellrt/edge")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_follows_who_runs_it() {
        let none = |_: &str| None;
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/u"));
        let both = |name: &str| match name {
            "XDG_DATA_HOME" => Some(PathBuf::from("/data")),
            other => home(other),
        };
        let relative = |name: &str| match name {
            "XDG_DATA_HOME" => Some(PathBuf::from("data")),
            other => home(other),
        };
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(state_dir(true, both), path("/var/lib/shellrt/edge"));
        assert_eq!(state_dir(false, both), path("/data/shellrt/edge"));
        assert_eq!(
            state_dir(false, home),
            path("/home/u/.local/share/shellrt/edge")
        );
        assert_eq!(state_dir(false, relative), state_dir(false, home));
        assert_eq!(state_dir(false, none), None);
    }
}
