//! The client: what plugins call, and which host is asked.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderValue, ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Response};
use tokio::sync::Semaphore;

use super::download::download;
use super::manifest::{accept, media_type, MANIFEST_MAX};
use super::retry::Retry;
use super::transport::{Ask, Host};
use super::{choice, failure, hosts};
use super::{
    Blob, Choice, Descriptor, Digest, Downloaded, Error, Image, Manifest, Reference, Resume,
    Settings,
};

/// A client for all registries. A clone is cheap and shares connections, tokens and the limit on
/// parallel transfers.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

impl Client {
    /// A client with these settings. It touches neither network nor disk yet.
    pub fn new(settings: Settings) -> Client {
        Client {
            inner: Arc::new(Inner {
                transfers: Arc::new(Semaphore::new(settings.concurrency.max(1))),
                hosts: Mutex::default(),
                settings,
            }),
        }
    }

    /// The manifest of the image for a platform, through any indexes above it.
    ///
    /// A reference to an image instead of an index is not held against the choice: its platform
    /// stands in its config, which is the caller's to read.
    ///
    /// # Errors
    /// [`Error::PlatformUnavailable`] where the index has none, and all those of
    /// [`manifest`](Client::manifest).
    pub async fn resolve(&self, reference: &Reference, choice: &Choice) -> Result<Image, Error> {
        choice::resolve(self, reference, choice).await
    }

    /// The manifest or index that the reference names, whole and verified.
    ///
    /// # Errors
    /// 404 is [`Error::NotFound`], schema 1 and more than 4 MiB are [`Error::Manifest`], bytes that
    /// do not fit the reference's digest are [`Error::DigestMismatch`].
    pub async fn manifest(&self, reference: &Reference) -> Result<Manifest, Error> {
        self.inner.manifest(reference).await
    }

    /// The media type, digest and size of what the reference names now, by a `HEAD` request: the
    /// cheap way to see whether a tag has moved. It falls back to [`manifest`](Client::manifest)
    /// where a registry leaves something out. The digest is the registry's word.
    ///
    /// # Errors
    /// As [`manifest`](Client::manifest).
    pub async fn head(&self, reference: &Reference) -> Result<Descriptor, Error> {
        if let Some(descriptor) = self.inner.head(reference).await? {
            return Ok(descriptor);
        }
        Ok(self.manifest(reference).await?.descriptor)
    }

    /// A manifest or index of `reference`'s repository that `descriptor` describes: a child of an
    /// index.
    ///
    /// # Errors
    /// As [`manifest`](Client::manifest), and [`Error::SizeMismatch`].
    pub async fn child(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
    ) -> Result<Manifest, Error> {
        let name = descriptor.digest.to_string();
        let (bytes, media_type) = match descriptor.inline() {
            Some(bytes) => {
                let media_type = media_type(&name, Some(&descriptor.media_type), &bytes)?;
                (bytes, media_type)
            }
            None => {
                let child = reference.with_digest(&descriptor.digest);
                let manifest = self.inner.manifest(&child).await?;
                (manifest.bytes, manifest.descriptor.media_type)
            }
        };
        if bytes.len() as u64 != descriptor.size {
            return Err(Error::SizeMismatch {
                digest: descriptor.digest.clone(),
                expected: descriptor.size,
                actual: bytes.len() as u64,
            });
        }
        let mut descriptor = descriptor.clone();
        descriptor.media_type = media_type;
        Ok(Manifest { descriptor, bytes })
    }

    /// A small blob whole, for example an image's config.
    ///
    /// # Errors
    /// [`Error::Manifest`] where the descriptor says more than `limit` bytes, and all those of
    /// [`Blob::next`].
    pub async fn bytes(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Bytes, Error> {
        if descriptor.size > limit {
            return Err(Error::Manifest {
                manifest: reference.to_string(),
                reason: format!(
                    "\"{}\" ({}) has {} bytes, more than {limit} are not accepted for it",
                    descriptor.digest, descriptor.media_type, descriptor.size
                ),
            });
        }
        let mut blob = self.blob(reference, descriptor, Resume::Start);
        let mut bytes = BytesMut::new();
        while let Some(chunk) = blob.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// A blob of `reference`'s repository as a verified stream. Nothing happens before its first
    /// [`next`](Blob::next).
    pub fn blob(&self, reference: &Reference, descriptor: &Descriptor, resume: Resume) -> Blob {
        Blob::new(self.inner.clone(), reference, descriptor, resume)
    }

    /// Downloads a blob to the file `path`, or goes on with what an earlier, broken download left.
    ///
    /// The bytes are gathered in `<partials>/<algorithm>-<hex>.partial` under a lock, verified,
    /// synced and renamed to `path`; both must be on one file system and both folders must exist.
    /// Several processes may do this at once for the same blob: one downloads, the others wait and
    /// find it. A file that is at `path` already, with the right size, is taken as it is: only
    /// verified files get that name. `progress` hears (digest, bytes so far, bytes in all), first
    /// once with what was there.
    ///
    /// File writes are done on the calling thread, except syncing and re-reading.
    ///
    /// # Errors
    /// All those of [`Blob::next`], and [`Error::File`].
    pub async fn download(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        partials: &Path,
        path: &Path,
        progress: impl FnMut(&Digest, u64, u64) + Send,
    ) -> Result<Downloaded, Error> {
        download(self, reference, descriptor, partials, path, progress).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Connections and grants are nobody's business.
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// What all clones and streams share.
pub(super) struct Inner {
    pub(super) settings: Settings,
    pub(super) transfers: Arc<Semaphore>,
    hosts: Mutex<HashMap<String, Arc<Vec<Host>>>>,
}

impl Inner {
    /// The hosts of a registry in their order. The files are read once per process.
    pub(super) fn hosts(&self, registry: &str) -> Result<Arc<Vec<Host>>, Error> {
        let mut known = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hosts) = known.get(registry) {
            return Ok(hosts.clone());
        }
        let endpoints = hosts::endpoints(&self.settings.hosts_dir, registry)?;
        let hosts = endpoints
            .into_iter()
            .map(|endpoint| Host::new(endpoint, &self.settings, registry))
            .collect();
        let hosts: Arc<Vec<Host>> = Arc::new(hosts);
        known.insert(registry.to_owned(), hosts.clone());
        Ok(hosts)
    }

    async fn manifest(&self, reference: &Reference) -> Result<Manifest, Error> {
        self.ask(reference, Method::GET, |answer| async {
            let response = match answer {
                Ok(response) => response,
                Err(error) => return Err(error),
            };
            receive(reference, response).await
        })
        .await
    }

    /// `None` where the answer does not say everything.
    async fn head(&self, reference: &Reference) -> Result<Option<Descriptor>, Error> {
        self.ask(reference, Method::HEAD, |answer| async {
            match answer {
                Ok(response) => Ok(described(&response)),
                // Some registries do not know the method here.
                Err(Error::Status { status, .. }) if status < 500 => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Asks one host after the other for the reference's manifest until `read` makes something of
    /// an answer. The last host is asked again where that may help, the others only once.
    async fn ask<T, F>(
        &self,
        reference: &Reference,
        method: Method,
        read: impl Fn(Result<Response, Error>) -> F,
    ) -> Result<T, Error>
    where
        F: std::future::Future<Output = Result<T, Error>>,
    {
        let hosts = self.hosts(reference.registry())?;
        let by_tag = reference.digest().is_none();
        let able = |host: &&Host| match by_tag {
            true => host.endpoint.resolve,
            false => host.endpoint.pull,
        };
        let mut able = hosts.iter().filter(able).peekable();
        let path = format!("manifests/{}", reference.asked());
        let what = format!("manifest \"{reference}\"");
        let mut headers = HeaderMap::new();
        if let Ok(accept) = HeaderValue::try_from(accept()) {
            headers.insert(ACCEPT, accept);
        }
        let ask = Ask {
            method,
            repository: reference.repository(),
            path: &path,
            headers,
            what: &what,
        };
        while let Some(host) = able.next() {
            let is_last = able.peek().is_none();
            if !is_last && host.dead.load(Ordering::Relaxed) {
                continue;
            }
            let mut retry = Retry::default();
            loop {
                let answer = host.request(&ask, &self.settings).await;
                let error = match read(answer).await {
                    Ok(done) => return Ok(done),
                    Err(error) => error,
                };
                if failure::is_dead(&error) {
                    host.dead.store(true, Ordering::Relaxed);
                }
                if is_last || !error.another_host_may_help() {
                    retry.pause(&self.settings, error).await?;
                    continue;
                }
                log::warn!("{error}; asking the next host");
                break;
            }
        }
        Err(Error::HostsFile {
            path: self.settings.hosts_file(reference.registry()).into(),
            reason: "no host in it may resolve and pull".to_owned(),
        })
    }
}

/// Reads and verifies a manifest.
async fn receive(reference: &Reference, response: Response) -> Result<Manifest, Error> {
    let name = reference.to_string();
    let content_type = header(&response, CONTENT_TYPE.as_str());
    let promised = promised_digest(&response);
    let registry = super::transport::place(response.url());
    let body = failure::limited(response, MANIFEST_MAX).await;
    let body = body.map_err(|error| Error::Unreachable {
        registry,
        reason: "the connection broke".to_owned(),
        hosts: "hosts.toml".to_owned(),
        source: Some(error.without_url().into()),
    })?;
    let Some(body) = body else {
        return Err(Error::Manifest {
            manifest: name,
            reason: "it has more than 4 MiB, which no registry should accept".to_owned(),
        });
    };
    for expected in [reference.digest(), promised.as_ref()]
        .into_iter()
        .flatten()
    {
        let mut hasher = expected.hasher();
        hasher.update(&body);
        let actual = hasher.finish();
        if actual != *expected {
            return Err(Error::DigestMismatch {
                expected: expected.clone(),
                actual,
            });
        }
    }
    let media_type = media_type(&name, content_type.as_deref(), &body)?;
    let digest = reference.digest().cloned();
    let digest = digest.unwrap_or_else(|| Digest::of(&body));
    Ok(Manifest {
        descriptor: Descriptor::new(media_type, digest, body.len() as u64),
        bytes: body.into(),
    })
}

/// What the headers say of a manifest; `None` unless they say it all.
fn described(response: &Response) -> Option<Descriptor> {
    let length = header(response, "content-length")?.parse().ok()?;
    let media_type = header(response, CONTENT_TYPE.as_str())?;
    let known = accept().split(", ").any(|kind| kind == media_type);
    let digest = promised_digest(response)?;
    known.then(|| Descriptor::new(media_type, digest, length))
}

fn promised_digest(response: &Response) -> Option<Digest> {
    header(response, "docker-content-digest")?.parse().ok()
}

fn header(response: &Response, name: &str) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    Some(value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plugins run these on any runtime, so their futures must be able to move between threads.
    #[test]
    fn futures_can_be_sent() {
        fn sendable<T: Send>(_: &T) {}
        let client = Client::new(Settings::from_env(&Default::default()).unwrap());
        let reference: Reference = "alpine".parse().unwrap();
        let choice = Choice::platform(super::super::Platform::host());
        let descriptor = Descriptor::new("", Digest::of(b""), 0);
        let path = Path::new("");
        sendable(&client.resolve(&reference, &choice));
        sendable(&client.head(&reference));
        sendable(&client.download(&reference, &descriptor, path, path, |_, _, _| ()));
        let mut blob = client.blob(&reference, &descriptor, Resume::Start);
        sendable(&blob.next());
    }
}
