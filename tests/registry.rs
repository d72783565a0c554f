//! The registry client against a real registry, through a proxy that breaks what it is told to.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shellrt_api::v0::{Code, Secret};
use shellrt_plugin::registry::{
    Choice, Client, Descriptor, Downloaded, Error, Reference, Resume, Settings,
};
use tempfile::TempDir;
use tests::registry::proxy::Proxy;
use tests::registry::{digest, Options, Registry};

#[path = "registry/auth.rs"]
mod auth;
#[path = "registry/faults.rs"]
mod faults;
#[path = "registry/hosts.rs"]
mod hosts;
#[path = "registry/images.rs"]
mod images;

/// A folder for one test: hosts, partial files, finished files.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        for name in ["hosts", "partial", "done"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        Place { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Settings that see nothing of this machine and are quick to try again.
    fn settings(&self, credentials: &[(&str, &str)]) -> Settings {
        let credentials: BTreeMap<String, Secret> = credentials
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Secret::from(*value)))
            .collect();
        let mut settings = Settings::from_env(&credentials).unwrap();
        settings.hosts_dir = self.path("hosts");
        settings.credential_files = vec![self.path("auth.json"), self.path("config.json")];
        settings.backoff = Duration::from_millis(20);
        settings
    }

    fn client(&self) -> Client {
        Client::new(self.settings(&[]))
    }

    fn client_with(&self, username: &str, password: &str) -> Client {
        Client::new(self.settings(&[("username", username), ("password", password)]))
    }

    fn partials(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path("partial")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    async fn download(
        &self,
        client: &Client,
        reference: &Reference,
        layer: &Descriptor,
    ) -> Result<(Downloaded, Vec<u8>), Error> {
        let path = self.path("done").join(layer.digest.hex());
        let partials = self.path("partial");
        let done = client
            .download(reference, layer, &partials, &path, |_, _, _| ())
            .await?;
        Ok((done, std::fs::read(path).unwrap()))
    }
}

fn reference(host: &str, rest: &str) -> Reference {
    format!("{host}/{rest}").parse().unwrap()
}

/// The first layer of an artifact, and its bytes.
async fn pull(place: &Place, client: &Client, reference: &Reference) -> Result<Vec<u8>, Error> {
    let manifest = client.manifest(reference).await?;
    let layer = manifest.image()?.layers.remove(0);
    Ok(place.download(client, reference, &layer).await?.1)
}

/// A layer that no two offsets of look alike.
fn layer(size: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

fn descriptor(bytes: &[u8]) -> Descriptor {
    let digest = digest(bytes).parse().unwrap();
    Descriptor::new("application/wasm", digest, bytes.len() as u64)
}

/// The message with all its causes.
fn told(error: &Error) -> String {
    let answer = shellrt_api::v0::Error::new(error.code(), error);
    let causes: Vec<_> = answer.caused_by().collect();
    format!("{} [{}] {error:?}", answer.message, causes.join(", "))
}

/// A test that needs other environment variables runs itself again in a process of its own.
/// Whether the caller is that process.
fn in_child(test: &str, variables: &[(&str, &str)]) -> bool {
    if std::env::var("SHELLRT_TEST_CHILD").is_ok_and(|name| name == test) {
        return true;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env("SHELLRT_TEST_CHILD", test)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
    false
}
