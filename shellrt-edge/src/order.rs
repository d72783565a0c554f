//! What a link wants to have run, and how it ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{json, Map, Value};
use sha2::{Digest, Sha256};
use shellrt_api::v0::logs::Stream;
use shellrt_api::v0::{create, img_pull, status};

use crate::policy::IdleRule;

/// The label that says whose module it is: the link and its runtime, as in `silverline/9c02...`.
pub const OWNER: &str = "io.shellrt.edge.owner";

/// The label with the link's own id of the module.
pub const ID: &str = "io.shellrt.edge.id";

/// The longest id, in bytes, so that it fits into a label.
pub const MAX_ID: usize = 1024;

/// The longest id that is used as the module's name as it is, in bytes.
const MAX_NAME: usize = 76;

/// A module that a link wants to have run.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// The link's own id of it: any text of 1 to [`MAX_ID`] bytes.
    pub id: String,
    /// What is run.
    pub spec: Spec,
    /// How it is handled.
    pub handling: Handling,
    /// What the link wants to know of it again after the daemon was started anew. No secrets: it is
    /// written to the state directory.
    pub note: Value,
}

/// What is run.
#[derive(Clone, Default, PartialEq)]
pub struct Spec {
    /// The name of the plugin in the settings.
    pub plugin: String,
    /// The `config_type` of the config.
    pub config_type: String,
    /// The config, an object, without `labels`.
    pub config: Map<String, Value>,
    /// The module's environment.
    pub env: BTreeMap<String, String>,
    /// The image to pull where the machine does not have it, and its platform and credentials.
    pub image: img_pull::Request,
    /// Whether the image goes when the module has gone: it was made for this module.
    pub remove_image: bool,
}

/// Configs and environments often carry passwords, so only their names are printed.
impl std::fmt::Debug for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spec")
            .field("plugin", &self.plugin)
            .field("config_type", &self.config_type)
            .field("env", &self.env.keys())
            .field("image", &self.image.image)
            .finish_non_exhaustive()
    }
}

/// How a module is handled while it runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Handling {
    /// Which streams of its log go to the link.
    pub streams: Vec<Stream>,
    /// Whether pieces of output end where a character of UTF-8 ends.
    pub text: bool,
    /// The longest piece of output, in bytes; 0 = as it comes.
    pub piece: usize,
    /// How much output may go to the link, in bytes per second; 0 = no limit. What is more waits in the
    /// module's log.
    pub rate: u64,
    /// Whether the link talks to it by its stdin and stdout, from before it is started.
    pub attach: bool,
    /// How long it may take to end by itself when it is stopped, in seconds. Default: the module's own.
    pub stop_timeout: Option<i64>,
    /// How long it may run before it is stopped, in seconds since its last start. Default without end.
    pub longest_run_sec: Option<f64>,
    /// When it counts as idle and is stopped. Default never.
    pub idle: Option<IdleRule>,
}

/// How a module ended.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// What its plugin says; nothing where it was never created or somebody else has removed it.
    pub status: Option<status::Response>,
    /// Why.
    pub reason: Reason,
}

/// Why a module ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// By itself.
    Itself,
    /// The link has deleted it; with the link's note of that.
    Deleted(Value),
    /// It was idle, or ran, for longer than its handling allows.
    Idle,
    /// The daemon is ending and takes its modules along.
    Shutdown,
}

/// Why a module could not be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In which step.
    pub step: Step,
    /// Why, in words, on one line.
    pub message: String,
}

/// The steps of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The link's own preparations, its program's files for example.
    Prepare,
    /// Pulling its image.
    Pull,
    /// Creating it.
    Create,
    /// Starting it.
    Start,
}

impl Order {
    /// Its name for plugins: its id where that can be one, so that people find it; else a digest of it.
    pub fn name(&self) -> String {
        name_of(&self.id)
    }

    /// The message that creates it, with the labels by which it is found again.
    pub fn create(&self, owner: &str) -> create::Request {
        let mut config = self.spec.config.clone();
        let labels = json!({OWNER: owner, ID: self.id});
        config.insert("labels".to_owned(), labels);
        create::Request {
            name: self.name(),
            env: self.spec.env.clone(),
            config_type: self.spec.config_type.clone(),
            config: Value::Object(config),
        }
    }
}

/// The name of the module `id` for plugins.
pub fn name_of(id: &str) -> String {
    let is_separator = |byte: u8| matches!(byte, b'.' | b'_' | b'-');
    let bytes = id.as_bytes();
    let is_name = !bytes.is_empty()
        && bytes.len() <= MAX_NAME
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || is_separator(*byte))
        && !bytes.first().copied().is_some_and(is_separator)
        && !bytes.last().copied().is_some_and(is_separator)
        && !bytes
            .windows(2)
            .any(|pair| is_separator(pair[0]) && is_separator(pair[1]));
    if is_name {
        return id.to_owned();
    }
    let digest = Sha256::digest(id.as_bytes());
    let digits: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("id-{digits}")
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn an_id_that_can_be_a_name_is_one() {
        for id in ["m-1", "77aa3b1e-4c59-4b3e-8a0e-7c1d2f3a4b5c", "a", "a.b_c"] {
            assert_eq!(name_of(id), id);
        }
    }

    #[test]
    fn any_other_gets_a_name_of_its_own() {
        let ids = [
            "",
            "../x",
            "-a",
            "a-",
            "a--b",
            "ä",
            "a b",
            "a/b",
            &"a".repeat(77),
        ];
        let names: std::collections::BTreeSet<String> = ids.iter().map(|id| name_of(id)).collect();
        assert_eq!(names.len(), ids.len());
        for name in names {
            assert!(name.starts_with("id-") && name.len() == 35, "{name}");
        }
    }
}
