//! What is around every message: who asks for what, and under which number. Reading is as tolerant as the
//! programs of this field are.

use serde_json::{Map, Value};

/// How much of what could not be read goes back with the error, in characters.
const SHOWN: usize = 256;

/// A message, as far as it could be understood. A member that is not what it should be is not there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Envelope {
    /// The number of the request, which its answer repeats.
    pub object_id: Option<String>,
    /// What is asked for.
    pub action: Option<String>,
    /// Whether it is a request or an answer, in the dialect's words.
    pub kind: Option<String>,
    /// Whose message it is, where it is signed.
    pub from: Option<String>,
    /// What it is about.
    pub data: Map<String, Value>,
}

/// Why a payload is no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// There is nothing, which is how a retained message is taken back.
    Empty,
    /// It is no JSON object; with its beginning.
    NoObject(String),
}

/// Reads a payload. Bytes that are no UTF-8 are ignored, and quotation marks around it too.
///
/// # Errors
/// [`Unreadable`].
pub fn decode(payload: &[u8]) -> Result<Envelope, Unreadable> {
    let text = text(payload);
    let text = text.trim();
    if text.is_empty() {
        return Err(Unreadable::Empty);
    }
    let Ok(Value::Object(mut members)) = serde_json::from_str(unquoted(text)) else {
        return Err(Unreadable::NoObject(text.chars().take(SHOWN).collect()));
    };
    let mut take = |key: &str| match members.remove(key) {
        Some(Value::String(text)) => Some(text),
        // Somebody may count.
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    Ok(Envelope {
        object_id: take("object_id"),
        action: take("action"),
        kind: take("type"),
        from: take("from"),
        data: match members.remove("data") {
            Some(Value::Object(data)) => data,
            _ => Map::new(),
        },
    })
}

/// A payload as text, without what is no UTF-8.
pub fn text(payload: &[u8]) -> String {
    let chunks = payload.utf8_chunks();
    chunks.map(|chunk| chunk.valid()).collect()
}

/// Somebody's shell has left its quotation mark in front: then there is one at the end too.
fn unquoted(text: &str) -> &str {
    let Some(rest) = text.strip_prefix('\'') else {
        return text;
    };
    let mut rest = rest.chars();
    rest.next_back();
    rest.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MESSAGE: &str = r#"{"object_id":"o-6","action":"delete","type":"req","data":{"type":"module","uuid":"77aa"}}"#;

    #[test]
    fn a_message_is_read() {
        let envelope = decode(MESSAGE.as_bytes()).unwrap();
        assert_eq!(envelope.object_id.as_deref(), Some("o-6"));
        assert_eq!(envelope.action.as_deref(), Some("delete"));
        assert_eq!(envelope.kind.as_deref(), Some("req"));
        assert_eq!(envelope.from, None);
        assert_eq!(
            Value::Object(envelope.data),
            json!({"type": "module", "uuid": "77aa"})
        );
    }

    #[test]
    fn quotation_marks_and_bad_bytes_do_not_matter() {
        let wanted = decode(MESSAGE.as_bytes());
        assert_eq!(decode(format!("'{MESSAGE}'").as_bytes()), wanted);
        let mut bad = MESSAGE.as_bytes().to_vec();
        // Between two members, and in the middle of a name.
        bad.insert(1, 0xff);
        bad.insert(bad.len() - 5, 0xc3);
        assert_eq!(decode(&bad), wanted);
    }

    #[test]
    fn what_is_no_object_is_told() {
        assert_eq!(decode(b""), Err(Unreadable::Empty));
        assert_eq!(decode(b" \n"), Err(Unreadable::Empty));
        assert_eq!(decode(b"\xff"), Err(Unreadable::Empty));
        for text in ["'", "''", "[1]", "3", "{", "null", "'{}"] {
            let wanted = Err(Unreadable::NoObject(text.to_owned()));
            assert_eq!(decode(text.as_bytes()), wanted, "{text}");
        }
        let deep = "[".repeat(100_000);
        let Err(Unreadable::NoObject(shown)) = decode(deep.as_bytes()) else {
            panic!("it was read");
        };
        assert_eq!(shown.len(), 256);
    }

    #[test]
    fn members_of_a_wrong_type_are_not_there() {
        let payload = r#"{"object_id":7,"action":null,"type":{},"data":[1],"from":true}"#;
        let envelope = decode(payload.as_bytes()).unwrap();
        let wanted = Envelope {
            object_id: Some("7".to_owned()),
            ..Envelope::default()
        };
        assert_eq!(envelope, wanted);
    }
}
