//! What must hold for every answer of every plugin, and what a case expects beyond that.

use serde_json::{Map, Value};

use super::format::Expect;
use super::matching;
use super::process::{printed, Answer};
use super::shape;

/// The names of the codes from 1 on, as in `detail.kind`.
const KINDS: [&str; 21] = [
    "incompatible_version",
    "invalid_request",
    "unsupported_message",
    "invalid_config",
    "module_not_found",
    "module_exists",
    "wrong_state",
    "image_not_found",
    "image_in_use",
    "invalid_reference",
    "registry_unauthorized",
    "registry_not_found",
    "registry_unreachable",
    "image_invalid",
    "platform_unavailable",
    "runtime_unreachable",
    "runtime_error",
    "permission_denied",
    "out_of_resources",
    "timeout",
    "internal",
];

/// The response object and the bytes after the NUL, where there is one.
pub struct Parts<'a> {
    pub response: Map<String, Value>,
    pub stream: Option<&'a [u8]>,
}

/// Takes stdout apart: one JSON object, and nothing or a NUL and a stream after it.
pub fn parts(stdout: &[u8]) -> Result<Parts<'_>, String> {
    let end = stdout.iter().position(|byte| *byte == 0);
    let object = &stdout[..end.unwrap_or(stdout.len())];
    if object.is_empty() {
        return Err("there is no answer on stdout".to_owned());
    }
    match serde_json::from_slice::<Value>(object) {
        Ok(Value::Object(response)) => Ok(Parts {
            response,
            stream: end.map(|end| &stdout[end + 1..]),
        }),
        Ok(_) => Err("stdout is not a JSON object".to_owned()),
        Err(error) => Err(format!("stdout is not exactly one JSON object: {error}")),
    }
}

/// Checks an answer to `request` (null where it was not an object).
pub fn answer(
    request: &Value,
    answer: &Answer,
    expect: &Expect,
) -> anyhow::Result<Result<(), String>> {
    if let Err(wrong) = protocol(request, answer, expect) {
        return Ok(Err(wrong));
    }
    let Ok(Parts { response, stream }) = parts(&answer.stdout) else {
        return Ok(Err("there is no answer on stdout".to_owned()));
    };
    if let Err(wrong) = case(&response, answer, expect) {
        return Ok(Err(wrong));
    }
    match (&expect.stream, stream) {
        (Some(expected), Some(stream)) => matching::stream(stream, expected),
        (Some(_), None) => Ok(Err("a stream is expected, and there is none".to_owned())),
        (None, _) => Ok(Ok(())),
    }
}

/// What holds for every answer.
fn protocol(request: &Value, answer: &Answer, expect: &Expect) -> Result<(), String> {
    if let Some(overdue) = &answer.overdue {
        return Err(overdue.clone());
    }
    let Parts { response, stream } = parts(&answer.stdout)?;
    let message = request
        .get("_type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let status = response
        .get("_status")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let exit = match status {
        "ok" => 0,
        "err" => 1,
        _ => return Err("\"_status\" is neither \"ok\" nor \"err\"".to_owned()),
    };
    let exit = expect.exit.unwrap_or(exit);
    match answer.status {
        Some(status) if status.code() == Some(exit) => {}
        other => return Err(format!("the plugin ended with {other:?}, not {exit}")),
    }
    for key in response.keys().filter(|key| key.starts_with('_')) {
        if key != "_version" && key != "_status" {
            return Err(format!("{key:?}: such keys belong to the envelope"));
        }
    }
    let code = response.get("code").and_then(Value::as_i64);
    let version = match &expect.version {
        Some(version) => version,
        None if status == "err" && code == Some(1) => "0.1.0",
        None => match request.get("_version").and_then(Value::as_str) {
            Some(version) if version.starts_with("0.1.") => version,
            _ => "0.1.0",
        },
    };
    if response.get("_version").and_then(Value::as_str) != Some(version) {
        let found = response.get("_version");
        return Err(format!("\"_version\" is {found:?}, not {version:?}"));
    }
    if status == "err" {
        return match stream {
            Some(_) => Err("a NUL follows an error".to_owned()),
            None => error(&response),
        };
    }
    match (streams(request, message), stream) {
        (true, None) => Err("no NUL follows the response, but a stream is due".to_owned()),
        (false, Some(_)) => Err("a NUL follows the response, but no stream is due".to_owned()),
        _ => shape::response(message, &response),
    }
}

/// Whether success is answered with a stream.
fn streams(request: &Value, message: &str) -> bool {
    match message {
        "attach" | "events" | "logs" => true,
        "img_pull" => request.get("progress") == Some(&Value::Bool(true)),
        _ => false,
    }
}

/// What stands in every error.
fn error(response: &Map<String, Value>) -> Result<(), String> {
    let Some(code) = response
        .get("code")
        .and_then(Value::as_i64)
        .filter(|code| *code > 0)
    else {
        return Err("\"code\" is missing or not a number above 0".to_owned());
    };
    if response
        .get("message")
        .and_then(Value::as_str)
        .is_none_or(|text| text.trim().is_empty())
    {
        return Err("\"message\" is missing or empty".to_owned());
    }
    let Some(detail) = response.get("detail").and_then(Value::as_object) else {
        return Err("\"detail\" is missing or not an object".to_owned());
    };
    let kind = usize::try_from(code - 1)
        .ok()
        .and_then(|index| KINDS.get(index));
    if let Some(kind) = kind {
        if detail.get("kind").and_then(Value::as_str) != Some(kind) {
            let found = detail.get("kind");
            return Err(format!(
                "\"detail.kind\" is {found:?}, not {kind:?} as code {code} says"
            ));
        }
    } else if code < 100 {
        return Err(format!(
            "there is no code {code}; plugins' own codes begin at 100"
        ));
    }
    let Some(retryable) = detail.get("retryable").and_then(Value::as_bool) else {
        return Err("\"detail.retryable\" is missing or not true or false".to_owned());
    };
    if kind.is_some() && retryable != matches!(code, 13 | 16 | 19 | 20) {
        return Err(format!(
            "\"detail.retryable\" is {retryable} for code {code}"
        ));
    }
    let text = |causes: &Vec<Value>| causes.iter().all(Value::is_string);
    match detail.get("caused_by") {
        Some(causes) if !causes.as_array().is_some_and(text) => {
            Err("\"detail.caused_by\" is not an array of strings".to_owned())
        }
        _ => Ok(()),
    }
}

/// What the case expects, the stream aside.
fn case(response: &Map<String, Value>, answer: &Answer, expect: &Expect) -> Result<(), String> {
    let found = response
        .get("_status")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let default = if expect.code.is_some() { "err" } else { "ok" };
    let status = expect.status.as_deref().unwrap_or(default);
    if found != status {
        return Err(format!("\"_status\" is {found:?}, not {status:?}"));
    }
    if let Some(codes) = &expect.code {
        let code = response
            .get("code")
            .and_then(Value::as_i64)
            .unwrap_or_default();
        if !codes.contains(code) {
            return Err(format!("the code is {code}, not {codes:?}"));
        }
    }
    matching::fields(response, &expect.fields, "")?;
    if !expect.detail.is_empty() {
        let empty = Map::new();
        let detail = response
            .get("detail")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        matching::fields(detail, &expect.detail, "/detail")?;
    }
    if let Some(exact) = &expect.exact {
        let payload = |key: &&String| !key.starts_with('_');
        let mut keys: Vec<_> = response.keys().filter(payload).collect();
        let mut exact: Vec<_> = exact.iter().collect();
        keys.sort();
        exact.sort();
        if keys != exact {
            return Err(format!(
                "the response has the fields {keys:?}, not {exact:?}"
            ));
        }
    }
    for key in &expect.absent {
        if response.contains_key(key) {
            return Err(format!("the response has the field {key:?}"));
        }
    }
    for (name, bytes, lacks) in [
        ("stdout", &answer.stdout, &expect.stdout_lacks),
        ("stderr", &answer.stderr, &expect.stderr_lacks),
    ] {
        for part in lacks {
            if matching::contains(bytes, part.as_bytes()) {
                return Err(format!("{name} has {part:?} in it: {}", printed(bytes)));
            }
        }
    }
    match expect.not_before {
        Some(seconds) if answer.took.as_secs_f64() < seconds => Err(format!(
            "the answer came after {:?}, not {seconds} s",
            answer.took
        )),
        _ => Ok(()),
    }
}
