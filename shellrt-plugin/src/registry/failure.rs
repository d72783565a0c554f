//! What a failed request means: from the HTTP client's errors and the registry's refusals to ours.

use std::error::Error as StdError;
use std::io;

use oci_distribution::errors::OciEnvelope;
use reqwest::{Response, StatusCode};

use super::retry::retry_after;
use super::transport::{place, Ask, Host};
use super::Error;

/// What an answer that is no success means.
pub(super) async fn refusal(host: &Host, ask: &Ask<'_>, response: Response) -> Error {
    let status = response.status();
    let registry = place(response.url());
    let retry_after = retry_after(response.headers());
    let (codes, says) = words(response).await;
    let any = |wanted: &[&str]| codes.iter().any(|code| wanted.contains(&code.as_str()));
    if any(&["TOOMANYREQUESTS"]) || status == StatusCode::TOO_MANY_REQUESTS {
        return Error::RateLimited {
            registry,
            retry_after,
            says,
        };
    }
    if any(&["NAME_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN"]) || status == StatusCode::NOT_FOUND
    {
        return Error::NotFound {
            registry,
            what: ask.what.to_owned(),
            says,
        };
    }
    if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
        return host.unauthorized(ask.repository, says);
    }
    Error::Status {
        registry,
        status: status.as_u16(),
        retry_after,
        says,
    }
}

/// The codes of a registry's error document, and its words with a colon before them.
pub(super) async fn words(response: Response) -> (Vec<String>, String) {
    let Ok(Some(body)) = limited(response, WORDS_MAX).await else {
        return Default::default();
    };
    let Ok(envelope) = serde_json::from_slice::<OciEnvelope>(&body) else {
        return Default::default();
    };
    let mut codes = Vec::new();
    let mut says = Vec::new();
    for error in &envelope.errors {
        let code = serde_json::to_value(&error.code).unwrap_or_default();
        let code = code.as_str().unwrap_or_default().to_owned();
        says.push(match error.message.is_empty() {
            true => code.clone(),
            false => format!("{} ({code})", error.message),
        });
        codes.push(code);
    }
    if says.is_empty() {
        return Default::default();
    }
    // The text comes from outside and ends up on a terminal.
    let says = says.join(", ");
    let says = says.chars().filter(|c| !c.is_control()).take(300);
    (codes, format!(": {}", says.collect::<String>()))
}

/// A body whole, or `None` where it is longer than `max` bytes.
pub(super) async fn limited(
    mut response: Response,
    max: u64,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    if response.content_length().is_some_and(|length| length > max) {
        return Ok(None);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if (body.len() + chunk.len()) as u64 > max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// No error document that says something useful is longer.
const WORDS_MAX: u64 = 64 << 10;

/// What an error of the HTTP client means. Its URL is left out: it may be signed.
pub(super) fn connection(registry: String, hosts_file: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let hosts = hosts_file.to_owned();
    if chain(&error).any(is_tls) {
        return Error::Tls {
            registry,
            hosts,
            source: error.into(),
        };
    }
    let reason = match () {
        () if error.is_timeout() && error.is_connect() => "no connection in time",
        () if error.is_timeout() => "it sent nothing for too long",
        () if error.is_connect() => "no connection",
        () => "the connection broke",
    };
    Error::Unreachable {
        registry,
        reason: reason.to_owned(),
        hosts,
        source: Some(error.into()),
    }
}

/// Whether nothing listens on the port.
pub(super) fn is_refused(error: &Error) -> bool {
    chain(error).any(|error| {
        let error = error.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    })
}

/// Whether no connection came about at all.
pub(super) fn is_dead(error: &Error) -> bool {
    match error {
        Error::Tls { .. } | Error::Setup { .. } => true,
        Error::Unreachable { .. } => chain(error).any(|error| {
            let error = error.downcast_ref::<reqwest::Error>();
            error.is_some_and(reqwest::Error::is_connect)
        }),
        _ => false,
    }
}

/// An error and all that it wraps, outermost first.
fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| wrapped(*error))
}

/// What an error wraps. An I/O error hides that from `source`.
fn wrapped<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(hidden) => Some(hidden),
        None => error.source(),
    }
}

fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    error.is::<rustls::Error>()
}
