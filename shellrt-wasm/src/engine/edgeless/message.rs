//! The lines of JSON as what they mean.

use std::borrow::Cow;

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A line that comes in. What its `op` does not have is absent, and what is not known is left out.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    /// What it is.
    pub op: Op,
    /// The name of a call.
    #[serde(default)]
    pub id: Option<Value>,
    /// Who says it; also a text, which has no ids.
    #[serde(default)]
    from: Value,
    /// Who the function is.
    #[serde(default)]
    pub instance: Instance,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    data_base64: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    state_base64: Option<String>,
}

/// What a line that comes in is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Op {
    /// The function begins.
    Init,
    /// Something that is not answered.
    Cast,
    /// Something that is answered.
    Call,
    /// The answer to a call of the function's.
    Reply,
    /// The answer to a call of the function's: there is none.
    NoReply,
    /// A call of the function's went wrong.
    Error,
    /// A call is not wanted any more.
    Cancel,
    /// The function ends.
    Stop,
    /// Something for others.
    #[serde(other)]
    Other,
}

/// A node and a function, by their names.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Instance {
    /// The node.
    pub node: String,
    /// The function.
    pub function: String,
}

impl Message {
    /// Who says it, by the names of node and function.
    pub fn sender(&self) -> [&str; 2] {
        ["node", "function"].map(|member| self.from[member].as_str().unwrap_or_default())
    }

    /// The bytes that it brings.
    ///
    /// # Errors
    /// Why they are none.
    pub fn take_data(&mut self) -> Result<Vec<u8>, String> {
        bytes("data", self.data.take(), self.data_base64.take())
    }

    /// The state that it brings.
    ///
    /// # Errors
    /// Why it is none.
    pub fn take_state(&mut self) -> Result<Vec<u8>, String> {
        bytes("state", self.state.take(), self.state_base64.take())
    }
}

fn bytes(name: &str, text: Option<String>, base64: Option<String>) -> Result<Vec<u8>, String> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(format!(
            "\"{name}\" and \"{name}_base64\" exclude each other"
        )),
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(base64)) => STANDARD
            .decode(base64)
            .map_err(|error| format!("\"{name}_base64\" is no base64: {error}")),
        (None, None) => Ok(Vec::new()),
    }
}

/// A line that goes out.
#[derive(Debug, Default, Serialize)]
pub(super) struct Line<'a> {
    /// What it is.
    pub op: &'static str,
    /// The name of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, Value>>,
    /// For whom: an alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<&'a str>,
    /// For whom: the node of an instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_node: Option<&'a str>,
    /// For whom: an instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_function: Option<&'a str>,
    /// How long it waits before it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// How important a line of the log is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<&'static str>,
    /// Who writes a line of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<&'a str>,
    /// Words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
    /// Bytes that are text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<&'a str>,
    /// Bytes that are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
    /// A state that is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'a str>,
    /// A state that is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_base64: Option<String>,
}

impl<'a> Line<'a> {
    /// One that has nothing but what it is.
    pub fn new(op: &'static str) -> Line<'a> {
        Line {
            op,
            ..Line::default()
        }
    }

    /// The same with bytes.
    #[must_use]
    pub fn with_data(mut self, data: &'a [u8]) -> Line<'a> {
        (self.data, self.data_base64) = text_or_base64(data);
        self
    }

    /// The same with a state.
    #[must_use]
    pub fn with_state(mut self, state: &'a [u8]) -> Line<'a> {
        (self.state, self.state_base64) = text_or_base64(state);
        self
    }
}

fn text_or_base64(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok("") => (None, None),
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(value: Value) -> Message {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn bytes_are_text_or_base64() {
        let line = Line::new("sync")
            .with_data("ä".as_bytes())
            .with_state(b"\xff\x00");
        let line = serde_json::to_value(line).unwrap();
        assert_eq!(
            line,
            json!({"op": "sync", "data": "ä", "state_base64": "/wA="})
        );
        let mut heard = message(json!({"op": "init", "data": "ä", "state_base64": "/wA="}));
        assert_eq!(heard.take_data(), Ok("ä".as_bytes().to_vec()));
        assert_eq!(heard.take_state(), Ok(b"\xff\x00".to_vec()));
        let mut nothing = message(json!({"op": "cast"}));
        assert_eq!(nothing.take_data(), Ok(Vec::new()));
        for wrong in [
            json!({"op": "cast", "data": "", "data_base64": ""}),
            json!({"op": "cast", "data_base64": "?"}),
        ] {
            assert!(message(wrong).take_data().is_err());
        }
    }

    #[test]
    fn what_is_not_known_is_for_others() {
        let heard = message(json!({"op": "dance", "steps": [1, 2]}));
        assert_eq!(heard.op, Op::Other);
        let heard = message(json!({"op": "cast", "from": "somebody"}));
        assert_eq!(heard.sender(), ["", ""]);
        let heard = message(json!({"op": "cast", "from": {"node": "n", "function": "f"}}));
        assert_eq!(heard.sender(), ["n", "f"]);
    }
}
