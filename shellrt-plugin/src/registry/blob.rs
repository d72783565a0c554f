//! Blobs as verified streams.

use bytes::Bytes;

use super::{Error, Hasher};

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

/// A blob on its way: chunks that arrive in order, are counted against the descriptor and verified
/// at the end.
///
/// Broken connections, stalls, 429 and 5xx are retried inside, from the byte that came last. The
/// transfer counts against [`Settings::concurrency`](super::Settings::concurrency) from the first
/// `next` until the stream is dropped or at its end.
#[derive(Debug)]
pub struct Blob {}

impl Blob {
    /// The next bytes, or `None` at the end, when size and digest are verified. Bytes given out
    /// before that must not be used yet.
    ///
    /// It may be dropped and called again; nothing is lost. After an error the stream is over: only
    /// the same error's kind may be expected of further calls.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`] and [`Error::SizeMismatch`] mean that all bytes given out are
    /// worthless ([`Error::spoils_bytes`]); after any other error they can be resumed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        Err(Error::Protocol {
            registry: String::new(),
            reason: "unfinished".to_owned(),
        })
    }

    /// How many bytes of the blob are given out or were there before.
    pub fn offset(&self) -> u64 {
        0
    }

    /// How many bytes came over the network.
    pub fn fetched(&self) -> u64 {
        0
    }
}
