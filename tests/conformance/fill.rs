//! `${name}`, `"..."` and bytes in the JSON of cases and plugin files.

use std::collections::BTreeMap;

use anyhow::{bail, Context};
use serde_json::{Map, Value};

/// What `${name}` stands for.
pub type Names = BTreeMap<String, Value>;

/// `value` with every `${name}` replaced: a string that is nothing else becomes the value itself,
/// inside of a longer string its text is put in. The key `"..."` of an object puts in the keys of
/// the object that is its value; the object's own keys win.
pub fn fill(value: &Value, names: &Names) -> anyhow::Result<Value> {
    Ok(match value {
        Value::String(text) => fill_text(text, names)?,
        Value::Array(items) => items
            .iter()
            .map(|item| fill(item, names))
            .collect::<anyhow::Result<_>>()?,
        Value::Object(object) => {
            let mut filled = match object.get("...") {
                Some(base) => match fill(base, names)? {
                    Value::Object(base) => base,
                    other => bail!("\"...\" needs an object, not {other}"),
                },
                None => Map::new(),
            };
            for (key, value) in object.iter().filter(|(key, _)| *key != "...") {
                let key = match fill_text(key, names)? {
                    Value::String(key) => key,
                    other => other.to_string(),
                };
                filled.insert(key, fill(value, names)?);
            }
            Value::Object(filled)
        }
        other => other.clone(),
    })
}

fn fill_text(text: &str, names: &Names) -> anyhow::Result<Value> {
    let look_up = |name: &str| {
        names
            .get(name)
            .with_context(|| format!("there is no ${{{name}}}"))
    };
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').context("\"${\" without \"}\"")?;
        let value = look_up(name)?;
        if before.is_empty() && after.is_empty() && filled.is_empty() {
            return Ok(value.clone());
        }
        filled.push_str(before);
        match value {
            Value::String(value) => filled.push_str(value),
            value => filled.push_str(&value.to_string()),
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(Value::String(filled))
}

/// Bytes: a string, or an array of strings, numbers (one byte each) and
/// `{"repeat": bytes, "times": n}`.
pub fn bytes(value: &Value) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    put(value, &mut bytes)?;
    Ok(bytes)
}

fn put(value: &Value, bytes: &mut Vec<u8>) -> anyhow::Result<()> {
    match value {
        Value::String(text) => bytes.extend_from_slice(text.as_bytes()),
        Value::Number(number) => {
            let byte = number.as_u64().and_then(|number| u8::try_from(number).ok());
            bytes.push(byte.with_context(|| format!("{number} is no byte"))?);
        }
        Value::Array(parts) => parts.iter().try_for_each(|part| put(part, bytes))?,
        Value::Object(object) => {
            let repeat = object
                .get("repeat")
                .context("bytes as an object need \"repeat\"")?;
            let times = object
                .get("times")
                .and_then(Value::as_u64)
                .context("\"times\" is missing")?;
            let mut once = Vec::new();
            put(repeat, &mut once)?;
            for _ in 0..times {
                bytes.extend_from_slice(&once);
            }
        }
        other => bail!("{other} is not bytes"),
    }
    Ok(())
}
