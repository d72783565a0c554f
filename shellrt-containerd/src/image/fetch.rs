//! Layers from a registry into containerd's content store, from where an earlier pull left them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use shellrt_api::v0::img_pull::Phase;
use shellrt_plugin::registry::{self, Client, Descriptor, Digest, Reference, Resume};

use super::ingest::{abort, offset, relabel, Finished, Ingest, Opened, Pause};
use super::labels::{self, Labels};
use super::unpack::Feed;
use crate::containerd::Containerd;
use crate::error::Error;

/// Who hears how far a blob is: its digest, the bytes done, the bytes in all, what is being done.
pub(super) type Listener<'a> = dyn Fn(&Digest, u64, u64, Phase) + 'a;

/// Where layers come from, and who hears of it.
pub(super) struct Source<'a> {
    /// With the lease.
    pub(super) containerd: &'a Containerd,
    /// `None`: only what has come already can be used.
    pub(super) client: Option<&'a Client>,
    pub(super) reference: &'a Reference,
    pub(super) listener: &'a Listener<'a>,
}

/// How a layer came.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fetched {
    /// How many bytes came over the network.
    pub(super) bytes: u64,
    /// How many were there in part.
    pub(super) resumed: u64,
    /// Whether it was there whole.
    pub(super) existed: bool,
}

/// How much is sent to containerd at once, in bytes. Both sides hold several of these for each layer.
const PIECE: usize = 256 << 10;

/// How long bytes that have come wait for more, so that even over a slow line little is lost when
/// this process is.
const WAIT: Duration = Duration::from_millis(500);

impl Source<'_> {
    /// Has a layer in the store. `begun`: an earlier pull left a part of it. `feed` gets the bytes as
    /// they come, where all of them come.
    ///
    /// # Errors
    /// Those of the registry; [`registry::Error::DigestMismatch`] where the bytes are wrong, after a
    /// second try from the first byte where they were not all new.
    pub(super) async fn layer(
        &self,
        layer: &Descriptor,
        begun: bool,
        mut feed: Option<Feed>,
    ) -> Result<Fetched, Error> {
        let (digest, size) = (&layer.digest, layer.size);
        let mut fetched = Fetched::default();
        let mut again = false;
        let mut pause = Pause::new();
        loop {
            let ingest = match Ingest::open(self.containerd, layer).await? {
                Opened::Exists => {
                    relabel(self.containerd, digest, |known| self.labels(known)).await?;
                    fetched.existed = fetched.bytes == 0;
                    (self.listener)(digest, size, size, fetched.phase());
                    return Ok(fetched);
                }
                Opened::Locked => {
                    // Somebody else is fetching it, which is as good.
                    if let Some(offset) = offset(self.containerd, layer).await? {
                        (self.listener)(digest, offset.min(size), size, Phase::Download);
                    }
                    pause.wait().await;
                    continue;
                }
                Opened::Ready(ingest) => ingest,
            };
            let start = ingest.offset();
            if start > size {
                drop(ingest);
                abort(self.containerd, layer).await?;
                continue;
            }
            fetched.resumed = if begun && !again { start } else { 0 };
            let feed = feed.take().filter(|_| start == 0);
            let wrong = match self.fill(*ingest, layer, &mut fetched.bytes, feed).await {
                Ok(Finished::Done) => {
                    // What another namespace had was there as well.
                    fetched.existed = fetched.bytes == 0 && fetched.resumed == 0;
                    (self.listener)(digest, size, size, fetched.phase());
                    return Ok(fetched);
                }
                Ok(Finished::Exists) => continue,
                Ok(Finished::Wrong(actual)) => registry::Error::DigestMismatch {
                    expected: digest.clone(),
                    actual,
                },
                Err(Error::Registry(error)) if error.spoils_bytes() => error,
                Err(error) => return Err(error),
            };
            abort(self.containerd, layer).await?;
            if start == 0 || again {
                return Err(wrong.into());
            }
            // What an earlier pull left may be what was wrong, for example after a power loss.
            log::warn!("{wrong}; fetching it once more from the beginning");
            again = true;
        }
    }

    /// Fetches the rest of a layer.
    async fn fill(
        &self,
        mut ingest: Ingest,
        layer: &Descriptor,
        bytes: &mut u64,
        feed: Option<Feed>,
    ) -> Result<Finished, Error> {
        let start = ingest.offset();
        (self.listener)(&layer.digest, start, layer.size, Phase::Download);
        if start < layer.size {
            let client = self
                .client
                .ok_or_else(|| Error::ImageNotFound(self.reference.to_string()))?;
            let resume = Resume::Unverified(start);
            let mut blob = client.blob(self.reference, layer, resume);
            let before = *bytes;
            let mut piece = Piece {
                feed,
                ..Piece::default()
            };
            let mut due = Instant::now() + WAIT;
            loop {
                let next = match piece.bytes.is_empty() {
                    true => Some(blob.next().await),
                    false => tokio::time::timeout_at(due.into(), blob.next()).await.ok(),
                };
                *bytes = before + blob.fetched();
                match next {
                    Some(Ok(Some(chunk))) => {
                        if piece.bytes.is_empty() {
                            due = Instant::now() + WAIT;
                        }
                        piece.add(chunk);
                        (self.listener)(&layer.digest, blob.offset(), layer.size, Phase::Download);
                        if piece.bytes.len() >= PIECE {
                            piece.hand_on(&mut ingest).await?;
                        }
                    }
                    Some(Ok(None)) => break,
                    Some(Err(error)) => {
                        if !error.spoils_bytes() {
                            piece.hand_on(&mut ingest).await?;
                            ingest.flush().await?;
                        }
                        return Err(error.into());
                    }
                    None => piece.hand_on(&mut ingest).await?,
                }
            }
            piece.hand_on(&mut ingest).await?;
            if let Some(feed) = piece.feed {
                feed.end().await;
            }
        }
        ingest.commit(self.labels(&Labels::new())).await
    }

    /// The labels that a layer is given when it has come.
    fn labels(&self, known: &Labels) -> Labels {
        labels::source(self.reference, known).into_iter().collect()
    }
}

/// Bytes that have come and were not handed on yet.
#[derive(Default)]
struct Piece {
    bytes: Vec<u8>,
    /// The same, as they came, where somebody else wants them too.
    chunks: Vec<Bytes>,
    feed: Option<Feed>,
}

impl Piece {
    fn add(&mut self, chunk: Bytes) {
        self.bytes.extend_from_slice(&chunk);
        if self.feed.is_some() {
            self.chunks.push(chunk);
        }
    }

    /// Hands them on, first to where they stay.
    async fn hand_on(&mut self, ingest: &mut Ingest) -> Result<(), Error> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        ingest.write(std::mem::take(&mut self.bytes)).await?;
        for chunk in std::mem::take(&mut self.chunks) {
            let Some(feed) = &self.feed else {
                break;
            };
            if !feed.put(chunk).await {
                self.feed = None;
            }
        }
        Ok(())
    }
}

impl Fetched {
    fn phase(&self) -> Phase {
        match self.existed {
            true => Phase::Exists,
            false => Phase::Download,
        }
    }
}
