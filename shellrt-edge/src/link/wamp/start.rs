//! What is read at the start: the command line, the settings, the extras, the secrets.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use shellrt_api::v0::Secret;

use super::address::{self, Address};
use super::args::Wamp;
use super::auth::{self, Credentials};
use super::blueprint::{self, Blueprint};
use super::message::Dict;
use super::serializer;
use super::transport;
use crate::logging;
use crate::settings::wamp::{self, Settings};
use crate::settings::{Daemon, OnShutdown};

/// How long a component may take to be ready where nothing else is set.
const READY_TIME_SEC: u64 = 60;

/// How long a component may take to end by itself where nothing else is set.
const STOP_GRACE_SEC: u64 = 5;

/// What is known before anything is started.
pub struct Start {
    /// What all links share.
    pub edge: Daemon,
    /// The daemon's name.
    pub name: String,
    /// What all instances do.
    pub plan: Plan,
    /// The components.
    pub blueprints: Vec<Blueprint>,
}

/// Where instances go, as whom, and how long things may take.
pub struct Plan {
    /// Where the router is.
    pub address: Address,
    /// The realm.
    pub realm: String,
    /// Who components are there.
    pub credentials: Credentials,
    /// How connections are made.
    pub transport: transport::Settings,
    /// How long a component may take to be ready.
    pub ready_time: Duration,
    /// How long a component may take to end by itself.
    pub grace: Duration,
    /// What is passed on to components that connect by themselves.
    pub variables: BTreeMap<String, String>,
}

/// Why nothing is started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something is missing.
    #[error("there is no {what}: give {flag}, set {variable}, or set \"{what}\" in the settings")]
    Missing {
        /// What.
        what: &'static str,
        /// Its flag.
        flag: &'static str,
        /// Its variable.
        variable: &'static str,
    },
    /// The settings can't be used.
    #[error(transparent)]
    Settings(#[from] wamp::Error),
    /// The URL is none.
    #[error(transparent)]
    Address(#[from] address::Error),
    /// A component is none.
    #[error(transparent)]
    Component(#[from] blueprint::Error),
    /// A secret is none.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// A file can't be read.
    #[error("the {what} file {path:?} can't be read")]
    File {
        /// What is in it.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The extra file is not JSON.
    #[error("the extra file {path:?} is not JSON")]
    Extra {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl Start {
    /// Reads all.
    ///
    /// # Errors
    /// [`Error`].
    pub fn read(args: Wamp) -> Result<Start, Error> {
        let Wamp {
            components,
            url,
            realm,
            extra_file,
            use_ssl,
            loglevel,
            serializers,
            necromancy: _,
            necromancy_sleep: _,
            config,
            ca,
            authid,
            name,
        } = args;
        if let Some(level) = loglevel {
            logging::settle(level);
        }
        let settings = match &config {
            Some(path) => Settings::load(path)?,
            None => Settings::default(),
        };
        let url = url.or_else(|| settings.url.clone()).ok_or(Error::Missing {
            what: "url",
            flag: "-u",
            variable: "WAMP_URL",
        })?;
        let realm = realm.or_else(|| settings.realm.clone());
        let realm = realm.ok_or(Error::Missing {
            what: "realm",
            flag: "-r",
            variable: "WAMP_REALM",
        })?;
        let mut address: Address = url.parse()?;
        if use_ssl.0 {
            address = address.with_tls();
        }
        let extras = extra_file.as_deref().map(read_extras).transpose()?;
        let tag = tag(
            name.as_deref(),
            &[&address.to_string(), &realm],
            &components,
        );
        let blueprints = Blueprint::all(&components, &settings, extras, &tag)?;
        let credentials = credentials(&settings, authid)?;
        let mut edge = settings.edge.clone();
        // A component is of no use without the session that it had.
        edge.on_shutdown = OnShutdown::Stop;
        // The others have nothing of ours, and need not be there.
        let is_used = |plugin: &str| blueprints.iter().any(|one| one.plugin() == plugin);
        edge.plugins.retain(|plugin, _| is_used(plugin));
        let seconds = |set: Option<u64>, default| Duration::from_secs(set.unwrap_or(default));
        let plan = Plan {
            variables: variables(&address, &realm),
            address,
            realm,
            credentials,
            transport: transport_settings(&settings, serializers, ca),
            ready_time: seconds(settings.ready_timeout_sec, READY_TIME_SEC),
            grace: seconds(settings.stop_grace_sec, STOP_GRACE_SEC),
        };
        Ok(Start {
            edge,
            name: format!("wamp-{}", name.unwrap_or(tag)),
            plan,
            blueprints,
        })
    }
}

/// The names that the runners have for it.
fn variables(address: &Address, realm: &str) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([
        ("WAMP_URL".to_owned(), address.to_string()),
        ("WAMP_REALM".to_owned(), realm.to_owned()),
        ("WAMP_LOG_LEVEL".to_owned(), level_word().to_owned()),
    ]);
    // For the runners any text is a yes.
    if address.tls {
        variables.insert("WAMP_USE_SSL".to_owned(), "true".to_owned());
    }
    variables
}

/// The level that this daemon logs at, as the runners call it.
fn level_word() -> &'static str {
    match log::max_level() {
        log::LevelFilter::Off => "none",
        log::LevelFilter::Error => "error",
        log::LevelFilter::Warn => "warn",
        log::LevelFilter::Info => "info",
        log::LevelFilter::Debug => "debug",
        log::LevelFilter::Trace => "trace",
    }
}

fn transport_settings(
    settings: &Settings,
    serializers: Vec<serializer::Serializer>,
    ca: Option<PathBuf>,
) -> transport::Settings {
    let defaults = transport::Settings::default();
    transport::Settings {
        serializers: match serializers.is_empty() {
            true => defaults.serializers,
            false => serializers,
        },
        ca: ca.or_else(|| settings.ca.clone()),
        max_message: settings.max_message_bytes.unwrap_or(defaults.max_message),
        ..defaults
    }
}

fn read_extras(path: &Path) -> Result<Value, Error> {
    let text = read("extra", path)?;
    serde_json::from_str(&text).map_err(|source| Error::Extra {
        path: path.to_owned(),
        source,
    })
}

fn credentials(settings: &Settings, authid: Option<String>) -> Result<Credentials, Error> {
    let credentials = Credentials {
        authid: authid.or_else(|| settings.authid.clone()),
        ticket: secret("ticket", "WAMP_TICKET", settings.ticket_file.as_deref())?,
        wampcra: secret("secret", "WAMP_SECRET", settings.secret_file.as_deref())?,
        cryptosign: secret("key", "WAMP_PRIVATE_KEY", settings.key_file.as_deref())?,
    };
    // A key that is none is told now and not at every join.
    credentials.introduce(&mut Dict::new())?;
    Ok(credentials)
}

/// A secret of the environment, else of a file.
fn secret(
    what: &'static str,
    variable: &str,
    file: Option<&Path>,
) -> Result<Option<Secret>, Error> {
    if let Some(text) = std::env::var(variable).ok().filter(|text| !text.is_empty()) {
        return Ok(Some(Secret::new(text)));
    }
    let Some(path) = file else {
        return Ok(None);
    };
    let text = read(what, path)?;
    warn_if_open(what, path);
    Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
}

/// A secret that all can read is none.
fn warn_if_open(what: &str, path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map(|found| found.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        log::warn!("others than its owner can read the {what} file {path:?}; chmod 600 mends that");
    }
}

fn read(what: &'static str, path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::File {
        what,
        path: path.to_owned(),
        source,
    })
}

/// What tells this daemon's modules from others': the same command line finds what it has left.
fn tag(name: Option<&str>, place: &[&str], components: &[String]) -> String {
    let mut digest = Sha256::new();
    let parts = place.iter().copied();
    let parts = parts.chain(components.iter().map(String::as_str));
    for part in parts.chain(name) {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    let digest = digest.finalize();
    let digits = digest.iter().take(4).map(|byte| format!("{byte:02x}"));
    digits.collect()
}
