//! HTTP to one host: connections, TLS, redirects, and what its refusals mean.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Once, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderValue, AUTHORIZATION, LOCATION};
use reqwest::{Method, Response, Url};

use super::auth::Grants;
use super::failure;
use super::hosts::{is_loopback, Endpoint};
use super::{Error, Settings};
use crate::lookup;

/// One host with its connections and with what it has granted.
pub(super) struct Host {
    pub(super) endpoint: Endpoint,
    pub(super) grants: Grants,
    /// Set when no connection came about, so that the other hosts are asked first from then on.
    pub(super) dead: AtomicBool,
    /// The `hosts.toml` to name in messages.
    pub(super) hosts_file: String,
    connect_timeout: Duration,
    read_timeout: Duration,
    /// By [`kind`]. Made when needed: the system's certificates are read for TLS only.
    clients: [OnceLock<reqwest::Client>; 4],
    /// What a loopback host turned out to speak: one of the constants below.
    speaks: AtomicU8,
}

/// A request to a host.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// The repository, for the scope of tokens and for messages.
    pub(super) repository: &'a str,
    /// What follows the repository: `manifests/latest`.
    pub(super) path: &'a str,
    /// Further headers.
    pub(super) headers: HeaderMap,
    /// For "has no ...".
    pub(super) what: &'a str,
}

const UNKNOWN: u8 = 0;
const TLS: u8 = 1;
const PLAIN: u8 = 2;

/// How many redirects are followed.
const REDIRECTS_MAX: usize = 10;

impl Host {
    pub(super) fn new(endpoint: Endpoint, settings: &Settings, registry: &str) -> Host {
        let mut connect_timeout = endpoint.connect_timeout.unwrap_or(settings.connect_timeout);
        if endpoint.guess {
            // A server without TLS may wait for the rest of what it takes for a strange request.
            connect_timeout = connect_timeout.min(Duration::from_secs(3));
        }
        Host {
            endpoint,
            grants: Grants::default(),
            dead: AtomicBool::new(false),
            hosts_file: settings.hosts_file(registry),
            connect_timeout,
            read_timeout: settings.read_timeout,
            clients: Default::default(),
            speaks: AtomicU8::new(UNKNOWN),
        }
    }

    /// Sends the request, follows redirects, and authenticates where the host asks for it.
    ///
    /// # Errors
    /// Any answer but a success and 416 is an error.
    pub(super) async fn request(
        &self,
        ask: &Ask<'_>,
        settings: &Settings,
    ) -> Result<Response, Error> {
        let grant = self.grants.get(ask.repository);
        let mut answer = self
            .send(ask, grant.as_ref().map(|grant| &grant.header))
            .await?;
        if answer.response.status() == 401 && !answer.redirected {
            let fresh = self
                .authorize(ask, answer.response, grant, settings)
                .await?;
            answer = self.send(ask, Some(&fresh.header)).await?;
        }
        let status = answer.response.status();
        if status.is_success() || status == 416 {
            return Ok(answer.response);
        }
        if answer.redirected && matches!(status.as_u16(), 401 | 403 | 410) {
            // A signed address runs out; the registry gives a new one.
            let host = place(answer.response.url());
            let reason = format!("its storage \"{host}\" answered {}", status.as_u16());
            return Err(self.unreachable(reason, None));
        }
        Err(failure::refusal(self, ask, answer.response).await)
    }

    /// Sends one request and follows its redirects. The host's own headers and the authorization
    /// go to the host alone.
    async fn send(&self, ask: &Ask<'_>, grant: Option<&HeaderValue>) -> Result<Answer, Error> {
        let mut own = ask.headers.clone();
        own.extend(self.endpoint.headers.clone());
        if let Some(grant) = grant {
            own.insert(AUTHORIZATION, grant.clone());
        }
        let mut response = self.first(&ask.method, self.url(ask)?, own.clone()).await?;
        let origin = response.url().origin();
        let mut seen = vec![response.url().clone()];
        while let Some(next) = self.redirect(&response)? {
            if seen.contains(&next) {
                return Err(self.protocol("it redirects in a circle"));
            }
            if seen.len() > REDIRECTS_MAX {
                return Err(self.protocol("it redirects more than ten times"));
            }
            seen.push(next.clone());
            let headers = match next.origin() == origin {
                true => own.clone(),
                false => ask.headers.clone(),
            };
            response = self.hop(&ask.method, next, headers).await?;
        }
        let redirected = response.url().origin() != origin;
        Ok(Answer {
            response,
            redirected,
        })
    }

    /// The first hop. On the loopback the port may speak TLS or not, and nobody has said which.
    async fn first(&self, method: &Method, url: Url, own: HeaderMap) -> Result<Response, Error> {
        let mut plain = url.clone();
        // A URL with the scheme https can always be one with http.
        let _ = plain.set_scheme("http");
        match self.speaks.load(Ordering::Relaxed) {
            _ if !self.endpoint.guess => return self.hop(method, url, own).await,
            TLS => return self.hop(method, url, own).await,
            PLAIN => return self.hop(method, plain, own).await,
            _ => {}
        }
        let error = match self.hop(method, url.clone(), own.clone()).await {
            Ok(response) => {
                self.speaks.store(TLS, Ordering::Relaxed);
                return Ok(response);
            }
            Err(error) => error,
        };
        if failure::is_refused(&error) && url.port().is_some() {
            return Err(error);
        }
        match self.hop(method, plain, own).await {
            // This is what servers with TLS answer to a request without.
            Ok(response) if response.status() == 400 => Err(error),
            Ok(response) => {
                log::debug!("{} speaks plain HTTP", place(&url));
                self.speaks.store(PLAIN, Ordering::Relaxed);
                Ok(response)
            }
            Err(_) => Err(error),
        }
    }

    async fn hop(&self, method: &Method, url: Url, headers: HeaderMap) -> Result<Response, Error> {
        let client = self.client(&url)?;
        let place = place(&url);
        let request = client.request(method.clone(), url).headers(headers);
        let sent = request.send().await;
        sent.map_err(|error| failure::connection(place, &self.hosts_file, error))
    }

    /// Where a response redirects to; `None` where it does not.
    fn redirect(&self, response: &Response) -> Result<Option<Url>, Error> {
        if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let location = response.headers().get(LOCATION);
        let Some(location) = location.and_then(|location| location.to_str().ok()) else {
            return Err(self.protocol("it redirects without saying where to"));
        };
        let next = response.url().join(location);
        let next = next.map_err(|_| self.protocol("it redirects to what is no address"))?;
        match (response.url().scheme(), next.scheme()) {
            ("https", "http") => Err(self.protocol("it redirects from https to http")),
            (_, "http" | "https") => Ok(Some(next)),
            _ => Err(self.protocol("it redirects to what is no web address")),
        }
    }

    fn url(&self, ask: &Ask<'_>) -> Result<Url, Error> {
        let mut url = self.endpoint.api.clone();
        let root = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{root}/{}/{}", ask.repository, ask.path));
        if let Some(namespace) = &self.endpoint.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        Ok(url)
    }

    /// The client for a URL.
    pub(super) fn client(&self, url: &Url) -> Result<&reqwest::Client, Error> {
        let tls = url.scheme() == "https";
        let direct = is_loopback(url);
        let slot = &self.clients[usize::from(tls) * 2 + usize::from(direct)];
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let client = self.build(tls, direct)?;
        Ok(slot.get_or_init(|| client))
    }

    fn build(&self, tls: bool, direct: bool) -> Result<reqwest::Client, Error> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // An error says that the program has chosen a provider already, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let failed = |error: reqwest::Error| Error::Setup {
            registry: place(&self.endpoint.api),
            source: error.without_url().into(),
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("shellrt/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect_timeout)
            .read_timeout(self.read_timeout)
            .dns_resolver(Lookup)
            .referer(false);
        builder = match &self.endpoint.proxy {
            _ if direct => builder.no_proxy(),
            Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy).map_err(failed)?),
            None => builder,
        };
        if !tls && (direct || !proxy_speaks_tls(self.endpoint.proxy.as_deref())) {
            // No certificate is needed, so the system's are not read.
            builder = builder.tls_certs_only([]);
        } else {
            builder = self.with_certificates(builder)?;
        }
        builder.build().map_err(failed)
    }

    fn with_certificates(
        &self,
        mut builder: reqwest::ClientBuilder,
    ) -> Result<reqwest::ClientBuilder, Error> {
        let tls = &self.endpoint.tls;
        if tls.skip_verify {
            return self.with_identity(builder.tls_danger_accept_invalid_certs(true));
        }
        for path in &tls.ca {
            let found = reqwest::Certificate::from_pem_bundle(&read(path)?);
            match found {
                Ok(found) if !found.is_empty() => builder = builder.tls_certs_merge(found),
                _ => return Err(unusable(path, "there is no certificate (PEM) in it")),
            }
        }
        self.with_identity(builder)
    }

    fn with_identity(
        &self,
        builder: reqwest::ClientBuilder,
    ) -> Result<reqwest::ClientBuilder, Error> {
        let mut pairs = self.endpoint.tls.client.iter();
        let Some((cert, key)) = pairs.next() else {
            return Ok(builder);
        };
        if pairs.next().is_some() {
            log::warn!(
                "{} has several client certificates, only the first is used",
                self.hosts_file
            );
        }
        let mut pem = read(cert)?;
        if let Some(key) = key {
            pem.push(b'\n');
            pem.extend(read(key)?);
        }
        let identity = reqwest::Identity::from_pem(&pem)
            .map_err(|_| unusable(cert, "there is no certificate with its key (PEM)"))?;
        Ok(builder.identity(identity))
    }

    pub(super) fn protocol(&self, reason: &str) -> Error {
        Error::Protocol {
            registry: place(&self.endpoint.api),
            reason: reason.to_owned(),
        }
    }

    pub(super) fn unreachable(&self, reason: String, source: Option<reqwest::Error>) -> Error {
        Error::Unreachable {
            registry: place(&self.endpoint.api),
            reason,
            hosts: self.hosts_file.clone(),
            source: source.map(|error| error.without_url().into()),
        }
    }
}

/// Names as the machine's own programs know them.
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

struct Answer {
    response: Response,
    /// Whether another host than the asked one gave it.
    redirected: bool,
}

/// The host of a URL with its port, for messages and as a key.
pub(super) fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Whether the proxy for plain HTTP is itself spoken to by TLS.
fn proxy_speaks_tls(own: Option<&str>) -> bool {
    let of_environment = || {
        ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
            .iter()
            .any(|name| std::env::var(name).is_ok_and(|value| value.starts_with("https:")))
    };
    own.map_or_else(of_environment, |proxy| proxy.starts_with("https:"))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| unusable(path, &error.to_string()))
}

fn unusable(path: &Path, reason: &str) -> Error {
    Error::HostsFile {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
