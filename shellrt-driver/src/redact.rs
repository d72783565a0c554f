//! Payloads and messages without what must not be seen.

use serde_json::{Map, Value};
use shellrt_api::v0::Secret;

const REDACTED: &str = "[redacted]";

/// Knows the secrets of this request.
#[derive(Default)]
pub struct Redactor {
    secrets: Vec<Secret>,
}

impl Redactor {
    /// Hides `secrets` wherever they occur, beside what is always hidden.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let mut secrets: Vec<_> = secrets.into_iter().collect();
        secrets.retain(|secret| !secret.expose().is_empty());
        // A secret that is a part of another one must not leave the rest of that one behind.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Redactor { secrets }
    }

    /// `text` without the secrets: a plugin that repeats a password must not make it visible.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.expose(), REDACTED);
        }
        text
    }

    /// `payload` in one line: no credentials, no values of environment variables, nothing whose
    /// name says that it is secret.
    pub fn payload(&self, payload: &[u8]) -> String {
        match serde_json::from_slice(payload) {
            Ok(value) => self.value(&value).to_string(),
            // Nothing in there can be told apart from a secret.
            Err(_) => format!("{} bytes that are not JSON", payload.len()),
        }
    }

    /// As [`payload`](Self::payload).
    pub fn object(&self, object: &Map<String, Value>) -> String {
        self.fields(object).to_string()
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            Value::Object(fields) => self.fields(fields),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::String(text) => Value::String(self.text(text)),
            other => other.clone(),
        }
    }

    fn fields(&self, fields: &Map<String, Value>) -> Value {
        let field = |(key, value): (&String, &Value)| {
            let value = if is_environment(key) || key == "credentials" {
                names_only(value)
            } else if is_secret(key) && !value.is_object() && !value.is_array() {
                Value::from(REDACTED)
            } else {
                self.value(value)
            };
            (key.clone(), value)
        };
        Value::Object(fields.iter().map(field).collect())
    }
}

/// The names by which the config types call environment variables.
fn is_environment(key: &str) -> bool {
    key.eq_ignore_ascii_case("env") || key.eq_ignore_ascii_case("environment")
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    [
        "password",
        "passwd",
        "secret",
        "token",
        "credential",
        "apikey",
        "api_key",
        "private_key",
    ]
    .iter()
    .any(|word| key.contains(word))
}

/// Variables as `{"K": "V"}` or as `["K=V"]`, with their names only.
fn names_only(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let hidden = fields.keys().map(|key| (key.clone(), REDACTED.into()));
            Value::Object(hidden.collect())
        }
        Value::Array(items) => items.iter().map(names_only).collect(),
        Value::String(text) => match text.split_once('=') {
            Some((key, _)) => format!("{key}={REDACTED}").into(),
            None => REDACTED.into(),
        },
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::Redactor;
    use shellrt_api::v0::Secret;

    #[test]
    fn payloads() {
        let redactor = Redactor::new([Secret::new("hunter"), Secret::new("hunter2")]);
        for (payload, expected) in [
            (
                r#"{"credentials":{"password":"x","username":"u"},"image":"a"}"#,
                r#"{"credentials":{"password":"[redacted]","username":"[redacted]"},"image":"a"}"#,
            ),
            (
                r#"{"config":{"Env":["A=b","C"],"n":1},"env":{"A":"b"}}"#,
                r#"{"config":{"Env":["A=[redacted]","[redacted]"],"n":1},"env":{"A":"[redacted]"}}"#,
            ),
            (
                r#"{"list":[{"apiToken":"x"},"is hunter2 or hunter"],"tokens":["a"]}"#,
                r#"{"list":[{"apiToken":"[redacted]"},"is [redacted] or [redacted]"],"tokens":["a"]}"#,
            ),
            ("hunter2", "7 bytes that are not JSON"),
        ] {
            assert_eq!(redactor.payload(payload.as_bytes()), expected);
        }
        assert_eq!(redactor.text("hunter2!"), "[redacted]!");
    }

    #[test]
    fn an_empty_secret_hides_nothing() {
        assert_eq!(Redactor::new([Secret::new("")]).text("abc"), "abc");
    }
}
