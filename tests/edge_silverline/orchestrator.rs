//! What the fleet's orchestrator sends, as orchestrators were seen to write it.

use serde_json::{json, Value};
use tests::broker::Message;

use super::fleet::{Fleet, RT};

impl Fleet {
    /// Waits for the next registration and answers it. Answers the registration.
    pub fn register(&mut self, details: Value) -> Value {
        let topic = self.registration_topic();
        let is_one =
            |message: &&Message| message.topic == topic && message.json()["action"] == "create";
        let number = self.registrations;
        let registration = self.heard.wait("a registration", |messages| {
            messages
                .iter()
                .filter(is_one)
                .nth(number)
                .map(Message::json)
        });
        self.registrations += 1;
        let answer = match self.dialect {
            "sideload" => "arts_resp",
            _ => "resp",
        };
        // Without an action, as the orchestrator of 2023 answers.
        let answer = json!({"object_id": registration["object_id"], "type": answer,
            "data": {"result": "ok", "details": details}});
        self.broker.publish(topic, answer.to_string());
        registration
    }

    pub fn registration_topic(&self) -> &'static str {
        match self.dialect {
            "sideload" => "realm/proc/reg",
            "applauncher" => "realm/g/public/p/RT",
            _ => "realm/proc/reg/RT",
        }
    }

    /// Where requests go.
    pub fn control(&self) -> &'static str {
        match self.dialect {
            "applauncher" => "realm/s/public/default/p/RT/x",
            _ => "realm/proc/control/RT",
        }
    }

    fn request_type(&self) -> &'static str {
        match self.dialect {
            "sideload" => "arts_req",
            _ => "req",
        }
    }

    /// A request for a module that runs a guest, as the dialect's orchestrator writes it.
    pub fn request(&self, object_id: &str, uuid: &str, guest: &str) -> Value {
        let file = self.file(guest);
        let filetype = if file.ends_with(".py") { "PY" } else { "WA" };
        let data = match self.dialect {
            "manager" => {
                json!({"type": "module", "index": 12, "uuid": uuid, "name": format!("name-{uuid}"),
                "parent": RT, "file": format!("wasm/{file}"), "apis": ["wasm", "wasi"],
                "args": {"argv": ["x"], "env": ["A=1"], "limit": 600.0}, "channels": [], "status": "A"})
            }
            "sideload" => {
                json!({"type": "module", "uuid": uuid, "name": format!("name-{uuid}"), "parent": RT,
                "filename": format!("wasm/{file}"), "filetype": filetype, "args": ["x"]})
            }
            _ => {
                json!({"type": "module", "uuid": uuid, "name": format!("name-{uuid}"), "parent": "aruntime",
                "file": file, "location": "wasm", "filetype": filetype,
                "apis": ["wasm:wasi_preview_1"], "args": ["x"], "env": ["NAMESPACE=ns1", "SCENE=sc1"]})
            }
        };
        json!({"object_id": object_id, "action": "create", "type": self.request_type(), "data": data})
    }

    /// Asks for a module that runs a guest.
    pub fn create(&self, uuid: &str, guest: &str) {
        let request = self.request(&format!("create-{uuid}"), uuid, guest);
        self.broker.publish(self.control(), request.to_string());
    }

    /// Asks for the end of a module.
    pub fn delete(&self, object_id: &str, module: &str) {
        let request = json!({"object_id": object_id, "action": "delete", "type": self.request_type(),
            "data": {"type": "module", "uuid": module}});
        self.broker.publish(self.control(), request.to_string());
    }
}
