//! The settings that all links share: the table `edge` of a settings file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use super::table::Table;
use crate::endpoint::Address;

/// What the daemon itself is set to, whatever the link.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Daemon {
    /// The plugins: name and executable (a path, or a name on `PATH`). `containerd` is
    /// `shellrt-containerd` and `wasm` is `shellrt-wasm` unless something else is said, and not there where
    /// null is.
    pub plugins: BTreeMap<String, PathBuf>,
    /// How many plugin processes may answer at the same time. Default 8.
    pub plugins_at_once: usize,
    /// Where the daemon remembers what must outlive it. Default `/var/lib/shellrt/edge` for root, else
    /// `~/.local/share/shellrt/edge`.
    pub state_dir: Option<PathBuf>,
    /// Where the status is served over HTTP: `unix:/run/shellrt-edged.sock`, or an address and port of the
    /// loopback device. Default nowhere.
    pub status: Option<Address>,
    /// What becomes of the modules when the daemon is told to end. Default [`OnShutdown::Leave`].
    pub on_shutdown: OnShutdown,
    /// How long the end of the daemon may take, in seconds; what is not reported by then is left to the
    /// next daemon. Default 30.
    pub shutdown_timeout_sec: u64,
}

/// What becomes of the modules when the daemon is told to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnShutdown {
    /// They go on running, and the next daemon finds them.
    #[default]
    Leave,
    /// They are stopped, and that is reported.
    Stop,
}

/// It is neither.
#[derive(Debug, thiserror::Error)]
#[error("take \"leave\" or \"stop\"")]
pub struct BadOnShutdown;

impl FromStr for OnShutdown {
    type Err = BadOnShutdown;

    fn from_str(word: &str) -> Result<Self, BadOnShutdown> {
        match word.to_ascii_lowercase().as_str() {
            "leave" => Ok(OnShutdown::Leave),
            "stop" => Ok(OnShutdown::Stop),
            _ => Err(BadOnShutdown),
        }
    }
}

impl Default for Daemon {
    fn default() -> Self {
        let plugins = ["containerd", "wasm"];
        let plugins = plugins.map(|name| (name.to_owned(), format!("shellrt-{name}").into()));
        Daemon {
            plugins: BTreeMap::from(plugins),
            plugins_at_once: 8,
            state_dir: None,
            status: None,
            on_shutdown: OnShutdown::default(),
            shutdown_timeout_sec: 30,
        }
    }
}

/// Takes where the state is. What is not there yet is made, so that is no mistake.
fn state_dir(table: &mut Table<'_>) -> Option<PathBuf> {
    let dir = PathBuf::from(table.text("state_dir")?);
    if dir.exists() && !dir.is_dir() {
        table.problem("state_dir", "is no directory");
    }
    Some(dir)
}

/// Reads the table `edge`.
pub(super) fn read(mut table: Table<'_>) -> Daemon {
    let default = Daemon::default();
    let mut plugins = default.plugins;
    let mut own = table.table("plugins");
    for name in own.keys() {
        if own.is_null(&name) {
            plugins.remove(&name);
        }
        if let Some(program) = own.text(&name) {
            plugins.insert(name, program.into());
        }
    }
    let whole = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    let daemon = Daemon {
        plugins,
        plugins_at_once: table
            .whole("plugins_at_once", 1)
            .map_or(default.plugins_at_once, whole),
        state_dir: state_dir(&mut table),
        status: table.word("status"),
        on_shutdown: table.word("on_shutdown").unwrap_or_default(),
        shutdown_timeout_sec: table
            .whole("shutdown_timeout_sec", 0)
            .map_or(default.shutdown_timeout_sec, |secs| secs.unsigned_abs()),
    };
    table.end();
    daemon
}
