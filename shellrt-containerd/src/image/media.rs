//! Which documents and layers are those of an image that can be run, by their media types.

use shellrt_plugin::registry::ImageManifest;

use crate::error::Error;

/// # Errors
/// [`Error::ImageInvalid`] for artifacts that are no images, for layers that containerd can't apply
/// and for those that no registry may distribute.
pub(super) fn check(reference: &str, manifest: &ImageManifest) -> Result<(), Error> {
    let invalid = |reason: String| Error::ImageInvalid {
        image: reference.to_owned(),
        reason,
    };
    let config = &manifest.config.media_type;
    if !is_config(config) {
        return Err(invalid(format!(
            "its config is of the type {config:?}, so it is no container image"
        )));
    }
    for layer in &manifest.layers {
        let kind = &layer.media_type;
        if is_nondistributable(kind) {
            return Err(invalid(format!(
                "layer \"{}\" may not be distributed by registries ({kind:?})",
                layer.digest
            )));
        }
        if !is_layer(kind) || is_wrapped(kind) {
            return Err(invalid(format!(
                "layer \"{}\" is of the type {kind:?}, which is none that can be unpacked: a tar, \
                 plain or packed with gzip or zstd",
                layer.digest
            )));
        }
        if layer.size == 0 {
            return Err(invalid(format!("layer \"{}\" has no bytes", layer.digest)));
        }
    }
    Ok(())
}

/// The type under which containerd unpacks a layer: the older ones don't know docker's name of zstd.
pub(super) fn applied(kind: &str) -> &str {
    match kind {
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
            "application/vnd.oci.image.layer.v1.tar+zstd"
        }
        other => other,
    }
}

/// Whether a layer of this type is a tar as it stands. Docker's own type of it is used for packed ones
/// as well.
pub(super) fn is_plain(kind: &str) -> bool {
    kind == "application/vnd.oci.image.layer.v1.tar"
}

/// How many times larger a layer may get when it is unpacked; an estimate, and rather too small than
/// too large, because whoever relies on it refuses pulls.
pub(super) fn growth(kind: &str) -> u64 {
    match kind.ends_with("gzip") || kind.ends_with("zstd") {
        true => 2,
        false => 1,
    }
}

pub(super) fn is_config(kind: &str) -> bool {
    matches!(
        kind,
        "application/vnd.oci.image.config.v1+json"
            | "application/vnd.docker.container.image.v1+json"
    )
}

pub(super) fn is_manifest(kind: &str) -> bool {
    matches!(
        kind,
        "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json"
    )
}

pub(super) fn is_index(kind: &str) -> bool {
    matches!(
        kind,
        "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json"
    )
}

pub(super) fn is_layer(kind: &str) -> bool {
    let base = kind.split('+').next().unwrap_or(kind);
    kind.starts_with("application/vnd.oci.image.layer.")
        || matches!(
            base,
            "application/vnd.docker.image.rootfs.diff.tar"
                | "application/vnd.docker.image.rootfs.diff.tar.gzip"
                | "application/vnd.docker.image.rootfs.diff.tar.zstd"
                | "application/vnd.docker.image.rootfs.foreign.diff.tar"
                | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        )
}

fn is_nondistributable(kind: &str) -> bool {
    kind.starts_with("application/vnd.oci.image.layer.nondistributable.")
        || kind.starts_with("application/vnd.docker.image.rootfs.foreign.")
}

/// Whether something is around the tar that nobody here can take off, as encryption.
fn is_wrapped(kind: &str) -> bool {
    let mut suffixes = kind.split('+').skip(1);
    match kind.starts_with("application/vnd.docker.") {
        true => suffixes.next().is_some(),
        false => suffixes.any(|suffix| !matches!(suffix, "gzip" | "zstd")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_images_of_tars_can_be_run() {
        let manifest = |config: &str, layer: &str| -> ImageManifest {
            let digest = format!("sha256:{}", "a".repeat(64));
            serde_json::from_value(serde_json::json!({
                "schemaVersion": 2,
                "config": {"mediaType": config, "digest": digest, "size": 2},
                "layers": [{"mediaType": layer, "digest": digest, "size": 2}],
            }))
            .unwrap()
        };
        let config = "application/vnd.oci.image.config.v1+json";
        for layer in [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.image.rootfs.diff.tar.zstd",
        ] {
            assert!(check("a", &manifest(config, layer)).is_ok(), "{layer}");
        }
        for (layer, word) in [
            (
                "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                "distributed",
            ),
            (
                "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                "distributed",
            ),
            (
                "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
                "none that can be unpacked",
            ),
            ("application/vnd.wasm.content.layer.v1+wasm", "none that"),
            ("text/plain", "none that"),
        ] {
            let error = check("a", &manifest(config, layer)).unwrap_err();
            assert_eq!(error.code(), shellrt_api::v0::Code::IMAGE_INVALID);
            assert!(error.to_string().contains(word), "{layer}: {error}");
        }
        let artifact = manifest("application/vnd.oci.empty.v1+json", "text/plain");
        let error = check("a", &artifact).unwrap_err().to_string();
        assert!(error.contains("no container image"), "{error}");
    }
}
