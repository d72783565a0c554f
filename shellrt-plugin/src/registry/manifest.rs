//! The documents of an image: descriptors, manifests and indexes.

use std::collections::BTreeMap;

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use bytes::Bytes;
use oci_distribution::manifest as media;
use serde::{Deserialize, Serialize};

use super::{Digest, Error, Platform};

/// A manifest or index exactly as the registry keeps it, verified against its digest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Media type, digest and size of `bytes`; from a parent index also what that says of it.
    pub descriptor: Descriptor,
    /// The raw document; whoever stores it must store these bytes.
    pub bytes: Bytes,
}

impl Manifest {
    /// Whether it is an index (a docker manifest list too).
    pub fn is_index(&self) -> bool {
        is_index(&self.descriptor.media_type)
    }

    /// The image's manifest.
    ///
    /// # Errors
    /// [`Error::Manifest`] for an index and for what can't be parsed.
    pub fn image(&self) -> Result<ImageManifest, Error> {
        if self.is_index() {
            return Err(self.unusable("it is an index, not an image"));
        }
        self.decode()
    }

    /// The index.
    ///
    /// # Errors
    /// [`Error::Manifest`] for an image's manifest and for what can't be parsed.
    pub fn index(&self) -> Result<Index, Error> {
        if !self.is_index() {
            return Err(self.unusable("it is an image, not an index"));
        }
        self.decode()
    }

    fn decode<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.bytes).map_err(|error| self.unusable(&error.to_string()))
    }

    fn unusable(&self, reason: &str) -> Error {
        Error::Manifest {
            manifest: self.descriptor.digest.to_string(),
            reason: reason.to_owned(),
        }
    }
}

/// What a document says of another: type, digest and size.
///
/// Own type and not `oci-client`'s, which has no `data`, keeps digests as unchecked text and allows
/// negative sizes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type; empty where an old index leaves it out.
    #[serde(default)]
    pub media_type: String,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes. Nothing longer is ever accepted.
    pub size: u64,
    /// The content itself in base64, for small ones. It is checked as if it came from a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Other places of the content. They are never followed: a manifest must not choose whom this
    /// machine talks to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Free text.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// The artifact's type, where an index says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The platform, in the entries of an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// A descriptor with these three and nothing else.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.into(),
            digest,
            size,
            data: None,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            artifact_type: None,
            platform: None,
        }
    }

    /// The content that the descriptor itself holds, where it fits size and digest.
    pub(super) fn inline(&self) -> Option<Bytes> {
        let bytes = STANDARD.decode(self.data.as_deref()?.trim()).ok()?;
        let mut hasher = self.digest.hasher();
        hasher.update(&bytes);
        let fits = bytes.len() as u64 == self.size && hasher.finish() == self.digest;
        if !fits {
            log::warn!(
                "the inline data of {} does not fit it and is not used",
                self.digest
            );
        }
        fits.then(|| bytes.into())
    }

    /// Whether it is no image at all but a statement about one, as build tools add to an index.
    pub(super) fn is_attestation(&self) -> bool {
        let unknown = self
            .platform
            .as_ref()
            .is_some_and(|p| p.os == "unknown" && p.architecture == "unknown");
        unknown || self.annotations.contains_key("vnd.docker.reference.type")
    }
}

/// An image's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always 2.
    pub schema_version: u32,
    /// The document's own type, where it says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The image's config; its digest is the image's id.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    /// What kind of artifact it is, where it is none of the usual images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifest that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free text.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// An index: one image per platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The document's own type, where it says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The images, and indexes of images.
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
    /// Free text.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// The largest manifest or index accepted, in bytes; registries have the same limit.
pub(super) const MANIFEST_MAX: u64 = 4 << 20;

/// The value of `Accept` for manifests: all four kinds, without schema 1.
pub(super) fn accept() -> String {
    [
        media::OCI_IMAGE_MEDIA_TYPE,
        media::OCI_IMAGE_INDEX_MEDIA_TYPE,
        media::IMAGE_MANIFEST_MEDIA_TYPE,
        media::IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    ]
    .join(", ")
}

pub(super) fn is_index(media_type: &str) -> bool {
    matches!(
        media_type,
        media::OCI_IMAGE_INDEX_MEDIA_TYPE | media::IMAGE_MANIFEST_LIST_MEDIA_TYPE
    )
}

/// The media type of a manifest: what the document says, else what the registry says, else what its
/// fields show.
///
/// # Errors
/// [`Error::Manifest`] for schema 1, for a type that is none of the four and for what is no JSON.
pub(super) fn media_type(name: &str, header: Option<&str>, bytes: &[u8]) -> Result<String, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Fields {
        schema_version: Option<u32>,
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
        config: Option<serde::de::IgnoredAny>,
        fs_layers: Option<serde::de::IgnoredAny>,
    }
    let unusable = |reason: String| Error::Manifest {
        manifest: name.to_owned(),
        reason,
    };
    let fields: Fields = serde_json::from_slice(bytes)
        .map_err(|error| unusable(format!("it is no JSON manifest ({error})")))?;
    let header = header
        .map(|header| header.split(';').next().unwrap_or_default().trim())
        .filter(|header| header.starts_with("application/vnd."));
    let said = fields.media_type.as_deref().or(header).unwrap_or_default();
    let is_schema1 = fields.schema_version == Some(1)
        || fields.fs_layers.is_some()
        || said.starts_with("application/vnd.docker.distribution.manifest.v1+");
    if is_schema1 {
        return Err(unusable(
            "it is docker's schema 1, which is obsolete; push the image again with a current tool"
                .to_owned(),
        ));
    }
    let both = fields.manifests.is_some() && fields.config.is_some();
    if both {
        // Two readers could see two images in it, so neither the digest nor a signature means much.
        return Err(unusable("it is an image and an index at once".to_owned()));
    }
    match said {
        media::OCI_IMAGE_MEDIA_TYPE
        | media::OCI_IMAGE_INDEX_MEDIA_TYPE
        | media::IMAGE_MANIFEST_MEDIA_TYPE
        | media::IMAGE_MANIFEST_LIST_MEDIA_TYPE => Ok(said.to_owned()),
        "" if fields.manifests.is_some() => Ok(media::OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned()),
        "" if fields.config.is_some() => Ok(media::OCI_IMAGE_MEDIA_TYPE.to_owned()),
        "" => Err(unusable("it is neither an image nor an index".to_owned())),
        other => Err(unusable(format!(
            "its media type \"{other}\" is neither an image nor an index"
        ))),
    }
}

/// Go programs write `null` for an empty map.
fn null_is_empty<'de, D: serde::Deserializer<'de>>(
    input: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}
