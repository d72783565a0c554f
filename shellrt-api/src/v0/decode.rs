//! Typed decoding that names the place where the input is wrong.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Code, Error};

/// Decodes the fields of a request; keys that are not known are ignored.
pub(super) fn request<T: DeserializeOwned>(object: &Value) -> Result<T, Error> {
    typed(object).map_err(|(path, reason)| {
        let place = if path.is_empty() {
            "the request".to_owned()
        } else {
            format!("{path:?}")
        };
        Error::message(Code::INVALID_REQUEST, format!("{place} is wrong: {reason}"))
            .with("path", path)
    })
}

/// Decodes `value`. On failure: a JSON pointer to the place, and what is wrong there.
///
/// serde_json knows lines and columns but no paths. So on failure, and only then, the value is
/// printed with one key or element per line and decoded once more, and the line is turned into a
/// pointer.
pub(super) fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, (String, String)> {
    let first = match T::deserialize(value) {
        Ok(decoded) => return Ok(decoded),
        Err(error) => error,
    };
    let printed = serde_json::to_string_pretty(value).unwrap_or_default();
    match serde_json::from_str::<T>(&printed) {
        Ok(_) => Err((String::new(), first.to_string())),
        Err(error) => {
            let text = error.to_string();
            let reason = text
                .rsplit_once(" at line ")
                .map_or(text.as_str(), |(reason, _)| reason);
            Err((pointer(&printed, error.line()), reason.to_owned()))
        }
    }
}

/// The JSON pointer to what stands in line `line` (from 1) of a pretty-printed value.
fn pointer(printed: &str, line: usize) -> String {
    // One entry per open object or array: the key or index of its current member.
    let mut open: Vec<Step> = Vec::new();
    for (number, text) in printed.lines().enumerate() {
        let text = text.trim_start();
        if text.starts_with(['}', ']']) {
            // What is missing in an object is noticed at its end: the object is the place.
            open.pop();
        } else if let Some(step) = open.last_mut() {
            match step {
                Step::Index(index) => *index = index.map_or(Some(0), |index| Some(index + 1)),
                Step::Key(key) => *key = leading_key(text),
            }
        }
        if number + 1 == line {
            break;
        }
        if text.ends_with('{') {
            open.push(Step::Key(String::new()));
        } else if text.ends_with('[') {
            open.push(Step::Index(None));
        }
    }
    let mut path = String::new();
    for step in open {
        path.push('/');
        match step {
            Step::Index(index) => path.push_str(&index.unwrap_or(0).to_string()),
            Step::Key(key) => path.push_str(&key.replace('~', "~0").replace('/', "~1")),
        }
    }
    path
}

enum Step {
    Key(String),
    Index(Option<usize>),
}

/// The key at the beginning of `"key": value`.
fn leading_key(text: &str) -> String {
    let mut keys = serde_json::Deserializer::from_str(text).into_iter::<String>();
    keys.next().and_then(Result::ok).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::{json, Value};

    use super::typed;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)] // Only the decoding is looked at.
    struct Outer {
        count: u32,
        #[serde(default)]
        list: Vec<Inner>,
        #[serde(default)]
        map: BTreeMap<String, u8>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)] // Only the decoding is looked at.
    struct Inner {
        text: String,
    }

    fn place(value: Value) -> String {
        typed::<Outer>(&value).unwrap_err().0
    }

    #[test]
    fn names_the_place() {
        assert_eq!(place(json!({"count": "one"})), "/count");
        assert_eq!(place(json!({"count": 1, "extra": {"a": 1}})), "/extra");
        assert_eq!(
            place(json!({"count": 1, "list": [{"text": "a"}, {"text": 2}]})),
            "/list/1/text"
        );
        assert_eq!(
            place(json!({"count": 1, "list": [{"text": "a"}, {}]})),
            "/list/1"
        );
        assert_eq!(
            place(json!({"count": 1, "list": [{"text": "["}, 3]})),
            "/list/1"
        );
        assert_eq!(
            place(json!({"count": 1, "map": {"a/b": 1, "c~d": 256}})),
            "/map/c~0d"
        );
        assert_eq!(place(json!({"list": []})), "");
        assert_eq!(place(json!([])), "");
    }
}
