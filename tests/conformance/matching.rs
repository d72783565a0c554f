//! What a case expects of values and of streams.

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::fill::bytes;
use super::process::printed;
use super::shape;

/// Whether `value` is as expected: objects may have more keys than expected, everything else is
/// equal. An object whose keys begin with `$` is a condition.
pub fn value(value: &Value, expected: &Value, place: &str) -> Result<(), String> {
    match (value, expected) {
        (_, Value::Object(wanted)) if wanted.keys().any(|key| key.starts_with('$')) => wanted
            .iter()
            .try_for_each(|(name, with)| condition(value, name, with, place)),
        (Value::Object(object), Value::Object(wanted)) => fields(object, wanted, place),
        _ if value == expected => Ok(()),
        _ => Err(format!("{place} is {value}, not {expected}")),
    }
}

/// Whether `object` has all the fields that are `wanted`.
pub fn fields(
    object: &Map<String, Value>,
    wanted: &Map<String, Value>,
    place: &str,
) -> Result<(), String> {
    for (key, expected) in wanted {
        let place = format!("{place}/{key}");
        match object.get(key) {
            Some(found) => value(found, expected, &place)?,
            None => return Err(format!("{place} is missing; it should be {expected}")),
        }
    }
    Ok(())
}

fn condition(found: &Value, name: &str, with: &Value, place: &str) -> Result<(), String> {
    let listed = || with.as_array().into_iter().flatten();
    let text = || found.as_str().zip(with.as_str());
    let holds = match name {
        "$one_of" => listed().any(|wanted| found == wanted),
        "$not" => found != with,
        "$least" => number(found) >= number(with) && found.is_number(),
        "$most" => number(found) <= number(with) && found.is_number(),
        "$more_than" => number(found) > number(with) && found.is_number(),
        "$starts" => text().is_some_and(|(found, with)| found.starts_with(with)),
        "$ends" => text().is_some_and(|(found, with)| found.ends_with(with)),
        "$has" => match found {
            Value::String(found) => with.as_str().is_some_and(|with| found.contains(with)),
            Value::Array(items) => items.iter().any(|item| value(item, with, "").is_ok()),
            _ => false,
        },
        "$lacks" => match found {
            Value::String(found) => with.as_str().is_some_and(|with| !found.contains(with)),
            Value::Array(items) => !items.iter().any(|item| value(item, with, "").is_ok()),
            _ => false,
        },
        "$length" => match found {
            Value::String(found) => with == found.chars().count(),
            Value::Array(items) => with == items.len(),
            _ => false,
        },
        "$set" => match (found, with) {
            (Value::Array(items), Value::Array(wanted)) => {
                items.len() == wanted.len() && wanted.iter().all(|one| items.contains(one))
            }
            _ => false,
        },
        _ => return Err(format!("the case has an unknown condition {name:?}")),
    };
    match holds {
        true => Ok(()),
        false => Err(format!("{place} is {found}, not {name} {with}")),
    }
}

fn number(value: &Value) -> Option<i128> {
    value
        .as_i64()
        .map(i128::from)
        .or_else(|| value.as_u64().map(i128::from))
}

/// What a stream is like, where its bytes are not known in full.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    starts: Option<Value>,
    ends: Option<Value>,
    #[serde(default)]
    has: Vec<Value>,
    #[serde(default)]
    lacks: Vec<Value>,
    /// The stream once a time with nanoseconds and a space is taken from the start of every line.
    timestamped: Option<Value>,
    /// JSON objects, one a line: these, in this order, with any others between them.
    events: Option<Vec<Value>>,
    /// JSON objects, one a line: the last one.
    last: Option<Value>,
}

/// Checks a stream: bytes mean exactly these.
pub fn stream(found: &[u8], expected: &Value) -> anyhow::Result<Result<(), String>> {
    let differs = |found: &[u8], how: &str, wanted: &[u8]| {
        let (found, wanted) = (printed(found), printed(wanted));
        Ok(Err(format!(
            "the stream is\n{found}\nbut it should {how}\n{wanted}"
        )))
    };
    let Value::Object(_) = expected else {
        let wanted = bytes(expected)?;
        return if found == wanted {
            Ok(Ok(()))
        } else {
            differs(found, "be", &wanted)
        };
    };
    if expected.get("repeat").is_some() {
        return stream(found, &Value::Array(vec![expected.clone()]));
    }
    let wanted: Stream = serde_json::from_value(expected.clone()).context("\"stream\"")?;
    if let Some(starts) = wanted.starts.as_ref().map(bytes).transpose()? {
        if !found.starts_with(&starts) {
            return differs(found, "start with", &starts);
        }
    }
    if let Some(ends) = wanted.ends.as_ref().map(bytes).transpose()? {
        if !found.ends_with(&ends) {
            return differs(found, "end with", &ends);
        }
    }
    for part in &wanted.has {
        let part = bytes(part)?;
        if !contains(found, &part) {
            return differs(found, "have in it", &part);
        }
    }
    for part in &wanted.lacks {
        let part = bytes(part)?;
        if contains(found, &part) {
            return differs(found, "not have in it", &part);
        }
    }
    if let Some(plain) = &wanted.timestamped {
        let plain = bytes(plain)?;
        match without_times(found) {
            Ok(rest) if rest == plain => {}
            Ok(rest) => return differs(&rest, "be, without its times,", &plain),
            Err(error) => return Ok(Err(error)),
        }
    }
    if wanted.events.is_some() || wanted.last.is_some() {
        return Ok(json_lines(
            found,
            &wanted.events.unwrap_or_default(),
            wanted.last.as_ref(),
        ));
    }
    Ok(Ok(()))
}

/// Whether `part` is somewhere in `bytes`.
pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

fn json_lines(found: &[u8], expected: &[Value], last: Option<&Value>) -> Result<(), String> {
    if !found.is_empty() && !found.ends_with(b"\n") {
        return Err(format!("the last line has no end:\n{}", printed(found)));
    }
    let mut lines = Vec::new();
    for line in found.split_inclusive(|byte| *byte == b'\n') {
        match serde_json::from_slice::<Value>(line) {
            Ok(line) if line.is_object() => lines.push(line),
            _ => return Err(format!("this line is not a JSON object: {}", printed(line))),
        }
    }
    if let Some(last) = last {
        value(lines.last().unwrap_or(&Value::Null), last, "the last line")?;
        return Ok(());
    }
    let mut wanted = expected.iter().peekable();
    for line in &lines {
        line.as_object().map_or(Ok(()), shape::event)?;
        if wanted
            .peek()
            .is_some_and(|wanted| value(line, wanted, "").is_ok())
        {
            wanted.next();
        }
    }
    match wanted.next() {
        Some(missing) => Err(format!(
            "the stream is\n{}\nwithout {missing}",
            printed(found)
        )),
        None => Ok(()),
    }
}

/// Takes `2026-01-02T03:04:05.000000006Z ` from the start of every line.
fn without_times(bytes: &[u8]) -> Result<Vec<u8>, String> {
    const FORM: &[u8] = b"0000-00-00T00:00:00.000000000Z ";
    let mut rest = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let wrong = || format!("this line does not start with a time: {}", printed(line));
        let time = line.get(..FORM.len()).ok_or_else(wrong)?;
        let fits = |(byte, form): (&u8, &u8)| match form {
            b'0' => byte.is_ascii_digit(),
            form => byte == form,
        };
        if !time.iter().zip(FORM).all(fits) {
            return Err(wrong());
        }
        rest.extend_from_slice(&line[FORM.len()..]);
    }
    Ok(rest)
}
