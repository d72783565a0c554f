//! Writing a blob into containerd's content store: under the names that all its clients use, so that
//! they share what has come and wait for each other.

use std::time::Duration;

use containerd_client::services::v1 as api;
use futures_util::stream;
use shellrt_plugin::registry::{Descriptor, Digest};
use tokio::sync::mpsc;
use tonic::codec::Streaming;
use tonic::{Code, Status};

use super::content::{self, size};
use super::labels::{self, Labels};
use super::{lease, media};
use crate::containerd::{ask, known, Containerd};
use crate::error::Error;

/// What came of beginning to write.
pub(super) enum Opened {
    /// The blob is here already, and the lease holds it now.
    Exists,
    /// Somebody else is writing it.
    Locked,
    /// It can be written.
    Ready(Box<Ingest>),
}

/// What came of finishing.
pub(super) enum Finished {
    /// The blob is here.
    Done,
    /// Somebody else was first.
    Exists,
    /// The bytes are not those of the descriptor; they are these.
    Wrong(Digest),
}

/// A blob that is being written. What was written stays when this is dropped.
pub(super) struct Ingest {
    requests: mpsc::Sender<api::WriteContentRequest>,
    answers: Streaming<api::WriteContentResponse>,
    descriptor: Descriptor,
    /// How much is there.
    offset: u64,
    /// How many answers have not been read yet.
    open: usize,
    /// What containerd has computed over all that is there.
    digest: String,
}

/// How many messages may be on their way, so that the next is there when one is written.
const WINDOW: usize = 3;

impl Ingest {
    /// Begins to write `descriptor`'s blob, or goes on where it was left.
    pub(super) async fn open(
        containerd: &Containerd,
        descriptor: &Descriptor,
    ) -> Result<Opened, Error> {
        let (requests, mut receiver) = mpsc::channel(WINDOW + 1);
        let first = api::WriteContentRequest {
            action: api::WriteAction::Stat.into(),
            r#ref: name(descriptor),
            total: signed(descriptor.size),
            expected: descriptor.digest.to_string(),
            ..Default::default()
        };
        // The channel is empty and has room.
        let _ = requests.try_send(first);
        let requests_stream = stream::poll_fn(move |context| receiver.poll_recv(context));
        let mut content = containerd.content();
        let begun = async {
            let mut answers = content.write(requests_stream).await?.into_inner();
            let first = answers.message().await?;
            let first = first.ok_or_else(|| Status::internal("the stream ended at once"))?;
            Ok::<_, Status>((answers, first))
        };
        let (answers, first) = match begun.await {
            Ok(begun) => begun,
            Err(status) if status.code() == Code::AlreadyExists => return Ok(Opened::Exists),
            Err(status) if is_locked(&status) => return Ok(Opened::Locked),
            Err(status) => return Err(refused(status)),
        };
        Ok(Opened::Ready(Box::new(Ingest {
            requests,
            answers,
            descriptor: descriptor.clone(),
            offset: size(first.offset),
            open: 0,
            digest: first.digest,
        })))
    }

    /// How many bytes are there.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Appends bytes. It returns before they are written, but not much.
    pub(super) async fn write(&mut self, data: Vec<u8>) -> Result<(), Error> {
        let length = data.len() as u64;
        let request = api::WriteContentRequest {
            action: api::WriteAction::Write.into(),
            offset: signed(self.offset),
            data,
            ..Default::default()
        };
        self.send(request).await?;
        self.offset += length;
        while self.open > WINDOW {
            self.answer().await?;
        }
        Ok(())
    }

    /// Waits until all is written.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        while self.open > 0 {
            self.answer().await?;
        }
        Ok(())
    }

    /// Has containerd check the blob and take it into the store, with `labels`.
    pub(super) async fn commit(mut self, labels: Labels) -> Result<Finished, Error> {
        self.flush().await?;
        let request = api::WriteContentRequest {
            action: api::WriteAction::Commit.into(),
            offset: signed(self.offset),
            total: signed(self.descriptor.size),
            expected: self.descriptor.digest.to_string(),
            labels: labels.into_iter().collect(),
            ..Default::default()
        };
        self.send(request).await?;
        match self.message().await {
            Ok(_) => Ok(Finished::Done),
            Err(status) if status.code() == Code::AlreadyExists => Ok(Finished::Exists),
            Err(status) if status.code() == Code::FailedPrecondition => {
                match self.digest.parse::<Digest>() {
                    Ok(digest) if digest != self.descriptor.digest => Ok(Finished::Wrong(digest)),
                    _ => Err(refused(status)),
                }
            }
            Err(status) => Err(refused(status)),
        }
    }

    async fn send(&mut self, request: api::WriteContentRequest) -> Result<(), Error> {
        if self.requests.send(request).await.is_err() {
            // The stream was ended at the other side, which says why.
            loop {
                self.answer().await?;
            }
        }
        self.open += 1;
        Ok(())
    }

    async fn answer(&mut self) -> Result<(), Error> {
        let answer = self.message().await.map_err(refused)?;
        if !answer.digest.is_empty() {
            self.digest = answer.digest;
        }
        Ok(())
    }

    async fn message(&mut self) -> Result<api::WriteContentResponse, Status> {
        self.open = self.open.saturating_sub(1);
        let answer = self.answers.message().await?;
        answer.ok_or_else(|| Status::unavailable("containerd ended the stream"))
    }
}

/// Puts a small blob into the store, unless it is there; then it gets the labels that it lacks. One
/// that the disk has lost is put there anew.
pub(super) async fn put(
    containerd: &Containerd,
    descriptor: &Descriptor,
    bytes: &[u8],
    wanted: impl Fn(&Labels) -> Labels,
) -> Result<(), Error> {
    let mut pause = Pause::new();
    let mut replaced = false;
    loop {
        match Ingest::open(containerd, descriptor).await? {
            Opened::Exists => {
                let digest = &descriptor.digest;
                match content::read(containerd, digest).await {
                    Ok(Some(_)) => return relabel(containerd, digest, wanted).await,
                    // Another namespace has it too, with the same file.
                    Err(error) if replaced => return Err(error),
                    Ok(None) | Err(_) => {
                        log::warn!("\"{digest}\" is damaged; it is replaced");
                        // What it keeps must not go with it.
                        for child in labels::children_of(&wanted(&Labels::new())) {
                            lease::hold_blob(containerd, &child).await?;
                        }
                        content::delete(containerd, digest).await?;
                        replaced = true;
                    }
                }
            }
            Opened::Locked => pause.wait().await,
            Opened::Ready(mut ingest) => {
                // Bytes that another namespace has need not be written.
                if ingest.offset != descriptor.size {
                    if ingest.offset > 0 {
                        drop(ingest);
                        abort(containerd, descriptor).await?;
                        continue;
                    }
                    ingest.write(bytes.to_vec()).await?;
                }
                match ingest.commit(wanted(&Labels::new())).await? {
                    Finished::Done => return Ok(()),
                    Finished::Exists => {}
                    Finished::Wrong(_) => abort(containerd, descriptor).await?,
                }
            }
        }
    }
}

/// Gives a blob that is here the labels that it lacks.
pub(super) async fn relabel(
    containerd: &Containerd,
    digest: &Digest,
    wanted: impl Fn(&Labels) -> Labels,
) -> Result<(), Error> {
    let found = content::info(containerd, digest).await?;
    let known = found.map(|blob| blob.labels).unwrap_or_default();
    let mut missing = wanted(&known);
    missing.retain(|key, value| known.get(key) != Some(value));
    content::label(containerd, digest, missing).await
}

/// Throws away what has been written of a blob.
pub(super) async fn abort(containerd: &Containerd, descriptor: &Descriptor) -> Result<(), Error> {
    let mut pause = Pause::new();
    for _ in 0..ABORTS {
        let answer = try_abort(containerd, descriptor).await;
        // containerd notes the time of a write that has just ended in the directory that it removes.
        if !matches!(&answer, Err(Error::Runtime { source, .. }) if source.words.contains(NOT_EMPTY))
        {
            return answer;
        }
        pause.wait().await;
    }
    try_abort(containerd, descriptor).await
}

/// What containerd says where a writer that is about to end is in the way.
const NOT_EMPTY: &str = "directory not empty";

/// How often a writer may be in the way.
const ABORTS: u32 = 5;

async fn try_abort(containerd: &Containerd, descriptor: &Descriptor) -> Result<(), Error> {
    let request = api::AbortRequest {
        r#ref: name(descriptor),
    };
    let answer = ask(
        "throw away a partial blob",
        containerd.content().abort(request),
    )
    .await;
    known(answer).map(drop)
}

/// How many bytes of a blob have been written; `None` where nobody has begun.
pub(super) async fn offset(
    containerd: &Containerd,
    descriptor: &Descriptor,
) -> Result<Option<u64>, Error> {
    let request = api::StatusRequest {
        r#ref: name(descriptor),
    };
    let answer = ask(
        "look at a partial blob",
        containerd.content().status(request),
    )
    .await;
    let status = known(answer)?.and_then(|answer| answer.status);
    Ok(status.map(|status| size(status.offset)))
}

/// The sizes of everything that is being written or was left, by name.
pub(super) async fn all(containerd: &Containerd) -> Result<Vec<(String, u64)>, Error> {
    let request = api::ListStatusesRequest::default();
    let answer = ask(
        "list the partial blobs",
        containerd.content().list_statuses(request),
    )
    .await;
    let statuses = answer?.statuses.into_iter();
    Ok(statuses
        .map(|status| (status.r#ref, size(status.offset)))
        .collect())
}

/// The pauses of somebody who waits for another writer.
pub(super) struct Pause(Duration);

impl Pause {
    pub(super) fn new() -> Pause {
        Pause(Duration::from_millis(10))
    }

    pub(super) async fn wait(&mut self) {
        // Those who wait for the same should not all come at once.
        tokio::time::sleep(self.0.mul_f64(0.5 + super::random::fraction())).await;
        self.0 = (self.0 * 2).min(Duration::from_secs(1));
    }
}

/// The name under which every client of containerd writes such a blob.
fn name(descriptor: &Descriptor) -> String {
    let kind = match descriptor.media_type.as_str() {
        kind if media::is_manifest(kind) => "manifest",
        kind if media::is_index(kind) => "index",
        kind if media::is_layer(kind) => "layer",
        kind if media::is_config(kind) => "config",
        _ => "unknown",
    };
    format!("{kind}-{}", descriptor.digest)
}

/// A daemon that is away gives the same code, but other words.
fn is_locked(status: &Status) -> bool {
    status.code() == Code::Unavailable && status.message().contains("locked")
}

fn refused(status: Status) -> Error {
    Error::refused("write a blob", status)
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
