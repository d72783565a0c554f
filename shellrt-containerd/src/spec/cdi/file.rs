//! A file of the Container Device Interface, versions 0.3 to 1.1, in JSON or YAML.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// A file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Description {
    /// The specification's version; what is new in a version can be told by its fields.
    #[serde(rename = "cdiVersion")]
    _version: String,
    /// `vendor.com/class`.
    pub(super) kind: String,
    /// For people.
    #[serde(default, rename = "annotations")]
    _annotations: Option<Value>,
    /// Its devices.
    pub(super) devices: Vec<Described>,
    /// What all of its devices need.
    #[serde(default)]
    pub(super) container_edits: Edits,
}

/// A device.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Described {
    /// Its name among those of the file's kind.
    pub(super) name: String,
    /// For people.
    #[serde(default, rename = "annotations")]
    _annotations: Option<Value>,
    /// What it needs.
    pub(super) container_edits: Edits,
}

/// What a container needs.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Edits {
    /// Variables as `NAME=value`.
    pub(super) env: Vec<String>,
    /// Nodes.
    pub(super) device_nodes: Vec<Node>,
    /// Mounts.
    pub(super) mounts: Vec<Mounted>,
    /// Programs that are run beside the container.
    pub(super) hooks: Vec<Run>,
    /// More groups of the program.
    pub(super) additional_gids: Vec<u32>,
    /// Not given here.
    pub(super) intel_rdt: Option<Value>,
    /// Not given here.
    pub(super) net_devices: Option<Value>,
}

/// A node.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Node {
    /// Where in the container.
    pub(super) path: String,
    /// Where on the machine, where that is elsewhere.
    pub(super) host_path: Option<String>,
    /// `b`, `c` or `u`, where it is not that of the machine's node.
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    /// The numbers, where they are not those of the machine's node.
    pub(super) major: Option<i64>,
    /// See `major`.
    pub(super) minor: Option<i64>,
    /// Who may use it.
    pub(super) file_mode: Option<u32>,
    /// Letters of `rwm`.
    pub(super) permissions: Option<String>,
    /// Its owner.
    pub(super) uid: Option<u32>,
    /// Its group.
    pub(super) gid: Option<u32>,
}

/// A mount.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Mounted {
    /// What is mounted.
    pub(super) host_path: String,
    /// Where in the container.
    pub(super) container_path: String,
    /// As for mount(8).
    #[serde(default)]
    pub(super) options: Vec<String>,
    /// The file system; a bind mount where nothing is said.
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
}

/// A program.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Run {
    /// When it is run.
    pub(super) hook_name: String,
    /// Its path.
    pub(super) path: String,
    /// Its arguments, with its name as the first.
    #[serde(default)]
    pub(super) args: Vec<String>,
    /// Its environment.
    #[serde(default)]
    pub(super) env: Vec<String>,
    /// How many seconds it may take.
    pub(super) timeout: Option<i64>,
}

/// The files in a directory, sorted; none where there is no such directory.
pub(super) fn paths(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let is_meant = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("json" | "yaml" | "yml"))
    };
    let mut paths: Vec<PathBuf> = paths.filter(is_meant).collect();
    paths.sort();
    paths
}

/// Reads a file; or says why that can't be done.
pub(super) fn read(path: &Path) -> Result<Description, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    match path
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        true => serde_json::from_str(&text).map_err(|error| error.to_string()),
        false => serde_saphyr::from_str(&text).map_err(|error| error.to_string()),
    }
}
