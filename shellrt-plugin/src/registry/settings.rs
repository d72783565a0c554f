//! What a client needs to know before its first request.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shellrt_api::v0::Secret;

use super::credentials::Given;
use super::Error;

/// How a [`Client`](super::Client) behaves. Make one with [`Settings::from_env`] and change what
/// differs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of containerd's `hosts.toml` folders.
    pub hosts_dir: PathBuf,
    /// Files in the format of containers/auth.json and docker's config.json, in the order in which
    /// they are asked for credentials; missing ones are skipped.
    pub credential_files: Vec<PathBuf>,
    /// How many blobs are transferred at once, at least 1; more wait. Default 4.
    pub concurrency: usize,
    /// How often one transfer is tried without any progress. Default 5.
    pub tries: u32,
    /// The pause after the first failure; it doubles each time. Default half a second.
    pub backoff: Duration,
    /// The longest `Retry-After` that is waited for. Default one minute.
    pub retry_after_max: Duration,
    /// How long a connection and its TLS handshake may take. Default 10 seconds.
    pub connect_timeout: Duration,
    /// How long a server may send nothing. Default 30 seconds.
    pub read_timeout: Duration,
    /// The request's own credentials.
    pub(super) given: Given,
}

impl Settings {
    /// The defaults, the environment's places, and the `credentials` of a request: `username` and
    /// `password`, or `token` (sent as a bearer token), or none.
    ///
    /// The environment: `SHELLRT_HOSTS_DIR` (default `/etc/containerd/certs.d`),
    /// `REGISTRY_AUTH_FILE`, `XDG_RUNTIME_DIR`, `XDG_CONFIG_HOME`, `DOCKER_CONFIG`, `HOME`. The
    /// proxy variables are read when a connection is made.
    ///
    /// # Errors
    /// [`Error::Credentials`] for any other key, for half a pair and for both kinds at once.
    pub fn from_env(credentials: &BTreeMap<String, Secret>) -> Result<Settings, Error> {
        let given = Given::from_request(credentials)?;
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Ok(Settings {
            hosts_dir: variable("SHELLRT_HOSTS_DIR")
                .map_or_else(|| PathBuf::from("/etc/containerd/certs.d"), PathBuf::from),
            credential_files: credential_files(|name| variable(name).map(PathBuf::from)),
            concurrency: 4,
            tries: 5,
            backoff: Duration::from_millis(500),
            retry_after_max: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            given,
        })
    }

    /// Where the `hosts.toml` of `registry` is, or would be; for messages.
    pub(super) fn hosts_file(&self, registry: &str) -> String {
        let path = self.hosts_dir.join(registry).join("hosts.toml");
        path.display().to_string()
    }
}

/// The files with credentials, the most specific first.
fn credential_files(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let home = variable("HOME");
    let in_home = |rest: &str| home.as_deref().map(|home: &Path| home.join(rest));
    let config = variable("XDG_CONFIG_HOME").or_else(|| in_home(".config"));
    let docker = variable("DOCKER_CONFIG").or_else(|| in_home(".docker"));
    [
        variable("REGISTRY_AUTH_FILE"),
        variable("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
        config.map(|dir| dir.join("containers/auth.json")),
        docker.map(|dir| dir.join("config.json")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credential_files_come_in_the_documented_order() {
        let files = |variables: &[(&str, &str)]| {
            credential_files(|name| {
                let found = variables.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| PathBuf::from(value))
            })
        };
        assert_eq!(
            files(&[
                ("HOME", "/h"),
                ("REGISTRY_AUTH_FILE", "/r/auth"),
                ("XDG_RUNTIME_DIR", "/run/u")
            ]),
            [
                Path::new("/r/auth"),
                Path::new("/run/u/containers/auth.json"),
                Path::new("/h/.config/containers/auth.json"),
                Path::new("/h/.docker/config.json"),
            ]
        );
        assert_eq!(
            files(&[
                ("HOME", "/h"),
                ("DOCKER_CONFIG", "/d"),
                ("XDG_CONFIG_HOME", "/c")
            ]),
            [
                Path::new("/c/containers/auth.json"),
                Path::new("/d/config.json")
            ]
        );
        assert!(files(&[]).is_empty());
    }
}
