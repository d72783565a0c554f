//! Messages that come in, turned into what they ask for. Pure.

use serde_json::{Map, Value};

use super::dialect::Dialect;
use super::envelope::{self, Envelope, Unreadable};
use super::identity::Identity;
use super::topics::{self, Topics};

/// The longest uuid of a module, in bytes: it is a label, a level of topics, and part of names.
const MAX_UUID: usize = 256;

/// What a message asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// A module is to run.
    Create(Box<Create>),
    /// A module is to end.
    Delete(Delete),
    /// Somebody answers a request.
    Answer(Answer),
    /// Nothing that concerns this runtime.
    Ignore,
    /// Nothing that can be done.
    Problem(Problem),
}

/// A module that is to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Create {
    /// The request's number.
    pub object_id: String,
    /// The module's uuid.
    pub uuid: String,
    /// The module's name.
    pub name: String,
    /// Its program's file, as the request says it.
    pub file: String,
    /// The folder of the file, where that is said apart.
    pub location: Option<String>,
    /// What kind of program it is, where that is said.
    pub filetype: Option<String>,
    /// Its scene, with the namespace in front.
    pub scene: String,
    /// All that the request says, with the runtime's uuid as `parent`.
    pub data: Map<String, Value>,
}

/// A module that is to end.
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    /// The request's number.
    pub object_id: String,
    /// The module's uuid, or its name.
    pub module: String,
    /// Whether it was asked of this runtime and no other.
    pub is_ours: bool,
    /// All that the request says.
    pub data: Map<String, Value>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The number of the request.
    pub object_id: String,
    /// Whether the answer is yes.
    pub is_ok: bool,
    /// What it says besides.
    pub details: Map<String, Value>,
}

/// Why a request can't be carried out, in the words of this field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, by name.
    pub desc: String,
    /// With what.
    pub data: String,
}

impl Problem {
    /// A problem of the runtime with a request.
    pub fn new(name: &str, data: impl Into<String>) -> Problem {
        Problem {
            desc: format!("Runtime exception: {name}"),
            data: data.into(),
        }
    }

    /// The payload is no JSON object.
    pub fn invalid_json(data: impl Into<String>) -> Problem {
        Problem {
            desc: "Invalid JSON".to_owned(),
            data: data.into(),
        }
    }
}

/// Reads what has come on `topic`.
pub fn read(identity: &Identity, topics: &Topics, topic: &str, payload: &[u8]) -> Incoming {
    let is_shared = !is_addressed(identity, topics, topic);
    let envelope = match envelope::decode(payload) {
        Ok(envelope) => envelope,
        // What others say on a topic of all is not for this runtime to judge.
        Err(Unreadable::NoObject(shown)) if !is_shared => {
            return Incoming::Problem(Problem::invalid_json(shown));
        }
        Err(Unreadable::NoObject(_) | Unreadable::Empty) => return Incoming::Ignore,
    };
    if envelope.from.as_deref() == Some(&identity.uuid) {
        return Incoming::Ignore;
    }
    let words = identity.dialect.words();
    let kind = envelope.kind.as_deref().unwrap_or_default();
    if kind == words.answer {
        return answer(envelope);
    }
    let is_request = kind == words.request;
    let is_own = [identity.own_answer(), Some(identity.own_request())].contains(&Some(kind));
    if (is_own && !is_request) || topics.registration == topic {
        // A registration or a confirmation, of this runtime or of another one.
        return Incoming::Ignore;
    }
    let request = Request {
        identity,
        is_shared,
        envelope,
    };
    match request.read(is_request) {
        Ok(incoming) => incoming,
        Err(problem) => Incoming::Problem(problem),
    }
}

/// Whether what comes on `topic` is for this runtime and no other: the topic is its own, or names it.
fn is_addressed(identity: &Identity, topics: &Topics, topic: &str) -> bool {
    let filters = topics.requests.iter();
    let mut own = filters.filter(|filter| !topics.shared_requests.contains(filter));
    own.any(|filter| topics::matches(filter, topic))
        || (!topics.shared_requests.iter().any(|filter| filter == topic)
            && topic.split('/').any(|level| level == identity.uuid))
}

fn answer(mut envelope: Envelope) -> Incoming {
    let Some(object_id) = envelope.object_id else {
        return Incoming::Ignore;
    };
    Incoming::Answer(Answer {
        object_id,
        is_ok: envelope.data.get("result") == Some(&Value::from("ok")),
        details: match envelope.data.remove("details") {
            Some(Value::Object(details)) => details,
            _ => Map::new(),
        },
    })
}

struct Request<'a> {
    identity: &'a Identity,
    /// Whether other runtimes get it too.
    is_shared: bool,
    envelope: Envelope,
}

impl Request<'_> {
    fn read(mut self, is_request: bool) -> Result<Incoming, Problem> {
        // Absent and null are the same.
        self.envelope.data.retain(|_, value| !value.is_null());
        let parent = self.text("parent");
        let is_ours = match &parent {
            Ok(Some(parent)) => self.identity.is_called(parent),
            Ok(None) | Err(_) => !self.is_shared,
        };
        // The filter of requests is one for all runtimes. Answering an error to what is meant for
        // another one, as its program does, would be an error from everybody for each module.
        if self.is_shared && !is_ours && (parent != Ok(None) || !self.is_create()) {
            return Ok(match self.is_delete() && parent == Ok(None) {
                true => self.delete(false).unwrap_or(Incoming::Ignore),
                false => Incoming::Ignore,
            });
        }
        if !is_request {
            let kind = self.envelope.kind.clone().unwrap_or_default();
            return Err(Problem::new("invalid type", kind));
        }
        match self.envelope.action.as_deref() {
            Some("create") => self.create(parent?),
            Some("delete") => self.delete(true),
            // That is how this runtime, or one before it, says that a module has ended.
            Some("exited") if self.identity.dialect == Dialect::Manager => Ok(Incoming::Ignore),
            other => Err(Problem::new("invalid action", other.unwrap_or_default())),
        }
    }

    fn is_create(&self) -> bool {
        self.envelope.action.as_deref() == Some("create")
    }

    fn is_delete(&self) -> bool {
        self.envelope.action.as_deref() == Some("delete")
    }

    fn create(mut self, parent: Option<String>) -> Result<Incoming, Problem> {
        match parent {
            Some(parent) if self.identity.is_called(&parent) => {}
            Some(_) => {
                let problem = "Parent does not match this runtime";
                return Err(Problem::new("invalid parent", problem));
            }
            // What came on the runtime's own topic from its orchestrator is the runtime's.
            None if self.identity.dialect == Dialect::Manager => {}
            None => return Err(Problem::new("missing field", "parent")),
        }
        let uuid = self.uuid()?;
        let name = match self.text("name")? {
            Some(name) => name,
            None if self.identity.dialect == Dialect::Manager => uuid.clone(),
            None => return Err(Problem::new("missing field", "name")),
        };
        let key = self.identity.dialect.words().file;
        let file = match self.text(key)? {
            Some(file) => Some(file),
            // The other generations' name of it.
            None => self.text("file")?.or(self.text("filename")?),
        };
        let file = file.ok_or_else(|| Problem::new("missing field", key))?;
        let parent = Value::from(self.identity.uuid.clone());
        self.envelope.data.insert("parent".to_owned(), parent);
        self.text("scene")?;
        let scene = scene(&self.envelope.data);
        if !topics::is_levels(&scene) {
            return Err(Problem::new("invalid scene", scene));
        }
        Ok(Incoming::Create(Box::new(Create {
            location: self.text("location")?,
            filetype: self.text("filetype")?,
            object_id: self.envelope.object_id.take().unwrap_or_default(),
            data: self.envelope.data,
            uuid,
            name,
            file,
            scene,
        })))
    }

    fn delete(mut self, is_ours: bool) -> Result<Incoming, Problem> {
        let module = self.uuid()?;
        let parent = Value::from(self.identity.uuid.clone());
        if self.envelope.data.contains_key("parent") {
            self.envelope.data.insert("parent".to_owned(), parent);
        }
        Ok(Incoming::Delete(Delete {
            object_id: self.envelope.object_id.take().unwrap_or_default(),
            data: self.envelope.data,
            module,
            is_ours,
        }))
    }

    fn uuid(&self) -> Result<String, Problem> {
        let uuid = self.text("uuid")?.filter(|uuid| !uuid.is_empty());
        let uuid = uuid.ok_or_else(|| Problem::new("invalid uuid", "Module UUID is required"))?;
        if uuid.len() > MAX_UUID || !topics::is_level(&uuid) {
            let shown: String = uuid.chars().take(MAX_UUID).collect();
            let problem = format!(
                "{shown:?} must be at most {MAX_UUID} bytes without '/', '+', '#' and control characters"
            );
            return Err(Problem::new("invalid uuid", problem));
        }
        Ok(uuid)
    }

    fn text(&self, key: &str) -> Result<Option<String>, Problem> {
        match self.envelope.data.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Problem::new(&format!("invalid {key}"), "it must be text")),
        }
    }
}

/// The scene of a module, with the namespace in front.
fn scene(data: &Map<String, Value>) -> String {
    let scene = data.get("scene").and_then(Value::as_str);
    if let Some(scene) = scene.filter(|scene| !scene.is_empty()) {
        // Also where there is a namespace already; the programs of this field do so, though their
        // documents say otherwise, and it is they who listen.
        return format!("public/{scene}");
    }
    let variable = |name: &str| match data.get("env") {
        Some(Value::Object(variables)) => variables.get(name)?.as_str().map(str::to_owned),
        Some(Value::Array(variables)) => {
            let mut texts = variables.iter().filter_map(Value::as_str);
            texts.find_map(|text| Some(text.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
        }
        _ => None,
    };
    let or = |name, default: &str| variable(name).unwrap_or_else(|| default.to_owned());
    format!("{}/{}", or("NAMESPACE", "public"), or("SCENE", "default"))
}

#[cfg(test)]
mod tests;
