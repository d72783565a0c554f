//! `config_type` `docker`: the body of docker's call ContainerCreate, with docker's names, for the
//! manifests that exist.
//!
//! The plugin maps it onto [`containerd`](super::containerd). A key that is null, or has the zero
//! value of its type, asks for nothing, and upper and lower case are the same in keys, as in docker.

mod health;
mod host;
mod mount;
mod network;
mod read;
mod words;

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use health::Healthcheck;
pub use host::{DeviceMapping, DeviceRequest, HostConfig, LogConfig, RestartPolicy, Ulimit};
pub use mount::{BindOptions, DriverConfig, Mount, TmpfsOptions, VolumeOptions};
pub use network::{EndpointSettings, NetworkingConfig, PortBinding};

use super::super::Error;
use read::{Notes, Part};

/// The name of this config type.
pub const CONFIG_TYPE: &str = "docker";

/// An object that stands for nothing but its presence, as in `{"80/tcp": {}}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// What a container is made from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// The image's reference. It must have been pulled.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Variables as `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// What follows the entrypoint: a list, or one word. Default: the image's.
    #[serde(
        deserialize_with = "words::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub cmd: Option<Vec<String>>,
    /// The program and its first arguments: a list, or one word. Default: the image's; where it is
    /// given the image's command is not used, and `[]` and `[""]` mean none.
    #[serde(
        deserialize_with = "words::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub entrypoint: Option<Vec<String>>,
    /// Free text, returned by `status`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Who the program runs as: `user` or `user:group`, names or numbers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The directory in which the program starts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// The host name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// The domain name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domainname: String,
    /// Ports that the program listens at, as `80/tcp`: for the reader; nothing is published.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// Paths that get a volume of the module's own, unless something else is mounted there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Empty>,
    /// How to find out whether the program is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// The signal that asks the program to end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// How many seconds it may take to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// Whether it has a terminal.
    #[serde(skip_serializing_if = "super::super::is_false")]
    pub tty: bool,
    /// Whether it has a stdin.
    #[serde(skip_serializing_if = "super::super::is_false")]
    pub open_stdin: bool,
    /// Of a client that stays connected; here that is the message `attach`.
    #[serde(skip_serializing_if = "super::super::is_false")]
    pub attach_stdin: bool,
    /// Of a client that stays connected; here that is the message `attach`.
    #[serde(skip_serializing_if = "super::super::is_false")]
    pub attach_stdout: bool,
    /// Of a client that stays connected; here that is the message `attach`.
    #[serde(skip_serializing_if = "super::super::is_false")]
    pub attach_stderr: bool,
    /// Whether it has no network.
    #[serde(skip_serializing_if = "super::super::is_false")]
    pub network_disabled: bool,
    /// What the machine gives it.
    pub host_config: HostConfig,
    /// Its networks.
    pub networking_config: NetworkingConfig,
}

/// Reads a body. Beside it comes what it does not know: JSON pointers into the config, to keys that
/// are new or misplaced and ask for something.
///
/// # Errors
/// [`Code::INVALID_CONFIG`](super::super::Code::INVALID_CONFIG) for a known key with a value of the
/// wrong type; `detail.path` is a JSON pointer into the request.
pub fn decode(body: &Value) -> Result<(Config, Vec<String>), Error> {
    let notes = RefCell::new(Notes::default());
    let part = Part {
        value: body,
        path: String::new(),
        notes: &notes,
    };
    let read = Config::deserialize(part);
    let Notes { mut unknown, wrong } = notes.into_inner();
    unknown.sort();
    match read {
        Ok(config) => Ok((config, unknown)),
        Err(error) => Err(super::invalid(
            &wrong.unwrap_or_default(),
            &error.to_string(),
        )),
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::{decode, Config};

    fn unknown(body: Value) -> Vec<String> {
        decode(&body).unwrap().1
    }

    fn place(body: Value) -> String {
        let error = decode(&body).unwrap_err();
        error.detail["path"].as_str().unwrap().to_owned()
    }

    #[test]
    fn what_asks_for_nothing_is_not_named() {
        let nothing = json!({
            "Image": "a", "Env": null, "Cmd": null, "Entrypoint": null, "Labels": {}, "OnBuild": null,
            "Hostname": "", "Tty": false, "StdinOnce": false, "MacAddress": "",
            "HostConfig": {
                "Binds": null, "Memory": 0, "ConsoleSize": [0, 0], "Links": [], "Isolation": "",
                "LogConfig": {"Type": "", "Config": {}},
                "RestartPolicy": {"Name": "", "MaximumRetryCount": 0}
            },
            "NetworkingConfig": {"EndpointsConfig": {}}
        });
        let (config, unknown) = decode(&nothing).unwrap();
        let image = "a".to_owned();
        assert_eq!(
            config,
            Config {
                image,
                ..Config::default()
            }
        );
        assert_eq!(unknown, [""; 0]);
    }

    #[test]
    fn what_is_not_known_is_named() {
        let body = json!({
            "Image": "a", "StdinOnce": true, "a/b~c": 1, "New": {"x": {}},
            "HostConfig": {
                "ExposedPorts": {"80/tcp": {}}, "Env": ["A=b"], "PublishAllPorts": true,
                "Mounts": [
                    {"Type": "volume", "Target": "/a"},
                    {"Type": "volume", "Target": "/b", "VolumeOptions": {"Subpath": "x"}}
                ],
                "PortBindings": {"80/tcp": [{"HostPort": "1", "Extra": "x"}]}
            },
            "NetworkingConfig": {"EndpointsConfig": {"n": {"Aliases": ["x"]}}}
        });
        assert_eq!(
            unknown(body),
            [
                "/HostConfig/Env",
                "/HostConfig/ExposedPorts",
                "/HostConfig/Mounts/1/VolumeOptions/Subpath",
                "/HostConfig/PortBindings/80~1tcp/0/Extra",
                "/HostConfig/PublishAllPorts",
                "/NetworkingConfig/EndpointsConfig/n/Aliases",
                "/New",
                "/StdinOnce",
                "/a~1b~0c",
            ]
        );
    }

    #[test]
    fn a_known_key_of_the_wrong_type_is_an_error() {
        for (body, path) in [
            (json!({"Env": "A=b"}), "/config/Env"),
            (
                json!({"HostConfig": {"Memory": "64m"}}),
                "/config/HostConfig/Memory",
            ),
            (
                json!({"Labels": null, "HostConfig": {"Binds": ["/a:/a", 1]}}),
                "/config/HostConfig/Binds/1",
            ),
            (json!({"Cmd": [1]}), "/config/Cmd/0"),
            (json!({"Cmd": {}}), "/config/Cmd"),
            (json!({"HostConfig": []}), "/config/HostConfig"),
            (
                json!({"ExposedPorts": {"80/tcp": 1}}),
                "/config/ExposedPorts/80~1tcp",
            ),
            (json!([]), "/config"),
        ] {
            assert_eq!(place(body.clone()), path, "{body}");
        }
    }

    #[test]
    fn keys_are_as_go_takes_them() {
        let body = json!({"env": ["A=b"], "hostconfig": {"RUNTIME": "nvidia", "new": 1}});
        let (config, unknown) = decode(&body).unwrap();
        assert_eq!(config.env, ["A=b"]);
        assert_eq!(config.host_config.runtime, "nvidia");
        assert_eq!(unknown, ["/hostconfig/new"]);
    }

    #[test]
    fn a_command_may_be_one_word() {
        let (config, unknown) = decode(&json!({"Cmd": "a b", "Entrypoint": []})).unwrap();
        assert_eq!(config.cmd, Some(vec!["a b".to_owned()]));
        assert_eq!(config.entrypoint, Some(vec![]));
        assert_eq!(unknown, [""; 0]);
    }
}
