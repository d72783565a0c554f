//! Who a runtime is for its orchestrator, and what it says of itself when it registers.

use serde_json::{json, Map, Value};

use super::dialect::Dialect;

/// A runtime.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Identity {
    /// What it speaks.
    pub dialect: Dialect,
    /// Its uuid; any text.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// What kind of runtime it is.
    pub runtime_type: String,
    /// How many modules it takes at a time; 0 = any number.
    pub max_nmodules: usize,
    /// What its modules may use.
    pub apis: Vec<String>,
    /// What begins all topics.
    pub realm: String,
    /// The namespace that it registers in; the application launcher's alone.
    pub namespace: String,
    /// Free words; not in the oldest dialect.
    pub tags: Vec<Value>,
    /// Whether it runs the orchestrator's own modules; not in the oldest dialect.
    pub is_orchestration_runtime: bool,
    /// What the machine is; the runtime manager's alone.
    pub platform: Option<Value>,
    /// What else is known of the machine; the runtime manager's alone.
    pub metadata: Option<Value>,
    /// The uuid of its manager, where it has one.
    pub parent: Option<String>,
    /// The `type` of its own requests, where it is not the dialect's.
    pub request_type: Option<String>,
    /// The `type` of its own answers, where it is not the dialect's.
    pub answer_type: Option<String>,
}

impl Identity {
    /// Whether `parent`, a module's, means this runtime.
    pub fn is_called(&self, parent: &str) -> bool {
        parent == self.uuid || parent == self.name
    }

    /// The `type` of its own requests.
    pub fn own_request(&self) -> &str {
        let own = self.request_type.as_deref();
        own.unwrap_or(self.dialect.words().own_request)
    }

    /// The `type` of its own answers; nothing where it gives none.
    pub fn own_answer(&self) -> Option<&str> {
        let usual = self.dialect.words().own_answer?;
        Some(self.answer_type.as_deref().unwrap_or(usual))
    }

    /// What it says when it registers.
    pub fn registration(&self) -> Map<String, Value> {
        let mut data = Map::new();
        let mut put = |key: &str, value: Value| data.insert(key.to_owned(), value);
        put("type", json!("runtime"));
        put("uuid", json!(self.uuid));
        put("name", json!(self.name));
        put("runtime_type", json!(self.runtime_type));
        put("max_nmodules", json!(self.max_nmodules));
        put("apis", json!(self.apis));
        match self.dialect {
            Dialect::Sideload => {}
            Dialect::G2 | Dialect::AppLauncher => {
                put(
                    "is_orchestration_runtime",
                    json!(self.is_orchestration_runtime),
                );
                put("tags", json!(self.tags));
            }
            Dialect::Manager => {
                let more = [
                    ("platform", self.platform.clone()),
                    ("metadata", self.metadata.clone()),
                    ("parent", self.parent.clone().map(Value::from)),
                ];
                for (key, value) in more {
                    if let Some(value) = value {
                        put(key, value);
                    }
                }
            }
        }
        data
    }

    /// What it says when it goes.
    pub fn unregistration(&self) -> Map<String, Value> {
        self.registration_but(&["type", "uuid", "name"])
    }

    /// What a keepalive says of it.
    pub fn keepalive(&self) -> Map<String, Value> {
        self.registration_but(&["type", "uuid", "name", "apis"])
    }

    /// The registration; of the runtime manager's only `members`, because it is the one dialect that
    /// says less there.
    fn registration_but(&self, members: &[&str]) -> Map<String, Value> {
        let mut data = self.registration();
        if self.dialect == Dialect::Manager {
            data.retain(|key, _| members.contains(&key.as_str()));
        }
        data
    }
}
