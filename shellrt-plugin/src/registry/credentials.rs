//! Credentials: what the request gives, else what the files of podman and docker hold.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use serde::Deserialize;
use shellrt_api::v0::Secret;

use super::{helper, Error};

/// With what a client shows who it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Login {
    /// Not at all.
    Anonymous,
    /// A user and a password.
    Password { username: String, password: Secret },
    /// A bearer token that a registry takes as it is.
    Token(Secret),
    /// A refresh token, to be exchanged for bearer tokens.
    Identity(Secret),
}

/// The login for `repository` at `host`, from the first file that has one.
///
/// `host` is as in a reference, `docker.io` for Docker Hub. Missing files are passed over.
///
/// # Errors
/// [`Error::CredentialFile`] and [`Error::CredentialHelper`].
pub(super) async fn look_up(
    files: &[PathBuf],
    host: &str,
    repository: &str,
) -> Result<Login, Error> {
    for path in files {
        let Some(file) = read(path)? else { continue };
        if let Some(login) = file.login(path, host, repository).await? {
            log::debug!("credentials for {host} come from {}", path.display());
            return Ok(login);
        }
    }
    Ok(Login::Anonymous)
}

/// The `credentials` of a request.
#[derive(Debug, Clone)]
pub(super) struct Given(Option<Login>);

impl Given {
    /// Reads the map of a request.
    ///
    /// # Errors
    /// [`Error::Credentials`] for any other key, for half a pair and for both kinds at once.
    pub(super) fn from_request(map: &BTreeMap<String, Secret>) -> Result<Given, Error> {
        let wrong = |reason: &str| {
            Err(Error::Credentials {
                reason: reason.to_owned(),
            })
        };
        let known = ["username", "password", "token"];
        if let Some(key) = map.keys().find(|key| !known.contains(&key.as_str())) {
            // Clients may send more than this version knows. The name of the key is shown and
            // shortened: somebody may have swapped key and value.
            let key: String = key.chars().take(12).collect();
            log::warn!("the credentials' key {key:?} is not known and ignored");
        }
        let get = |key: &str| map.get(key).filter(|value| !value.expose().is_empty());
        match (get("username"), get("password"), get("token")) {
            (None, None, None) => Ok(Given(None)),
            (_, _, Some(token)) => Ok(Given(Some(Login::Token(token.clone())))),
            (Some(username), Some(password), None) => {
                if username.expose().contains(':') {
                    return wrong("a user name cannot hold a colon");
                }
                Ok(Given(Some(Login::Password {
                    username: username.expose().to_owned(),
                    password: password.clone(),
                })))
            }
            (Some(_), None, None) => wrong("the password is missing"),
            (None, Some(_), None) => wrong("the user name is missing"),
        }
    }

    /// The login, if the request had one.
    pub(super) fn login(&self) -> Option<&Login> {
        self.0.as_ref()
    }
}

/// The part of docker's `config.json` that podman's `auth.json` shares.
#[derive(Default, Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: String,
}

#[derive(Default, Deserialize)]
struct Entry {
    /// `user:password` in base64.
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default, rename = "identitytoken")]
    identity: String,
    #[serde(default, rename = "registrytoken")]
    token: String,
}

fn read(path: &Path) -> Result<Option<File>, Error> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => {
            // HOME may be another user's, and then an image without a password must still be had.
            log::warn!("credentials in {} are not used: {error}", path.display());
            return Ok(None);
        }
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        // The parser's own text quotes what it has read, and that may be a password.
        broken(
            path,
            format!(
                "the JSON is wrong at line {}, column {}",
                error.line(),
                error.column()
            ),
        )
    })
}

fn broken(path: &Path, reason: String) -> Error {
    Error::CredentialFile {
        path: path.to_owned(),
        source: reason.into(),
    }
}

impl File {
    async fn login(
        &self,
        path: &Path,
        host: &str,
        repository: &str,
    ) -> Result<Option<Login>, Error> {
        let own_helper = self
            .helpers
            .iter()
            .find(|(key, _)| normalized(key) == host)
            .map(|(_, helper)| helper.as_str());
        let helper = own_helper.unwrap_or(&self.store);
        if !helper.is_empty() {
            if let Some(login) = helper::get(helper, server(host)).await? {
                return Ok(Some(login));
            }
        }
        for wanted in scopes(host, repository) {
            let entries = self
                .auths
                .iter()
                .filter(|(key, _)| normalized(key) == wanted);
            for (key, entry) in entries {
                if let Some(login) = entry.login(path, key)? {
                    return Ok(Some(login));
                }
            }
        }
        Ok(None)
    }
}

impl Entry {
    /// `None` for an empty entry, as docker leaves it behind when a helper keeps the password.
    fn login(&self, path: &Path, key: &str) -> Result<Option<Login>, Error> {
        if !self.identity.is_empty() {
            return Ok(Some(Login::Identity(self.identity.as_str().into())));
        }
        if !self.token.is_empty() {
            return Ok(Some(Login::Token(self.token.as_str().into())));
        }
        if !self.username.is_empty() && !self.password.is_empty() {
            return Ok(Some(password(&self.username, &self.password)));
        }
        if self.auth.is_empty() {
            return Ok(None);
        }
        let decoded = STANDARD
            .decode(self.auth.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
        let Some((username, secret)) = pair else {
            return Err(broken(
                path,
                format!("\"auth\" of \"{key}\" is not \"user:password\" in base64"),
            ));
        };
        // Old versions of docker pad the password with zero bytes.
        Ok(Some(password(username, secret.trim_end_matches('\0'))))
    }
}

/// A pair as a login; the user name `<token>` marks a refresh token.
pub(super) fn password(username: &str, secret: &str) -> Login {
    if username == "<token>" {
        return Login::Identity(secret.into());
    }
    Login::Password {
        username: username.to_owned(),
        password: secret.into(),
    }
}

/// The keys to look for, the most specific first: `host/a/b`, `host/a`, `host`.
fn scopes(host: &str, repository: &str) -> Vec<String> {
    let mut scope = format!("{host}/{repository}");
    let mut scopes = Vec::new();
    while scope.len() > host.len() {
        scopes.push(scope.clone());
        let end = scope.rfind('/').unwrap_or(0);
        scope.truncate(end);
    }
    scopes.push(host.to_owned());
    scopes
}

/// A key of a file as `host` or `host/path`. Docker writes URLs for some hosts and its Hub under
/// the address of an API that is gone.
fn normalized(key: &str) -> String {
    let url = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    let rest = url.unwrap_or(key).trim_end_matches('/');
    let rest = match url {
        Some(_) => rest
            .strip_suffix("/v1")
            .or_else(|| rest.strip_suffix("/v2"))
            .unwrap_or(rest),
        None => rest,
    };
    let (host, path) = match rest.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (rest, None),
    };
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    };
    match path {
        // Only the Hub was ever written with this path and without the scheme.
        Some("v1") if host == "docker.io" => host.to_owned(),
        Some(path) => format!("{host}/{path}"),
        None => host.to_owned(),
    }
}

/// The name under which helpers keep the credentials of `host`.
fn server(host: &str) -> &str {
    match host {
        "docker.io" => "https://index.docker.io/v1/",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shellrt_api::v0::Code;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, Secret> {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), Secret::from(*value)))
            .collect()
    }

    #[test]
    fn requests_give_a_pair_or_a_token_or_nothing() {
        let login =
            |pairs: &[(&str, &str)]| Given::from_request(&map(pairs)).unwrap().login().cloned();
        assert_eq!(login(&[]), None);
        assert_eq!(login(&[("username", ""), ("password", "")]), None);
        assert_eq!(login(&[("token", "t")]), Some(Login::Token("t".into())));
        assert_eq!(
            login(&[("token", "t"), ("username", "u")]),
            Some(Login::Token("t".into()))
        );
        assert_eq!(login(&[("serveraddress", "r.example")]), None);
        assert_eq!(
            login(&[("username", "u"), ("password", "p")]),
            Some(password("u", "p"))
        );
        for (pairs, text) in [
            (&[("username", "u")][..], "password is missing"),
            (&[("password", "hunter2")], "user name is missing"),
            (&[("username", "u:v"), ("password", "hunter2")], "colon"),
        ] {
            let error = Given::from_request(&map(pairs)).unwrap_err();
            assert_eq!(error.code(), Code::INVALID_REQUEST);
            assert!(error.to_string().contains(text), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    /// The folder must outlive the answer, so the file's text comes in and the login goes out.
    async fn from_file(json: &str, host: &str, repository: &str) -> Result<Login, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.json");
        std::fs::write(&path, json).unwrap();
        let missing = folder.path().join("missing.json");
        look_up(&[missing, path], host, repository).await
    }

    #[tokio::test]
    async fn files_are_read_as_docker_and_podman_write_them() {
        // dXNlcjpwYXNzOndvcmQ= is "user:pass:word".
        let docker = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOmh1YnB3"},
            "example.com": {"auth": "dXNlcjpwYXNzOndvcmQ="},
            "https://url.example.com/v2/": {"username": "u", "password": "p"},
            "example.com:5000": {"auth": "dG9rZW46", "identitytoken": "refresh"},
            "token.example.com": {"auth": "PHRva2VuPjppZA=="},
            "example.com/team": {"auth": "dGVhbTpw"},
            "example.com/team/app": {"auth": "YXBwOnA="},
            "empty.example.com": {}
        }, "unknown": 1}"#;
        for (host, repository, expected) in [
            ("docker.io", "library/alpine", password("hub", "hubpw")),
            ("example.com", "other/app", password("user", "pass:word")),
            ("example.com", "team/other", password("team", "p")),
            ("example.com", "team/app", password("app", "p")),
            ("example.com", "teams/app", password("user", "pass:word")),
            ("url.example.com", "a", password("u", "p")),
            ("example.com:5000", "a", Login::Identity("refresh".into())),
            ("token.example.com", "a", Login::Identity("id".into())),
            ("empty.example.com", "a", Login::Anonymous),
            ("nobody.example.com", "a", Login::Anonymous),
        ] {
            let login = from_file(docker, host, repository).await.unwrap();
            assert_eq!(login, expected, "{host}/{repository}");
        }
    }

    #[tokio::test]
    async fn broken_files_are_named_and_never_quoted() {
        for json in [
            r#"{"auths": "hunter2"}"#,
            r#"{"auths": {"a.b": {"auth": "hunter2"}}}"#,
            r#"{"auths": {"a.b": {"auth": "aHVudGVyMg=="}}}"#,
            r#"{"auths"#,
        ] {
            let error = from_file(json, "a.b", "c").await.unwrap_err();
            assert_eq!(error.code(), Code::REGISTRY_UNAUTHORIZED);
            let answer = shellrt_api::v0::Error::new(error.code(), &error);
            assert!(answer.message.contains("auth.json"), "{answer:?}");
            assert!(
                !format!("{answer:?} {error:?}").contains("hunter2"),
                "{error:?}"
            );
        }
        assert_eq!(
            from_file(" \n", "a.b", "c").await.unwrap(),
            Login::Anonymous
        );
    }
}
