//! The labels of blobs, exactly as containerd's own client writes them: what keeps what from being
//! collected, and where it came from.

use std::collections::BTreeMap;

use shellrt_plugin::registry::{Descriptor, Error, Manifest, Reference};

use super::media;

/// The labels of one blob.
pub(super) type Labels = BTreeMap<String, String>;

/// On a layer: its digest as a plain tar.
pub(super) const UNCOMPRESSED: &str = "containerd.io/uncompressed";

/// On a snapshot that is being made: the chain id that it will have.
pub(super) const SNAPSHOT_REF: &str = "containerd.io/snapshot.ref";

/// On an index or a manifest, before what kind of blob it is: one that it keeps.
const CONTENT: &str = "containerd.io/gc.ref.content.";

/// containerd refuses labels whose key and value are longer together.
const LONGEST: usize = 4096;

/// On a config: the snapshot of all the image's layers, which it keeps.
pub(super) fn snapshot(snapshotter: &str) -> String {
    format!("containerd.io/gc.ref.snapshot.{snapshotter}")
}

/// On an index or a manifest: what it keeps. An index keeps the manifests of all platforms, also
/// those that are not here, so that they stay when they come.
///
/// # Errors
/// [`Error::Manifest`] for what can't be parsed.
pub(super) fn children(document: &Manifest) -> Result<Labels, Error> {
    let children = if document.is_index() {
        document.index()?.manifests
    } else {
        let image = document.image()?;
        std::iter::once(image.config).chain(image.layers).collect()
    };
    Ok(number(&children))
}

/// The digests of what a blob with these labels keeps.
pub(super) fn children_of(labels: &Labels) -> Vec<String> {
    let children = labels.iter().filter(|(key, _)| key.starts_with(CONTENT));
    children.map(|(_, digest)| digest.clone()).collect()
}

fn number(children: &[Descriptor]) -> Labels {
    let mut labels = Labels::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for child in children {
        let prefix = match child.media_type.as_str() {
            kind if media::is_config(kind) => "config",
            kind if media::is_manifest(kind) => "m.",
            kind if media::is_layer(kind) => "l.",
            _ => "",
        };
        let count = counts.entry(prefix).or_default();
        // There is one config, and it has no number.
        let key = match *count > 0 || prefix != "config" {
            true => format!("{CONTENT}{prefix}{count}"),
            false => format!("{CONTENT}{prefix}"),
        };
        *count += 1;
        labels.insert(key, child.digest.to_string());
    }
    labels
}

/// On every blob that was fetched: the repositories of this registry that have it. `known` are the
/// labels that the blob has already; `None` where nothing is to be added or it gets too long.
pub(super) fn source(reference: &Reference, known: &Labels) -> Option<(String, String)> {
    let host = host(reference.registry());
    let key = format!("containerd.io/distribution.source.{host}");
    let before = known.get(&key).map_or("", String::as_str);
    let mut repositories: Vec<&str> = before.split(',').filter(|part| !part.is_empty()).collect();
    if repositories.contains(&reference.repository()) {
        return None;
    }
    repositories.push(reference.repository());
    repositories.sort_unstable();
    let value = repositories.join(",");
    (key.len() + value.len() <= LONGEST).then_some((key, value))
}

/// A registry without its port.
fn host(registry: &str) -> &str {
    match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => registry.split(':').next().unwrap_or(registry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shellrt_plugin::registry::Digest;

    const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";

    fn labels(kinds: &[&str]) -> Vec<String> {
        let digest = Digest::of(b"");
        let children: Vec<Descriptor> = kinds
            .iter()
            .map(|kind| Descriptor::new(*kind, digest.clone(), 1))
            .collect();
        number(&children).into_keys().collect()
    }

    /// What `ctr images pull` of containerd 1.6 and 1.7 wrote for such documents.
    #[test]
    fn children_have_containerds_labels() {
        let prefix = "containerd.io/gc.ref.content.";
        assert_eq!(
            labels(&[
                CONFIG,
                "application/vnd.oci.image.layer.v1.tar+gzip",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ]),
            ["config", "l.0", "l.1"].map(|end| format!("{prefix}{end}"))
        );
        assert_eq!(
            labels(&[MANIFEST, INDEX, MANIFEST, "text/plain"]),
            ["0", "1", "m.0", "m.1"].map(|end| format!("{prefix}{end}"))
        );
    }

    #[test]
    fn repositories_of_one_registry_are_gathered() {
        let known = |value: &str| {
            let key = "containerd.io/distribution.source.127.0.0.1".to_owned();
            Labels::from([(key, value.to_owned())])
        };
        let reference: Reference = "127.0.0.1:5000/m/b:1".parse().unwrap();
        let (key, value) = source(&reference, &Labels::new()).unwrap();
        assert_eq!(key, "containerd.io/distribution.source.127.0.0.1");
        assert_eq!(value, "m/b");
        assert_eq!(
            source(&reference, &known("m/c,m/a")).unwrap().1,
            "m/a,m/b,m/c"
        );
        assert_eq!(source(&reference, &known("m/a,m/b")), None);
        assert_eq!(
            source(&reference, &known(&"x".repeat(4060))),
            None,
            "too long"
        );
        let hub: Reference = "alpine".parse().unwrap();
        let (key, value) = source(&hub, &Labels::new()).unwrap();
        assert_eq!(key, "containerd.io/distribution.source.docker.io");
        assert_eq!(value, "library/alpine");
        assert_eq!(host("[::1]:5000"), "::1");
    }
}
