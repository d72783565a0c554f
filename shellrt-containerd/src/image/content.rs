//! containerd's content store: what is known of a blob, and small ones whole.

use containerd_client::services::v1 as api;
use prost_types::FieldMask;
use shellrt_plugin::registry::Digest;

use super::labels::Labels;
use crate::containerd::{ask, known, Containerd};
use crate::error::Error;

/// The largest document that is read whole, in bytes.
pub(super) const DOCUMENT_MAX: u64 = 4 << 20;

/// A blob that is here.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    pub(super) size: u64,
    pub(super) labels: Labels,
    /// When it came, in nanoseconds since the epoch.
    pub(super) created_at: i64,
}

/// What is known of a blob; `None` where it is not here.
pub(super) async fn info(containerd: &Containerd, digest: &Digest) -> Result<Option<Blob>, Error> {
    let request = api::InfoRequest {
        digest: digest.to_string(),
    };
    let answer = ask("look at a blob", containerd.content().info(request)).await;
    let info = known(answer)?.and_then(|answer| answer.info);
    Ok(info.map(|info| Blob {
        size: size(info.size),
        labels: info.labels.into_iter().collect(),
        created_at: nanoseconds(info.created_at),
    }))
}

/// Adds labels to a blob, or changes them; the others stay.
pub(super) async fn label(
    containerd: &Containerd,
    digest: &Digest,
    labels: Labels,
) -> Result<(), Error> {
    if labels.is_empty() {
        return Ok(());
    }
    let paths = labels.keys().map(|key| format!("labels.{key}")).collect();
    let request = api::UpdateRequest {
        info: Some(api::Info {
            digest: digest.to_string(),
            labels: labels.into_iter().collect(),
            ..Default::default()
        }),
        update_mask: Some(FieldMask { paths }),
    };
    ask("label a blob", containerd.content().update(request)).await?;
    Ok(())
}

/// A small blob whole, `None` where it is not here.
///
/// # Errors
/// [`Error::ImageInvalid`] where what is on the disk is not what was put there, or too large.
pub(super) async fn read(
    containerd: &Containerd,
    digest: &Digest,
) -> Result<Option<Vec<u8>>, Error> {
    let invalid = |reason: &str| Error::ImageInvalid {
        image: digest.to_string(),
        reason: reason.to_owned(),
    };
    let request = api::ReadContentRequest {
        digest: digest.to_string(),
        ..Default::default()
    };
    let answer = ask("read a blob", containerd.content().read(request)).await;
    let Some(mut chunks) = known(answer)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    loop {
        let chunk = chunks.message().await;
        let chunk = chunk.map_err(|status| Error::refused("read a blob", status));
        match known(chunk)? {
            None => return Ok(None),
            Some(None) => break,
            Some(Some(chunk)) => bytes.extend_from_slice(&chunk.data),
        }
        if bytes.len() as u64 > DOCUMENT_MAX {
            return Err(invalid("it is too large for a document"));
        }
    }
    let mut hasher = digest.hasher();
    hasher.update(&bytes);
    if hasher.finish() != *digest {
        return Err(invalid(
            "the disk has changed it; remove the image and pull it again",
        ));
    }
    Ok(Some(bytes))
}

/// Removes a blob that is of no use, whatever refers to it, and waits until its file is gone: as long
/// as there is one, containerd takes no other in its place. Another namespace that has the blob keeps
/// the file.
pub(super) async fn delete(containerd: &Containerd, digest: &Digest) -> Result<(), Error> {
    let request = api::DeleteContentRequest {
        digest: digest.to_string(),
    };
    let answer = ask("remove a blob", containerd.content().delete(request)).await;
    known(answer)?;
    super::lease::collect(containerd).await
}

/// All blobs by their digests, with their sizes.
pub(super) async fn all(containerd: &Containerd) -> Result<Vec<(String, u64)>, Error> {
    let request = api::ListContentRequest::default();
    let mut content = containerd.content();
    let mut answers = ask("list the blobs", content.list(request)).await?;
    let mut all = Vec::new();
    loop {
        let answer = answers.message().await;
        match answer.map_err(|status| Error::refused("list the blobs", status))? {
            None => return Ok(all),
            Some(answer) => {
                let infos = answer.info.into_iter();
                all.extend(infos.map(|info| (info.digest, size(info.size))));
            }
        }
    }
}

/// A size as containerd writes it.
pub(super) fn size(size: i64) -> u64 {
    u64::try_from(size).unwrap_or_default()
}

/// A time in nanoseconds since the epoch; 0 where there is none.
pub(super) fn nanoseconds(time: Option<prost_types::Timestamp>) -> i64 {
    let time = time.unwrap_or_default();
    time.seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(time.nanos.into())
}
