//! The way between: we take the packing off a layer, and containerd unpacks the plain tar, which is in
//! its content store for as long as that takes.

use std::fs::File;
use std::io::{BufReader, Read};

use containerd_client::types::Mount;
use shellrt_plugin::registry::{Descriptor, Digest};

use super::super::ingest::{self, Finished, Ingest, Opened, Pause};
use super::super::labels::Labels;
use super::super::lease;
use super::super::snapshot::Layer;
use super::failure::Failure;
use super::inflate::{inflate, Packing};
use super::{apply, packing};
use crate::containerd::Containerd;
use crate::error::Error;

/// The type of a plain tar.
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// How much is sent to containerd at once.
const PIECE: usize = 1 << 20;

/// Unpacks a layer; the digest is that of its plain tar. A failure means that it can't be done in this
/// way.
pub(super) async fn unpack(
    containerd: &Containerd,
    layer: &Layer<'_>,
    blob: Result<File, Failure>,
    mounts: Vec<Mount>,
) -> Result<Result<String, Failure>, Error> {
    if packing(layer) == Packing::Plain {
        let done = apply::unpack(containerd, layer, layer.descriptor, mounts).await;
        return done.map(Ok);
    }
    let tar = Descriptor::new(TAR, layer.diff_id.clone(), 0);
    let mut pause = Pause::new();
    let mut blob = match blob {
        Ok(blob) => Some(blob),
        Err(failure) => return Ok(Err(failure)),
    };
    let tar = loop {
        match Ingest::open(containerd, &tar).await? {
            Opened::Exists => break tar,
            // Somebody else unpacks it.
            Opened::Locked => pause.wait().await,
            // It is whole where another namespace has it or it was not collected yet, and a part where
            // somebody was killed.
            Opened::Ready(ingest) if ingest.offset() > 0 => {
                if let Finished::Wrong(_) = ingest.commit(Labels::new()).await? {
                    ingest::abort(containerd, &tar).await?;
                }
            }
            Opened::Ready(ingest) => {
                let Some(blob) = blob.take() else {
                    return Ok(Err(Failure::unfit("somebody else has the same to unpack")));
                };
                let filled = fill(*ingest, layer, blob).await?;
                if matches!(filled, Ok(None)) {
                    continue;
                }
                if let Err(error) = ingest::abort(containerd, &tar).await {
                    log::warn!("{error}; it goes with its lease");
                }
                return Ok(filled.map(|wrong| wrong.map_or_else(String::new, |it| it.to_string())));
            }
        }
    };
    let done = apply::unpack(containerd, layer, &tar, mounts).await;
    // Where nobody else holds it, it goes with the next collection.
    lease::release_blob(containerd, &tar.digest.to_string()).await?;
    done.map(Ok)
}

/// Writes the plain tar into the content store; its digest, where it is another than it should be.
async fn fill(
    mut ingest: Ingest,
    layer: &Layer<'_>,
    blob: File,
) -> Result<Result<Option<Digest>, Failure>, Error> {
    let packing = packing(layer);
    let (pieces, mut ready) = tokio::sync::mpsc::channel(2);
    let inflating = std::thread::Builder::new()
        .name("inflate".to_owned())
        .spawn(move || {
            let mut tar = inflate(BufReader::with_capacity(PIECE, blob), packing)?;
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                let count = tar.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
                if count == 0 || pieces.blocking_send(piece).is_err() {
                    return Ok::<_, std::io::Error>(());
                }
            }
        });
    let inflating = match inflating.map_err(Failure::system("start a thread")) {
        Ok(inflating) => inflating,
        Err(failure) => return Ok(Err(failure)),
    };
    while let Some(piece) = ready.recv().await {
        ingest.write(piece).await?;
    }
    // Whoever throws it away must not find it in use.
    ingest.flush().await?;
    match inflating.join() {
        Ok(Ok(())) => Ok(Ok(match ingest.commit(Labels::new()).await? {
            Finished::Wrong(digest) => Some(digest),
            Finished::Done | Finished::Exists => None,
        })),
        Ok(Err(source)) => Ok(Err(Failure::system("inflate a layer")(source))),
        Err(_) => Ok(Err(Failure::unfit("a thread ended too early"))),
    }
}
