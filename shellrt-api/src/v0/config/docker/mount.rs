//! The long form of docker's mounts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Mount {
    /// `bind`, `volume` or `tmpfs`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub r#type: String,
    /// A path on the machine, or a volume's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Where it is in the container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Whether the container may only read it.
    #[serde(skip_serializing_if = "super::super::super::is_false")]
    pub read_only: bool,
    /// More for `bind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    /// More for `volume`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    /// More for `tmpfs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// More for `bind`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BindOptions {
    /// Whether later mounts are seen on the other side; mount(8)'s words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub propagation: String,
    /// Whether a missing source is made.
    #[serde(skip_serializing_if = "super::super::super::is_false")]
    pub create_mountpoint: bool,
    /// Whether it is an error where what is mounted below can't be made read-only too; here it is
    /// always.
    #[serde(skip_serializing_if = "super::super::super::is_false")]
    pub read_only_force_recursive: bool,
}

/// More for `volume`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeOptions {
    /// Whether a new volume stays empty.
    #[serde(skip_serializing_if = "super::super::super::is_false")]
    pub no_copy: bool,
    /// What keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<DriverConfig>,
}

/// What keeps a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DriverConfig {
    /// Its name; there is `local`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its options; there are none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// More for `tmpfs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TmpfsOptions {
    /// What it may grow to, in bytes; 0 for half of the memory.
    #[serde(skip_serializing_if = "super::is_default")]
    pub size_bytes: u64,
    /// The permissions of its root, as a number: 448 is octal 0700. 0 for octal 1777.
    #[serde(skip_serializing_if = "super::is_default")]
    pub mode: u32,
}
