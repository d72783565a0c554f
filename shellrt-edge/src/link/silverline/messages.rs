//! Messages that go out. Pure: a number in, a topic and a payload out.

use bytes::Bytes;
use serde_json::{json, Map, Value};

use super::dialect::Dialect;
use super::identity::Identity;
use super::incoming::Problem;
use super::topics::{Place, Topics};

/// What is published.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// To whom.
    pub topic: String,
    /// What.
    pub body: Value,
}

impl Message {
    /// As it goes over the wire.
    pub fn payload(&self) -> Bytes {
        Bytes::from(self.body.to_string())
    }
}

/// What a module is called in reports about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Module<'a> {
    /// Where it is.
    pub place: Place<'a>,
    /// Its name.
    pub name: &'a str,
}

/// Writes messages in the name of a runtime.
#[derive(Debug, Clone)]
pub struct Messages {
    identity: Identity,
    topics: Topics,
}

impl Messages {
    /// In the name of `identity`.
    pub fn new(identity: Identity, topics: Topics) -> Messages {
        Messages { identity, topics }
    }

    /// Who speaks.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// To where.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The runtime is here.
    pub fn register(&self, object_id: &str) -> Message {
        let data = self.identity.registration();
        self.request(&self.topics.registration, object_id, "create", data)
    }

    /// The runtime goes, also by its last will.
    pub fn unregister(&self, object_id: &str) -> Message {
        let data = self.identity.unregistration();
        self.request(&self.topics.registration, object_id, "delete", data)
    }

    /// The runtime and its modules are alive.
    pub fn keepalive(&self, object_id: &str, children: Vec<Value>) -> Message {
        let mut data = self.identity.keepalive();
        data.insert("children".to_owned(), Value::from(children));
        self.request(&self.topics.keepalive, object_id, "update", data)
    }

    /// The answer yes to a request for a module; nothing where the dialect has no such answers.
    pub fn confirm(
        &self,
        place: Place<'_>,
        object_id: &str,
        action: &str,
        data: Map<String, Value>,
    ) -> Option<Message> {
        self.answer(place, object_id, action, "ok", data)
    }

    /// The answer no, with the problem among the details.
    pub fn refuse(
        &self,
        place: Place<'_>,
        object_id: &str,
        action: &str,
        mut data: Map<String, Value>,
        problem: &Problem,
    ) -> Option<Message> {
        data.insert("desc".to_owned(), json!(problem.desc));
        data.insert("data".to_owned(), json!(problem.data));
        self.answer(place, object_id, action, "error", data)
    }

    /// A module has ended. `exit_code` is its own, where it is known and not 0.
    pub fn ended(&self, object_id: &str, module: Module<'_>, exit_code: Option<i64>) -> Message {
        let mut data = Map::new();
        let mut put = |key: &str, value: Value| data.insert(key.to_owned(), value);
        put("type", json!("module"));
        put("uuid", json!(module.place.uuid));
        match self.identity.dialect {
            Dialect::Manager => {
                put("status", json!("exited"));
                // Whatever else a runtime says of an end may stand here.
                if let Some(exit_code) = exit_code {
                    put("exit_code", json!(exit_code));
                }
            }
            Dialect::Sideload | Dialect::G2 | Dialect::AppLauncher => {
                put("name", json!(module.name));
                put("parent", json!(self.identity.uuid));
            }
        }
        let action = self.identity.dialect.words().end;
        let topic = self.topics.module(module.place);
        self.request(&topic, object_id, action, data)
    }

    /// A module that never ran will not run; only for a dialect without answers, whose orchestrator
    /// counts it as running until its end is reported.
    pub fn never_ran(
        &self,
        object_id: &str,
        place: Place<'_>,
        problem: &Problem,
    ) -> Option<Message> {
        if self.identity.own_answer().is_some() {
            return None;
        }
        let mut message = self.ended(object_id, Module { place, name: "" }, None);
        message.body["data"]["desc"] = json!(problem.desc);
        message.body["data"]["data"] = json!(problem.data);
        Some(message)
    }

    /// An error; nothing where the dialect has no place for it. It has no envelope.
    pub fn error(&self, problem: &Problem) -> Option<Message> {
        Some(Message {
            topic: self.topics.errors.clone()?,
            body: json!({"desc": problem.desc, "data": problem.data}),
        })
    }

    fn request(
        &self,
        topic: &str,
        object_id: &str,
        action: &str,
        data: Map<String, Value>,
    ) -> Message {
        let kind = self.identity.own_request();
        self.message(topic, object_id, action, kind, data)
    }

    fn answer(
        &self,
        place: Place<'_>,
        object_id: &str,
        action: &str,
        result: &str,
        details: Map<String, Value>,
    ) -> Option<Message> {
        let kind = self.identity.own_answer()?;
        let mut data = Map::new();
        data.insert("result".to_owned(), json!(result));
        data.insert("details".to_owned(), Value::Object(details));
        let topic = self.topics.module(place);
        Some(self.message(&topic, object_id, action, kind, data))
    }

    fn message(
        &self,
        topic: &str,
        object_id: &str,
        action: &str,
        kind: &str,
        data: Map<String, Value>,
    ) -> Message {
        let mut body =
            json!({"object_id": object_id, "action": action, "type": kind, "data": data});
        if self.identity.dialect.words().signs {
            body["from"] = json!(self.identity.uuid);
        }
        Message {
            topic: topic.to_owned(),
            body,
        }
    }
}

#[cfg(test)]
mod tests;
