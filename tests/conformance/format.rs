//! What stands in a case (`cases/<message>/<what>.json`). A key that is not known here is an error.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{bail, ensure, Context};
use serde::Deserialize;
use serde_json::{json, Map, Value};

/// Every message of the protocol.
pub const MESSAGES: [&str; 20] = [
    "attach",
    "create",
    "events",
    "exec",
    "health",
    "img_list",
    "img_pull",
    "img_remove",
    "list",
    "logs",
    "prune",
    "remove",
    "restart",
    "start",
    "status",
    "stop",
    "sys_info",
    "top",
    "version",
    "wait",
];

/// One thing that must hold, and how to see it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What must hold, in one sentence.
    pub about: String,
    /// What there is before the first step.
    #[serde(default)]
    pub given: Given,
    /// Which of the plugin's programs `${image}` and `${config}` stand for.
    pub program: Option<String>,
    /// Only for programs of this config type; for all others with a `!` before it.
    pub config_type: Option<String>,
    /// The case is about something that v0 does not have.
    #[serde(default)]
    pub addition: bool,
    /// Only for plugins that pull images.
    #[serde(default)]
    pub images: bool,
    /// Files in `${files}`: bytes by name.
    #[serde(default)]
    pub files: BTreeMap<String, Value>,
    /// The steps as they stand in the file; see [`Step`].
    pub steps: Vec<Value>,
}

/// What there is before the first step of a case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Given {
    /// Nothing.
    #[default]
    Nothing,
    /// The image `${image}`, pulled.
    Image,
    /// A module `${module}` from it that was never started.
    Created,
    /// The same, running.
    Running,
    /// The same, started and ended by itself.
    Exited,
}

/// One step of a case; the key that it has says which.
#[derive(Debug)]
pub enum Step {
    Send(Box<Send>),
    Await(Await),
    Feed(Feed),
    CloseStdin(CloseStdin),
    Finish(Box<Finish>),
    HangUp(HangUp),
    StateLacks(StateLacks),
}

/// Starts the plugin and sends it a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Send {
    /// An object, or bytes.
    pub send: Value,
    /// More bytes after the object.
    pub stdin: Option<Value>,
    /// Leave stdin open: the answer must come all the same.
    #[serde(default)]
    pub hold_stdin: bool,
    /// Go on with the next step at once; the name is for the steps that follow it up.
    pub background: Option<String>,
    /// So many of the same request at the same time; `${n}` is 0, 1, 2, ...
    pub parallel: Option<usize>,
    /// Ask again until the expectation holds or the deadline is over.
    #[serde(default)]
    pub until: bool,
    /// Environment variables for this process; null removes one.
    #[serde(default)]
    pub environment: BTreeMap<String, Option<String>>,
    /// How many seconds the step may take.
    pub deadline: Option<f64>,
    /// What must hold; with `parallel` an array of alternatives with `times`.
    pub expect: Option<Value>,
    /// Values of the response that later steps use: `{"started": "/started_at"}` makes
    /// `${started}`.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
}

/// Waits for output of a step in the background.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Await {
    #[serde(rename = "await")]
    pub id: String,
    /// Bytes that the stream must have; without them: the response object and its NUL.
    pub has: Option<Value>,
    pub deadline: Option<f64>,
}

/// Writes to the stdin of a step in the background that has `hold_stdin`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    #[serde(rename = "feed")]
    pub id: String,
    pub bytes: Value,
}

/// Closes the stdin of a step in the background that has `hold_stdin`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseStdin {
    #[serde(rename = "close_stdin")]
    pub id: String,
}

/// Waits for the end of a step in the background, and checks its answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    #[serde(rename = "finish")]
    pub id: String,
    pub expect: Option<Value>,
    pub deadline: Option<f64>,
    #[serde(default)]
    pub save: BTreeMap<String, String>,
}

/// Closes the reading end of a step in the background: the plugin must end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HangUp {
    #[serde(rename = "hang_up")]
    pub id: String,
    pub deadline: Option<f64>,
}

/// No file of the state directory has any of these in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateLacks {
    pub state_lacks: Vec<String>,
}

/// What must hold for an answer, beside what must hold for every answer.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// `ok` (the default without `code`) or `err`.
    pub status: Option<String>,
    /// The error's code, or several that will do.
    pub code: Option<OneOrMany>,
    /// The answer's `_version`; default: the request's where it can be read, else 0.1.0.
    pub version: Option<String>,
    /// Fields of the response.
    #[serde(default)]
    pub fields: Map<String, Value>,
    /// Fields of an error's `detail`.
    #[serde(default)]
    pub detail: Map<String, Value>,
    /// All the response's fields, no more and no fewer.
    pub exact: Option<Vec<String>>,
    /// Fields that the response must not have.
    #[serde(default)]
    pub absent: Vec<String>,
    /// The bytes after the NUL.
    pub stream: Option<Value>,
    /// The exit status; default 0 for ok, 1 for an error.
    pub exit: Option<i32>,
    #[serde(default)]
    pub stdout_lacks: Vec<String>,
    #[serde(default)]
    pub stderr_lacks: Vec<String>,
    /// The answer must not come before so many seconds.
    pub not_before: Option<f64>,
    /// With `parallel`: how many answers are so.
    pub times: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(i64),
    Many(Vec<i64>),
}

impl OneOrMany {
    pub fn contains(&self, code: i64) -> bool {
        match self {
            OneOrMany::One(one) => *one == code,
            OneOrMany::Many(many) => many.contains(&code),
        }
    }
}

impl Case {
    /// Reads a case and checks that its steps can be read.
    pub fn read(path: &Path) -> anyhow::Result<Case> {
        let case: Case = read(path)?;
        ensure!(
            !case.about.trim().is_empty(),
            "{}: \"about\" is empty",
            path.display()
        );
        ensure!(
            !case.steps.is_empty(),
            "{}: there are no steps",
            path.display()
        );
        for (number, step) in case.steps.iter().enumerate() {
            let place = || format!("{}, step {}", path.display(), number + 1);
            let step = Step::read(step).with_context(place)?;
            step.expectations().with_context(place)?;
        }
        Ok(case)
    }

    /// What must hold for a plugin that does not serve `message`.
    pub fn unsupported(message: &str) -> Case {
        Case {
            about: format!("{message:?} is not served, and the plugin says so"),
            given: Given::Nothing,
            program: None,
            config_type: None,
            addition: false,
            images: false,
            files: BTreeMap::new(),
            steps: vec![json!({"send": {"_type": message}, "expect": {"code": 3}})],
        }
    }

    /// The kind of program that the case is about.
    pub fn program(&self) -> &str {
        match (&self.program, self.given) {
            (Some(program), _) => program,
            (None, Given::Exited) => "exit_0",
            (None, _) => "forever",
        }
    }

    /// The messages that the steps send.
    pub fn sends(&self) -> impl Iterator<Item = &str> {
        self.steps
            .iter()
            .filter_map(|step| step.get("send")?.get("_type")?.as_str())
    }
}

impl Step {
    /// Reads a step: the key that it has says which.
    pub fn read(value: &Value) -> anyhow::Result<Step> {
        let object = value.as_object().context("a step is an object")?;
        let has = |key: &str| object.contains_key(key);
        let value = value.clone();
        Ok(if has("send") {
            Step::Send(serde_json::from_value(value)?)
        } else if has("await") {
            Step::Await(serde_json::from_value(value)?)
        } else if has("feed") {
            Step::Feed(serde_json::from_value(value)?)
        } else if has("close_stdin") {
            Step::CloseStdin(serde_json::from_value(value)?)
        } else if has("finish") {
            Step::Finish(serde_json::from_value(value)?)
        } else if has("hang_up") {
            Step::HangUp(serde_json::from_value(value)?)
        } else if has("state_lacks") {
            Step::StateLacks(serde_json::from_value(value)?)
        } else {
            bail!(
                "none of send, await, feed, close_stdin, finish, hang_up and state_lacks is there"
            )
        })
    }

    /// What must hold for the answer or answers of this step.
    pub fn expectations(&self) -> anyhow::Result<Vec<Expect>> {
        let (expect, several) = match self {
            Step::Send(send) => (&send.expect, send.parallel.is_some()),
            Step::Finish(finish) => (&finish.expect, false),
            _ => return Ok(Vec::new()),
        };
        Ok(match expect {
            None => vec![Expect::default()],
            Some(Value::Array(all)) if several => all
                .iter()
                .map(|one| serde_json::from_value(one.clone()))
                .collect::<Result<_, _>>()?,
            Some(one) => vec![serde_json::from_value(one.clone())?],
        })
    }
}

/// Reads a JSON file.
pub fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read(path).with_context(|| format!("{}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{}", path.display()))
}
