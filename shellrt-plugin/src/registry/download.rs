//! Blobs into files, resumed across processes and power losses.

/// What a [`download`](super::Client::download) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downloaded {
    /// Bytes that came over the network now.
    pub bytes_fetched: u64,
    /// Bytes that an earlier, broken download had left and that were used.
    pub bytes_resumed: u64,
    /// Whether the file was there already, complete.
    pub existed: bool,
}
