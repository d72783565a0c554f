//! Downloads a program's folder from a web server that lists it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, Response, Url};
use tokio::fs;
use tokio::io::AsyncWriteExt;

use crate::lookup;

use super::{disk, index, Budget, Error, Extent, Wanted, MAX_DEPTH};

/// How big a listing may be, in bytes.
const MAX_INDEX: usize = 4 << 20;

/// How often the server may send elsewhere for one file.
const MAX_REDIRECTS: usize = 10;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(30);

/// How long all of it may take: a server must not keep a module waiting for ever, byte by byte.
const WHOLE: Duration = Duration::from_secs(15 * 60);

/// Downloads the folder `url` into the folder `into`, which is there.
///
/// # Errors
/// [`Error`].
pub async fn download(wanted: &Wanted, url: &Url, into: &Path) -> Result<(), Error> {
    let mut download = Download {
        client: client(wanted, url)?,
        wanted,
        budget: Budget::of(wanted),
    };
    let all = async {
        match wanted.extent {
            Extent::File => {
                let mut file = url.clone();
                if let Ok(mut segments) = file.path_segments_mut() {
                    segments.pop_if_empty().push(&wanted.program);
                }
                download.file(file, &into.join(&wanted.program)).await
            }
            Extent::Folder => download.folder(url, into).await,
        }
    };
    let in_time = tokio::time::timeout(WHOLE, all).await;
    in_time.unwrap_or_else(|_| Err(Error::TooSlow(url.to_string())))
}

struct Download<'a> {
    client: Client,
    wanted: &'a Wanted,
    budget: Budget,
}

impl Download<'_> {
    /// The folder with all that is in it.
    async fn folder(&mut self, url: &Url, into: &Path) -> Result<(), Error> {
        let mut waiting: Vec<(Url, PathBuf, usize)> = vec![(url.clone(), into.to_owned(), 0)];
        let mut files = 0;
        while let Some((url, into, depth)) = waiting.pop() {
            if depth > MAX_DEPTH {
                return Err(Error::TooDeep);
            }
            let (url, page) = self.page(url).await?;
            let entries = index::entries(&url, &page).map_err(|bad| Error::BadName {
                place: url.to_string(),
                name: bad.0,
            })?;
            for entry in entries {
                let target = into.join(&entry.name);
                if entry.is_folder {
                    self.budget.file()?;
                    let made = fs::create_dir(&target).await;
                    made.map_err(disk("made", &target))?;
                    let readable = Permissions::from_mode(0o755);
                    let opened = fs::set_permissions(&target, readable).await;
                    opened.map_err(disk("made", &target))?;
                    waiting.push((entry.url, target, depth + 1));
                } else {
                    files += 1;
                    self.file(entry.url, &target).await?;
                }
            }
        }
        match files {
            0 => Err(Error::Empty(url.to_string())),
            _ => Ok(()),
        }
    }

    /// A listing, and the folder that it is of, where the server has sent elsewhere.
    async fn page(&mut self, url: Url) -> Result<(Url, String), Error> {
        let mut response = self.get(url).await?;
        let mut place = response.url().clone();
        place.set_query(None);
        place.set_fragment(None);
        if let Ok(mut segments) = place.path_segments_mut() {
            segments.pop_if_empty().push("");
        }
        let mut page = Vec::new();
        while let Some(chunk) = chunk(&mut response).await? {
            if page.len() + chunk.len() > MAX_INDEX {
                return Err(Error::TooBig(MAX_INDEX as u64));
            }
            page.extend_from_slice(&chunk);
        }
        Ok((place, String::from_utf8_lossy(&page).into_owned()))
    }

    async fn file(&mut self, url: Url, into: &Path) -> Result<(), Error> {
        self.budget.file()?;
        let mut response = self.get(url).await?;
        let failed = || disk("written", into);
        let mut file = fs::File::create_new(into).await.map_err(failed())?;
        while let Some(chunk) = chunk(&mut response).await? {
            self.budget.bytes(chunk.len() as u64)?;
            file.write_all(&chunk).await.map_err(failed())?;
        }
        file.flush().await.map_err(failed())?;
        // Whoever the program runs as has to read it.
        let readable = Permissions::from_mode(0o644);
        file.set_permissions(readable).await.map_err(failed())
    }

    async fn get(&self, url: Url) -> Result<Response, Error> {
        let mut request = self.client.get(url.clone());
        let repository = &self.wanted.repository;
        if let Some(username) = &repository.username {
            let password = repository.password.as_ref();
            request = request.basic_auth(username, password.map(|password| password.expose()));
        }
        let answered = request.send().await;
        let response = answered.map_err(|error| failed(url.as_str(), error))?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(Error::Status {
                url: url.to_string(),
                status: response.status(),
            }),
        }
    }
}

/// The next piece of an answer.
async fn chunk(response: &mut Response) -> Result<Option<bytes::Bytes>, Error> {
    let place = response.url().to_string();
    response
        .chunk()
        .await
        .map_err(|error| failed(&place, error))
}

fn failed(url: &str, error: reqwest::Error) -> Error {
    Error::Request {
        url: url.to_owned(),
        source: error.without_url(),
    }
}

fn client(wanted: &Wanted, url: &Url) -> Result<Client, Error> {
    // An error says that the program has chosen a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let setup = |error: reqwest::Error| Error::Setup(error.into());
    let repository = &wanted.repository;
    let mut builder = Client::builder()
        .user_agent(concat!("shellrt/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::custom(redirect))
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .dns_resolver(Lookup)
        .referer(false);
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    if url.scheme() == "http" {
        // No certificate is needed, so the system's are not read.
        builder = builder.tls_certs_only([]);
    }
    if let Some(path) = &repository.ca {
        let text = std::fs::read(path).map_err(disk("read", path))?;
        let found = Certificate::from_pem_bundle(&text).map_err(setup)?;
        builder = builder.tls_certs_merge(found);
    }
    if !repository.ssl_verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    builder.build().map_err(setup)
}

/// Names are looked up as everywhere in this daemon.
#[derive(Debug)]
struct Lookup;

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The client puts the port of the URL in its place.
            let found = lookup::addresses(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// A server may send elsewhere on itself, and from plain HTTP to HTTPS.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error("the server sends elsewhere again and again");
    }
    let from = attempt.previous().last();
    let is_same = from.is_some_and(|from| {
        let to = attempt.url();
        let is_safer = from.scheme() == "http" && to.scheme() == "https";
        from.origin() == to.origin() || (is_safer && from.host() == to.host())
    });
    match is_same {
        true => attempt.follow(),
        false => attempt.error("the server sends to another one, which is not followed"),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}
