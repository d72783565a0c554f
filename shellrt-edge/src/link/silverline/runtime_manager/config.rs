//! The runtime manager's `config.json`, with upstream's names and defaults, and what we have beside them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{json, Map, Value};
use shellrt_api::v0::Secret;

use crate::link::silverline::slsocket::{Header, MODULES};
use crate::mqtt;
use crate::settings;

/// Upstream's members that only its other programs use.
const NOT_OURS: [&str; 9] = [
    "http",
    "http_port",
    "manifest",
    "domain",
    "username",
    "file_store",
    "file_store_port",
    "$schema",
    "comment",
];

/// The settings of a manager.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The broker's name or address. Default `localhost`.
    pub mqtt: String,
    /// Its port. Default 1883.
    pub mqtt_port: u16,
    /// Who we are for it, where there is a password. Default `cli`.
    pub mqtt_username: String,
    /// The file that has the password, and nothing else. Default none.
    pub pwd: Option<PathBuf>,
    /// Whether to speak TLS. Default no.
    pub use_ssl: bool,
    /// Whether the broker must show whom it is. Default yes; upstream never asks.
    pub ssl_verify: bool,
    /// The authorities that may vouch for it, a PEM file. Default those of the system.
    pub ssl_ca: Option<PathBuf>,
    /// Our certificate, a PEM file. Default none.
    pub ssl_cert: Option<PathBuf>,
    /// The key of that.
    pub ssl_key: Option<PathBuf>,
    /// The first part of all topics. Default `realm`.
    pub realm: String,
    /// What the orchestrator hears of the machine. Default nothing.
    pub platform: Value,
    /// The manager's uuid. Default one that is generated once and kept.
    pub uuid: Option<String>,
    /// The runtimes of this machine by their types, beside those that are always there.
    pub runtimes: BTreeMap<String, Declared>,
    /// Where the sockets of runtimes are. Default `/tmp/sl`.
    pub socket_dir: PathBuf,
    /// Where the programs are that our own runtimes run. Default the working directory.
    pub files: PathBuf,
    /// What all our daemons have.
    pub edge: settings::Daemon,
}

/// A runtime that is a child process, as `config.json` declares it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// What a shell runs; the index of the runtime comes behind it.
    pub command: String,
    /// What its modules can use. Default `wasm` and `wasi`.
    #[serde(default = "apis")]
    pub apis: Vec<String>,
    /// How many modules it runs at a time, at most 128. Default 1.
    #[serde(default = "one")]
    pub max_nmodules: usize,
    /// What is added to the manager's name where it has several runtimes. Default `rt`.
    #[serde(default = "short")]
    pub short_name: String,
    /// The kind of its profiles. Default `raw32`.
    #[serde(default = "profile")]
    pub profile: String,
    /// How long the header of its frames is, in bytes: 6 or 4. Default 6.
    #[serde(default)]
    pub header: Header,
}

fn apis() -> Vec<String> {
    vec!["wasm".to_owned(), "wasi".to_owned()]
}

fn one() -> usize {
    1
}

fn short() -> String {
    "rt".to_owned()
}

fn profile() -> String {
    "raw32".to_owned()
}

impl Default for Config {
    fn default() -> Self {
        Config {
            mqtt: "localhost".to_owned(),
            mqtt_port: 1883,
            mqtt_username: "cli".to_owned(),
            pwd: None,
            use_ssl: false,
            ssl_verify: true,
            ssl_ca: None,
            ssl_cert: None,
            ssl_key: None,
            realm: "realm".to_owned(),
            platform: Value::Null,
            uuid: None,
            runtimes: BTreeMap::new(),
            socket_dir: "/tmp/sl".into(),
            files: ".".into(),
            edge: settings::Daemon::default(),
        }
    }
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("{path:?} can't be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{path:?} is wrong")]
    Wrong {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A member has a value that nothing can be done with.
    #[error("{path:?} is wrong: {member:?} must be {needed}")]
    Member {
        /// Which file.
        path: PathBuf,
        /// Which member.
        member: String,
        /// What it must be.
        needed: &'static str,
    },
}

/// Reads `config.json`, and what is strange about it but no error.
///
/// # Errors
/// [`Error`].
pub fn load(path: &Path) -> Result<(Config, Vec<String>), Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let wrong = |source| Error::Wrong {
        path: path.to_owned(),
        source,
    };
    let object: Map<String, Value> = serde_json::from_str(&text).map_err(wrong)?;
    let known = known();
    let unknown = object.keys().filter(|key| !known.contains(&key.as_str()));
    let warnings = unknown.map(|key| format!("{path:?} has an unknown member {key:?}"));
    let warnings = warnings.collect();
    let config: Config = serde_json::from_value(Value::Object(object)).map_err(wrong)?;
    let bad = |member: &str, needed| Error::Member {
        path: path.to_owned(),
        member: member.to_owned(),
        needed,
    };
    if config.realm.is_empty() || config.realm.contains(['+', '#', '\0']) {
        return Err(bad("realm", "a topic"));
    }
    for (kind, declared) in &config.runtimes {
        let most = declared.max_nmodules;
        if most == 0 || most > MODULES {
            return Err(bad(
                &format!("runtimes.{kind}.max_nmodules"),
                "1 to 128, as many as frames can tell apart",
            ));
        }
        if declared.command.trim().is_empty() {
            return Err(bad(&format!("runtimes.{kind}.command"), "a command"));
        }
    }
    Ok((config, warnings))
}

fn known() -> Vec<&'static str> {
    let ours = [
        "mqtt",
        "mqtt_port",
        "mqtt_username",
        "pwd",
        "use_ssl",
        "ssl_verify",
        "ssl_ca",
        "ssl_cert",
        "ssl_key",
        "realm",
        "platform",
        "uuid",
        "runtimes",
        "socket_dir",
        "files",
        "edge",
    ];
    [&ours[..], &NOT_OURS[..]].concat()
}

impl Config {
    /// Where the broker is, and who the manager `name` is for it.
    ///
    /// # Errors
    /// Where the file of the password can't be read.
    pub fn broker(&self, name: &str, uuid: &str) -> Result<mqtt::Settings, Error> {
        let password = match &self.pwd {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
                    path: path.clone(),
                    source,
                })?;
                Some(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
            }
            None => None,
        };
        let tls = self.use_ssl.then(|| mqtt::Tls {
            ca: self.ssl_ca.clone(),
            cert: self.ssl_cert.clone(),
            key: self.ssl_key.clone(),
            verify: self.ssl_verify,
        });
        Ok(mqtt::Settings {
            host: self.mqtt.clone(),
            port: self.mqtt_port,
            username: password.as_ref().map(|_| self.mqtt_username.clone()),
            password,
            tls,
            client_id: format!("{name}:{uuid}"),
            keep_alive: std::time::Duration::from_secs(60),
        })
    }

    /// What a registration says of the machine.
    pub fn metadata(&self) -> Map<String, Value> {
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy().into_owned();
        let mut data = Map::new();
        data.insert("metadata".to_owned(), json!({ "host": host }));
        if !self.platform.is_null() {
            data.insert("platform".to_owned(), self.platform.clone());
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<(Config, Vec<String>), Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        load(&path)
    }

    #[test]
    fn what_is_not_there_is_as_upstream_has_it() {
        let (config, warnings) = config("{}").unwrap();
        let broker = config.broker("node", "u-1").unwrap();
        assert_eq!((broker.host.as_str(), broker.port), ("localhost", 1883));
        assert_eq!(broker.client_id, "node:u-1");
        assert!(broker.tls.is_none() && broker.username.is_none());
        assert_eq!(config.realm, "realm");
        assert!(warnings.is_empty());
    }

    #[test]
    fn upstreams_members_are_known_and_others_named() {
        let (_, warnings) = config(
            r#"{"mqtt": "broker", "mqtt_port": 8883, "use_ssl": true, "http": "h", "http_port": 8000,
                "manifest": "m", "domain": "d", "username": "u", "file_store": "f",
                "file_store_port": 8001, "platform": {"cpu": {"cores": 2}}, "mqttport": 1}"#,
        )
        .unwrap();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("\"mqttport\""), "{warnings:?}");
    }

    #[test]
    fn the_readme_has_settings_that_are_right() {
        let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
        let readme = std::fs::read_to_string(readme).unwrap();
        let blocks = readme.split("```json\n").skip(1);
        let mut blocks = blocks.map(|rest| rest.split("```").next().unwrap());
        let block = blocks.find(|block| block.contains("\"pwd\"")).unwrap();
        let (config, warnings) = config(block).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(config.runtimes["linux/min/wasmer"].max_nmodules, 1);
    }

    #[test]
    fn the_password_is_a_file_and_shown_to_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pwd");
        std::fs::write(&file, "geheim\n").unwrap();
        let text = json!({"pwd": file, "mqtt_username": "edge"}).to_string();
        let (config, _) = config(&text).unwrap();
        let broker = config.broker("n", "u").unwrap();
        assert_eq!(broker.username.as_deref(), Some("edge"));
        assert_eq!(json!(broker.password), json!("geheim"));
        assert!(!format!("{broker:?}").contains("geheim"));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            (r#"{"mqtt_port": "x"}"#, "u16"),
            (r#"{"realm": "a/#"}"#, "realm"),
            (r#"{"runtimes": {"x": {}}}"#, "command"),
            (
                r#"{"runtimes": {"x": {"command": "c", "max_nmodules": 129}}}"#,
                "runtimes.x.max_nmodules",
            ),
            (
                r#"{"runtimes": {"x": {"command": "c", "header": 5}}}"#,
                "6 or 4",
            ),
            (
                r#"{"runtimes": {"x": {"command": "c", "comand": 5}}}"#,
                "comand",
            ),
            ("[]", "map"),
        ] {
            let error = config(text).unwrap_err();
            let mut words = error.to_string();
            if let Some(source) = std::error::Error::source(&error) {
                words = format!("{words}: {source}");
            }
            assert!(words.contains(word), "{text}: {words}");
        }
    }
}
