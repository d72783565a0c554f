//! What a container gets beside its root file system: mounts and memory file systems.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::Bytes;
use super::text::{self, ParseError};

/// A directory, a file, a volume or a memory file system in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// What is mounted.
    #[serde(rename = "type")]
    pub kind: MountKind,
    /// For `bind` an absolute path on the machine: required there. For `volume` the volume's name;
    /// one without is the module's own and is removed with it. An error for `tmpfs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where it is in the container: an absolute path, but not `/`.
    pub target: String,
    /// Whether the container may only read it. Default false.
    #[serde(default, skip_serializing_if = "super::super::super::is_false")]
    pub read_only: bool,
    /// More for `bind`. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind: Option<BindOptions>,
    /// More for `tmpfs`. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<TmpfsOptions>,
    /// More for `volume`. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeOptions>,
}

/// The kinds of mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A directory or file of the machine.
    Bind,
    /// A memory file system that ends with the container's run.
    Tmpfs,
    /// A directory that the plugin keeps; one with a name also after the module is removed.
    Volume,
}

/// More about a `bind` mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BindOptions {
    /// Whether later mounts below it are seen on the other side. Default `rprivate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation: Option<Propagation>,
    /// Whether a missing source is made, as a directory of root's. Default false: it is an error.
    #[serde(skip_serializing_if = "super::super::super::is_false")]
    pub create_host_path: bool,
}

/// Whether later mounts on one side of a bind mount are seen on the other; the words of mount(8),
/// with an `r` where they hold for all mounts below it too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Propagation {
    /// Not seen.
    Private,
    /// Not seen, at any depth.
    #[default]
    Rprivate,
    /// Seen in both directions.
    Shared,
    /// Seen in both directions, at any depth.
    Rshared,
    /// The machine's are seen in the container.
    Slave,
    /// The machine's are seen in the container, at any depth.
    Rslave,
}

/// More about a `tmpfs` mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TmpfsOptions {
    /// What it may grow to, in bytes or as `"64m"`. Default: half of the machine's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Bytes>,
    /// The permissions of its root, a number as in Compose (448 is octal 0700) or octal text
    /// (`"0700"`). Default octal 1777.
    #[serde(deserialize_with = "mode", skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
}

/// More about a `volume` mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VolumeOptions {
    /// Whether a new volume stays empty instead of getting what the image has at the target.
    /// Default false.
    #[serde(skip_serializing_if = "super::super::super::is_false")]
    pub nocopy: bool,
}

/// A memory file system, in JSON as text: `"/path"` or `"/path:option,option"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where it is in the container.
    pub target: String,
    /// The options as they were written, without the commas.
    pub options: Vec<String>,
}

impl FromStr for Tmpfs {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let options = options.split(',').filter(|option| !option.is_empty());
        Ok(Tmpfs {
            target: target.to_owned(),
            options: options.map(str::to_owned).collect(),
        })
    }
}

impl fmt::Display for Tmpfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.target)?;
        if self.options.is_empty() {
            return Ok(());
        }
        write!(f, ":{}", self.options.join(","))
    }
}

impl Serialize for Tmpfs {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Tmpfs {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        text::parsed(input, "a memory file system like \"/path:size=64m\"")
    }
}

fn mode<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u32>, D::Error> {
    text::number_or_text(
        input,
        "permissions as a number, or as octal text like \"1777\"",
        |number| u32::try_from(number).ok(),
        |text| u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8).ok(),
    )
    .map(Some)
}
