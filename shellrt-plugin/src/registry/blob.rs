//! Blobs as verified streams.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue, CONTENT_RANGE, RANGE};
use reqwest::{Method, Response};
use tokio::sync::OwnedSemaphorePermit;

use super::client::Inner;
use super::failure;
use super::retry::Retry;
use super::transport::{Ask, Host};
use super::{Descriptor, Error, Hasher, Reference};

/// A blob on its way: chunks that arrive in order, are counted against the descriptor and verified
/// at the end.
///
/// Broken connections, stalls, 429 and 5xx are retried inside, from the byte that came last. The
/// transfer counts against [`Settings::concurrency`](super::Settings::concurrency) from the first
/// [`next`](Blob::next) until its end or until the stream is dropped.
pub struct Blob {
    inner: Arc<Inner>,
    reference: Reference,
    descriptor: Descriptor,
    /// What the descriptor itself holds.
    inline: Option<Bytes>,
    /// `None` where the caller's store verifies the digest.
    hasher: Option<Hasher>,
    offset: u64,
    fetched: u64,
    hosts: Option<Arc<Vec<Host>>>,
    /// Which of `hosts` is asked.
    host: usize,
    body: Option<Body>,
    permit: Option<OwnedSemaphorePermit>,
    /// Whether the next request may ask for a part.
    ranges: bool,
    /// Whether anything has come since the last failure.
    progressed: bool,
    retry: Retry,
    /// The failure of an earlier host that a later try may not see again.
    passing: Option<Error>,
}

/// Where a blob's transfer begins.
#[derive(Debug, Clone)]
pub enum Resume {
    /// At the first byte.
    Start,
    /// After the bytes that this hasher has seen; the whole blob is verified.
    Hashed(Hasher),
    /// After this many bytes that are kept elsewhere and were not read again. Only the size is
    /// checked then: whoever keeps the bytes must verify the digest, as containerd's content store
    /// does when it commits.
    Unverified(u64),
}

impl Blob {
    pub(super) fn new(
        inner: Arc<Inner>,
        reference: &Reference,
        descriptor: &Descriptor,
        resume: Resume,
    ) -> Blob {
        let (hasher, offset) = match resume {
            Resume::Start => (Some(descriptor.digest.hasher()), 0),
            Resume::Hashed(hasher) => {
                let seen = hasher.seen();
                (Some(hasher), seen)
            }
            Resume::Unverified(offset) => (None, offset),
        };
        Blob {
            inner,
            reference: reference.clone(),
            inline: descriptor.inline(),
            descriptor: descriptor.clone(),
            hasher,
            offset,
            fetched: 0,
            hosts: None,
            host: 0,
            body: None,
            permit: None,
            ranges: true,
            progressed: false,
            retry: Retry::default(),
            passing: None,
        }
    }

    /// The next bytes, never an empty chunk, or `None` at the end, when size and digest are
    /// verified. Bytes given out before that must not be used yet.
    ///
    /// Its future may be dropped at any time; the next call goes on without a gap.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`] and [`Error::SizeMismatch`] mean that all bytes given out are
    /// worthless ([`Error::spoils_bytes`]). After any other error they can be resumed, also by
    /// another call.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.offset >= self.descriptor.size {
                (self.body, self.permit) = (None, None);
                return self.verify().map(|()| None);
            }
            if let Some(rest) = self.rest_of_inline() {
                return Ok(Some(self.take(rest)));
            }
            let Some(body) = &mut self.body else {
                if let Err(error) = self.connect().await {
                    self.failed(error).await?;
                }
                continue;
            };
            let error = match body.response.chunk().await {
                Ok(Some(mut chunk)) => {
                    self.fetched += chunk.len() as u64;
                    let known = body.skip.min(chunk.len() as u64);
                    body.skip -= known;
                    // It fits: it is at most the chunk's length.
                    let _ = chunk.split_to(known as usize);
                    if chunk.is_empty() {
                        continue;
                    }
                    return Ok(Some(self.take(chunk)));
                }
                Ok(None) => None,
                Err(error) => Some(error),
            };
            self.body = None;
            let reason = match &error {
                Some(error) if error.is_timeout() => "it sent nothing for too long",
                Some(_) => "the connection broke",
                None => "the connection ended too early",
            };
            let host = self.hosts()?;
            let error = host[self.host].unreachable(reason.to_owned(), error);
            self.failed(error).await?;
        }
    }

    /// How many bytes of the blob have been given out or were there before.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes came over the network, those that were there already included where a
    /// registry sends a blob only as a whole.
    pub fn fetched(&self) -> u64 {
        self.fetched
    }

    /// Counts and hashes a chunk; what is more than the descriptor says is cut off.
    fn take(&mut self, mut chunk: Bytes) -> Bytes {
        let missing = self.descriptor.size - self.offset;
        // On a 32-bit machine a chunk is shorter than what does not fit a usize.
        chunk.truncate(usize::try_from(missing).unwrap_or(usize::MAX));
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk);
        }
        self.offset += chunk.len() as u64;
        self.progressed = true;
        chunk
    }

    fn verify(&self) -> Result<(), Error> {
        if self.offset > self.descriptor.size {
            return Err(self.wrong_size(self.offset));
        }
        let Some(hasher) = self.hasher.clone() else {
            return Ok(());
        };
        let actual = hasher.finish();
        if actual != self.descriptor.digest {
            return Err(Error::DigestMismatch {
                expected: self.descriptor.digest.clone(),
                actual,
            });
        }
        Ok(())
    }

    fn wrong_size(&self, actual: u64) -> Error {
        Error::SizeMismatch {
            digest: self.descriptor.digest.clone(),
            expected: self.descriptor.size,
            actual,
        }
    }

    fn rest_of_inline(&self) -> Option<Bytes> {
        let mut bytes = self.inline.clone()?;
        // Inline data has the descriptor's size, and the offset is less.
        Some(bytes.split_off(usize::try_from(self.offset).ok()?))
    }

    fn hosts(&mut self) -> Result<Arc<Vec<Host>>, Error> {
        if let Some(hosts) = &self.hosts {
            return Ok(hosts.clone());
        }
        let hosts = self.inner.hosts(self.reference.registry())?;
        let usable = |host: &Host| host.endpoint.pull && !host.dead.load(Ordering::Relaxed);
        let first = hosts.iter().position(usable);
        self.host = first
            .or_else(|| hosts.iter().position(|host| host.endpoint.pull))
            .ok_or_else(|| Error::HostsFile {
                path: self
                    .inner
                    .settings
                    .hosts_file(self.reference.registry())
                    .into(),
                reason: "no host in it may pull".to_owned(),
            })?;
        self.hosts = Some(hosts.clone());
        Ok(hosts)
    }

    /// Opens a connection at the offset. It changes nothing before it is done.
    async fn connect(&mut self) -> Result<(), Error> {
        let hosts = self.hosts()?;
        let host = &hosts[self.host];
        if self.permit.is_none() {
            let transfers = self.inner.transfers.clone();
            // Nobody closes the semaphore; an error would only mean one transfer more.
            self.permit = transfers.acquire_owned().await.ok();
        }
        let size = self.descriptor.size;
        let asked_range = self.offset > 0 && self.ranges;
        let mut headers = HeaderMap::new();
        if asked_range {
            // The end is given, because some registries refuse a range without one.
            let range = format!("bytes={}-{}", self.offset, size - 1);
            if let Ok(range) = HeaderValue::try_from(range) {
                headers.insert(RANGE, range);
            }
        }
        let path = format!("blobs/{}", self.descriptor.digest);
        let ask = Ask {
            method: Method::GET,
            repository: self.reference.repository(),
            path: &path,
            headers,
            what: &format!(
                "blob \"{}\" for \"{}\"",
                self.descriptor.digest, self.reference
            ),
        };
        let response = host.request(&ask, &self.inner.settings).await?;
        let skip = match response.status().as_u16() {
            206 if asked_range => match content_range(&response) {
                Some((start, total)) if start == self.offset => {
                    if total.is_some_and(|total| total != size) {
                        return Err(self.wrong_size(total.unwrap_or_default()));
                    }
                    0
                }
                _ => {
                    self.ranges = false;
                    return Err(host.unreachable("it sent another part of a blob".to_owned(), None));
                }
            },
            416 if asked_range => {
                self.ranges = false;
                return Err(host.unreachable("it cannot send a part of a blob".to_owned(), None));
            }
            200 => {
                if let Some(length) = response.content_length().filter(|length| *length != size) {
                    return Err(self.wrong_size(length));
                }
                self.offset
            }
            other => return Err(host.protocol(&format!("it sent a blob with the status {other}"))),
        };
        self.body = Some(Body { response, skip });
        Ok(())
    }

    /// Decides what comes after a failure: the same host after a pause if it was sending, else the
    /// next one, and after the last one a pause and the first.
    ///
    /// # Errors
    /// The failure itself where trying again makes no sense.
    async fn failed(&mut self, error: Error) -> Result<(), Error> {
        let hosts = self.hosts()?;
        if failure::is_dead(&error) {
            hosts[self.host].dead.store(true, Ordering::Relaxed);
        }
        if std::mem::take(&mut self.progressed) {
            self.retry.progressed();
            return self.retry.pause(&self.inner.settings, error).await;
        }
        let further = (self.host + 1..hosts.len()).find(|at| hosts[*at].endpoint.pull);
        if let Some(further) = further.filter(|_| error.another_host_may_help()) {
            log::warn!("{error}; asking the next host");
            self.host = further;
            if error.retryable() {
                self.passing = Some(error);
            }
            return Ok(());
        }
        let first = hosts.iter().position(|host| host.endpoint.pull);
        let error = match self.passing.take() {
            Some(passing) if !error.retryable() => passing,
            _ => error,
        };
        self.host = first.unwrap_or(self.host);
        self.retry.pause(&self.inner.settings, error).await
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob")
            .field("digest", &self.descriptor.digest)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// A response with how many of its bytes are known already.
struct Body {
    response: Response,
    skip: u64,
}

/// The first byte and the total of a `Content-Range`; the total may be unknown.
fn content_range(response: &Response) -> Option<(u64, Option<u64>)> {
    parse_content_range(response.headers().get(CONTENT_RANGE)?.to_str().ok()?)
}

fn parse_content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let total = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    Some((start.trim().parse().ok()?, total))
}

#[cfg(test)]
mod tests {
    use super::parse_content_range;

    #[test]
    fn content_ranges_are_those_of_rfc_9110() {
        assert_eq!(
            parse_content_range("bytes 42-1233/1234"),
            Some((42, Some(1234)))
        );
        assert_eq!(parse_content_range("bytes 42-1233/*"), Some((42, None)));
        assert_eq!(parse_content_range("bytes */1234"), None);
        assert_eq!(parse_content_range("lines 1-2/3"), None);
    }
}
