//! The settings of the WAMP link: a YAML file that names components and says what the command line does not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{files, Daemon};

/// A settings file. All of it is optional; what the command line says comes first.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What all links share.
    pub edge: Daemon,
    /// The router's URL.
    pub url: Option<String>,
    /// The realm.
    pub realm: Option<String>,
    /// A file of certificates in PEM: the authorities that are trusted instead of the machine's.
    pub ca: Option<PathBuf>,
    /// Who the components are for the router.
    pub authid: Option<String>,
    /// A file with the ticket.
    pub ticket_file: Option<PathBuf>,
    /// A file with the secret of WAMP-CRA.
    pub secret_file: Option<PathBuf>,
    /// A file with the private key of cryptosign: 64 hexadecimal digits.
    pub key_file: Option<PathBuf>,
    /// The largest message that is taken from the router, in bytes. Default 1 MiB.
    pub max_message_bytes: Option<usize>,
    /// How long a component may take to be ready once it runs, in seconds. Default 60.
    pub ready_timeout_sec: Option<u64>,
    /// How long a component may take to end by itself, in seconds. Default 5.
    pub stop_grace_sec: Option<u64>,
    /// The components that `-c` can name.
    pub components: BTreeMap<String, Component>,
}

/// A component that is more than a plugin and an image.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Component {
    /// The plugin that runs it.
    pub plugin: String,
    /// How it talks to the router. Default [`Kind::Lines`].
    #[serde(default)]
    pub component: Kind,
    /// Its image: a reference of the plugin's, or a path of this machine, `./x.wasm`, from this file on.
    pub image: String,
    /// The `config_type` of its config. Default: the plugin's name.
    #[serde(default)]
    pub config_type: Option<String>,
    /// Its environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The rest of its config, with the plugin's names: `command`, `mounts`, `mem_limit`, `network`, ... The
    /// source of a mount may be a path from this file on, `./data`.
    #[serde(flatten)]
    pub config: Map<String, Value>,
}

/// How a component talks to the router.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The daemon has the session; the component speaks lines of JSON with the daemon.
    #[default]
    Lines,
    /// It connects by itself.
    #[serde(rename = "self")]
    Itself,
}

/// Why a settings file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be read.
    #[error("the settings file {path:?} can't be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("the settings file {path:?} is wrong: {why}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl Settings {
    /// Reads the file `path`. Paths in it begin at its own directory.
    ///
    /// # Errors
    /// [`Error`].
    pub fn load(path: &Path) -> Result<Settings, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut settings = Settings::parse(&text).map_err(|why| Error::Wrong {
            path: path.to_owned(),
            why,
        })?;
        let base = path.parent().unwrap_or(Path::new("."));
        let Settings {
            ca,
            ticket_file,
            secret_file,
            key_file,
            components,
            ..
        } = &mut settings;
        for file in [ca, ticket_file, secret_file, key_file]
            .into_iter()
            .flatten()
        {
            *file = base.join(&*file);
        }
        for component in components.values_mut() {
            if component.image.starts_with("./") || component.image.starts_with("../") {
                component.image = base.join(&component.image).display().to_string();
            }
            for mount in mounts_of(&mut component.config) {
                settle(mount, base);
            }
        }
        Ok(settings)
    }

    fn parse(text: &str) -> Result<Settings, String> {
        if text.trim().is_empty() {
            return Ok(Settings::default());
        }
        files::typed(text)
    }
}

fn mounts_of(config: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    let mounts = config.get_mut("mounts").and_then(Value::as_array_mut);
    mounts.into_iter().flatten()
}

/// A path of this machine begins at the settings file; what begins with neither `./` nor `../` is left to the
/// plugin: it may be a volume's name.
fn settle(mount: &mut Value, base: &Path) {
    let Some(Value::String(source)) = mount.get_mut("source") else {
        return;
    };
    if source.starts_with("./") || source.starts_with("../") {
        if let Ok(absolute) = std::path::absolute(base.join(&*source)) {
            *source = absolute.display().to_string();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn components_carry_their_plugins_config() {
        let text = "
realm: realm1
components:
  sensor:
    plugin: wasm
    image: ./sensor.wasm
    command: [--fast]
    mem_limit: 64m
  app.Sensor:
    component: self
    plugin: containerd
    image: registry/runners:1
    network: host
    env: {TZ: UTC}
";
        let settings = Settings::parse(text).unwrap();
        assert_eq!(settings.realm.as_deref(), Some("realm1"));
        let sensor = &settings.components["sensor"];
        assert_eq!(sensor.component, Kind::Lines);
        let config = json!({"command": ["--fast"], "mem_limit": "64m"});
        assert_eq!(Value::Object(sensor.config.clone()), config);
        let class = &settings.components["app.Sensor"];
        assert_eq!(class.component, Kind::Itself);
        assert_eq!(class.env["TZ"], "UTC");
        assert_eq!(
            Value::Object(class.config.clone()),
            json!({"network": "host"})
        );
    }

    #[test]
    fn an_empty_file_is_the_defaults_and_a_wrong_one_an_error() {
        assert!(Settings::parse("\n").unwrap().components.is_empty());
        assert!(Settings::parse("relm: x").unwrap_err().contains("relm"));
        assert!(Settings::parse("components: {a: {plugin: wasm}}").is_err());
        assert!(
            Settings::parse("components: {a: {plugin: wasm, image: x, component: raw}}").is_err()
        );
    }

    #[test]
    fn paths_begin_at_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wamp.yaml");
        let text = "ticket_file: t\nca: /etc/ca\ncomponents: {a: {plugin: wasm, image: ./a.wasm, mounts: [
            {type: bind, source: ./data, target: /data}, {type: volume, source: data, target: /d}]}}";
        std::fs::write(&path, text).unwrap();
        let settings = Settings::load(&path).unwrap();
        assert_eq!(settings.ticket_file, Some(dir.path().join("t")));
        assert_eq!(settings.ca, Some(PathBuf::from("/etc/ca")));
        let image = &settings.components["a"].image;
        assert_eq!(Path::new(image), dir.path().join("./a.wasm"));
        let mounts = &settings.components["a"].config["mounts"];
        assert_eq!(
            mounts[0]["source"],
            dir.path().join("data").to_str().unwrap()
        );
        assert_eq!(mounts[1]["source"], "data");
    }
}
