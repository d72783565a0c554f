//! `img_pull`: fetches an image from its registry and makes it ready to run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Error, Secret};

/// Asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The image's reference, normalised as containerd does it: `ubuntu` is
    /// `docker.io/library/ubuntu:latest`.
    pub image: String,
    /// `username` and `password`, or `token` (bearer). Empty: the machine's own credential sources,
    /// then anonymous.
    #[serde(default)]
    pub credentials: BTreeMap<String, Secret>,
    /// Addition: the platform to take from a multi-platform image, as `os/architecture/variant`
    /// (`linux/arm64/v8`). Default: what fits this machine best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Addition: whether the registry is asked at all.
    #[serde(default, skip_serializing_if = "Policy::is_default")]
    pub policy: Policy,
    /// Addition: true makes the answer a stream of [`Progress`] lines. Default false.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub progress: bool,
}

/// When the registry is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Every time; what is here already is not fetched again.
    #[default]
    Always,
    /// Only where the image is not on this machine.
    Missing,
    /// As `always`; but where the registry can't be reached, an image on this machine will do, and
    /// the answer carries a warning.
    IfReachable,
}

impl Policy {
    fn is_default(&self) -> bool {
        *self == Policy::Always
    }
}

/// The image is on this machine and can run. Every field is an addition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The digest of what the reference names: an index or a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The digest of the image's config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// The platform that was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The size of everything that belongs to the image, in bytes as transferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
    /// How many of them this request fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_fetched: Option<u64>,
    /// How many of them an earlier, broken request had fetched and this one took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_resumed: Option<u64>,
    /// Which way the image was made ready, in the plugin's own words (`cached`, `compiled`, `direct`,
    /// `uncompressed`, `apply`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpack: Option<String>,
    /// Why the answer is not all that was asked for: the registry could not be reached, and the
    /// image on this machine is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

impl super::Message for Request {
    const TYPE: &'static str = "img_pull";
    type Response = Response;
}

/// One line of the stream of a pull with `progress`. The last line is exactly one of `Done` and
/// `Error`; a stream that ends without was cut off, and the pull failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Progress {
    /// A layer went on.
    Layer {
        /// The layer's digest.
        digest: String,
        /// Bytes done.
        current: u64,
        /// Bytes in all.
        total: u64,
        /// What is being done.
        phase: Phase,
    },
    /// The pull is complete.
    /// It says what the response says without `progress`; `digest` is always there.
    Done(Response),
    /// The pull failed.
    Error(Error),
    /// A line that a newer plugin writes.
    #[serde(other)]
    Other,
}

/// What is being done with a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It is being fetched.
    Download,
    /// It is being made ready: extracted, or compiled.
    Unpack,
    /// It was here already.
    Exists,
    /// Something that a newer plugin does.
    #[serde(other)]
    Other,
}
