//! The way that works everywhere: containerd unpacks a layer that it has.

use containerd_client::services::v1 as api;
use containerd_client::types::{Descriptor as ApiDescriptor, Mount};
use shellrt_plugin::registry::Descriptor;

use super::super::media;
use super::super::snapshot::Layer;
use crate::containerd::{ask, Containerd};
use crate::error::Error;

/// Unpacks `blob`, which is the layer or the plain tar in it, and says what the digest of that is.
///
/// # Errors
/// [`Error::ImageInvalid`] where the layer is no archive.
pub(super) async fn unpack(
    containerd: &Containerd,
    layer: &Layer<'_>,
    blob: &Descriptor,
    mounts: Vec<Mount>,
) -> Result<String, Error> {
    let request = api::ApplyRequest {
        diff: Some(ApiDescriptor {
            media_type: media::applied(&blob.media_type).to_owned(),
            digest: blob.digest.to_string(),
            size: i64::try_from(blob.size).unwrap_or(i64::MAX),
            ..Default::default()
        }),
        mounts,
        sync_fs: true,
        ..Default::default()
    };
    match ask("unpack a layer", containerd.diff().apply(request)).await {
        Ok(answer) => Ok(answer.applied.unwrap_or_default().digest),
        Err(Error::Runtime { source, .. }) if is_malformed(&source.words) => {
            Err(layer.invalid(format!("can't be unpacked: {}", source.words)))
        }
        Err(error) => Err(error),
    }
}

/// Whether the layer is to blame, by containerd's words: it has no code for that.
fn is_malformed(words: &str) -> bool {
    [
        "archive/tar",
        "flate:",
        "gzip:",
        "magic number",
        "magic mismatch",
        "invalid input",
        "unexpected EOF",
        "unrecognised mediatype",
        "unhandled tar header",
        "no stream processor",
    ]
    .iter()
    .any(|part| words.contains(part))
}
