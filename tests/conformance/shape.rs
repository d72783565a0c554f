//! What stands in which response: v0's fields always, with v0's types; additions only with theirs.
//! What is not listed here may be there all the same, so that plugins can grow.

use serde_json::{Map, Value};

/// The type of a field.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// An integer that fits i64.
    Integer,
    /// The same, not negative.
    Size,
    Bool,
    Object,
    OneOf(&'static [&'static str]),
    Texts,
    Objects(&'static [Field]),
}

/// A field's name, its type, and whether it must be there.
type Field = (&'static str, Kind, bool);

const ALWAYS: bool = true;
const OPTIONAL: bool = false;

const STATUS: &[Field] = &[
    (
        "status",
        Kind::OneOf(&["unknown", "running", "stopped", "failed"]),
        ALWAYS,
    ),
    ("status_description", Kind::Text, ALWAYS),
    ("image_id", Kind::Text, ALWAYS),
    ("started_at", Kind::Size, ALWAYS),
    ("finished_at", Kind::Size, OPTIONAL),
    ("exit_code", Kind::Integer, OPTIONAL),
    (
        "state",
        Kind::OneOf(&["created", "running", "paused", "restarting", "exited"]),
        OPTIONAL,
    ),
    (
        "end",
        Kind::OneOf(&["exited", "signal", "trap", "memory", "timeout", "lost"]),
        OPTIONAL,
    ),
    ("pid", Kind::Size, OPTIONAL),
    ("created_at", Kind::Size, OPTIONAL),
    ("restart_count", Kind::Size, OPTIONAL),
    ("config_type", Kind::Text, OPTIONAL),
    ("image", Kind::Text, OPTIONAL),
    ("labels", Kind::Object, OPTIONAL),
    ("networks", Kind::Objects(&[]), OPTIONAL),
    ("ports", Kind::Objects(&[]), OPTIONAL),
    (
        "health",
        Kind::OneOf(&["healthy", "unhealthy", "none"]),
        OPTIONAL,
    ),
];

const PULLED: &[Field] = &[
    ("digest", Kind::Text, OPTIONAL),
    ("image_id", Kind::Text, OPTIONAL),
    ("platform", Kind::Text, OPTIONAL),
    ("bytes_total", Kind::Size, OPTIONAL),
    ("bytes_fetched", Kind::Size, OPTIONAL),
    ("bytes_resumed", Kind::Size, OPTIONAL),
    ("unpack", Kind::Text, OPTIONAL),
    ("warning", Kind::Text, OPTIONAL),
];

const TOP: &[Field] = &[
    (
        "processes",
        Kind::Objects(&[
            ("pid", Kind::Size, ALWAYS),
            ("ppid", Kind::Size, ALWAYS),
            ("command", Kind::Text, ALWAYS),
            ("cpu_ns", Kind::Size, ALWAYS),
            ("memory_bytes", Kind::Size, ALWAYS),
        ]),
        ALWAYS,
    ),
    ("cpu_ns", Kind::Size, OPTIONAL),
    ("memory_bytes", Kind::Size, OPTIONAL),
    ("memory_limit_bytes", Kind::Size, OPTIONAL),
    ("network_rx_bytes", Kind::Size, OPTIONAL),
    ("network_tx_bytes", Kind::Size, OPTIONAL),
    ("block_read_bytes", Kind::Size, OPTIONAL),
    ("block_write_bytes", Kind::Size, OPTIONAL),
];

const SYS_INFO: &[Field] = &[
    ("os_type", Kind::Text, ALWAYS),
    ("operating_system", Kind::Text, ALWAYS),
    ("kernel_version", Kind::Text, ALWAYS),
    ("architecture", Kind::Text, ALWAYS),
    ("cpus", Kind::Size, ALWAYS),
    ("memory_bytes", Kind::Size, ALWAYS),
    ("hostname", Kind::Text, ALWAYS),
    ("runtime", Kind::Text, ALWAYS),
    ("runtime_version", Kind::Text, ALWAYS),
];

const VERSION: &[Field] = &[
    ("info", Kind::Text, ALWAYS),
    ("plugin", Kind::Text, OPTIONAL),
    ("plugin_version", Kind::Text, OPTIONAL),
    ("runtime", Kind::Text, OPTIONAL),
    ("runtime_version", Kind::Text, OPTIONAL),
    ("messages", Kind::Texts, OPTIONAL),
    ("config_types", Kind::Texts, OPTIONAL),
];

const IMAGES: &[Field] = &[(
    "images",
    Kind::Objects(&[
        ("reference", Kind::Text, ALWAYS),
        ("digest", Kind::Text, ALWAYS),
        ("size", Kind::Size, ALWAYS),
        ("created_at", Kind::Size, ALWAYS),
    ]),
    ALWAYS,
)];

const EXEC: &[Field] = &[
    ("exit_code", Kind::Integer, ALWAYS),
    ("stdout", Kind::Text, ALWAYS),
    ("stderr", Kind::Text, ALWAYS),
    ("truncated", Kind::Bool, ALWAYS),
];

const HEALTH: &[Field] = &[
    (
        "health",
        Kind::OneOf(&["healthy", "unhealthy", "none"]),
        ALWAYS,
    ),
    ("output", Kind::Text, ALWAYS),
    ("checked_at", Kind::Size, ALWAYS),
    ("interval_ms", Kind::Size, OPTIONAL),
];

const PRUNED: &[Field] = &[
    ("images", Kind::Texts, ALWAYS),
    ("bytes", Kind::Size, ALWAYS),
];

/// Checks the fields of a successful response to a request of the type `message`.
pub fn response(message: &str, response: &Map<String, Value>) -> Result<(), String> {
    match message {
        "status" | "wait" => status(response, ""),
        "list" => list(response),
        "version" => fields(response, VERSION, ""),
        "img_pull" => fields(response, PULLED, ""),
        "create" => fields(response, &[("ignored", Kind::Texts, OPTIONAL)], ""),
        "top" => {
            fields(response, TOP, "")?;
            let pid = |process: &Value| process.get("pid").and_then(Value::as_i64);
            sorted(response, "processes", pid)
        }
        "sys_info" => fields(response, SYS_INFO, ""),
        "img_list" => {
            fields(response, IMAGES, "")?;
            let text = |image: &Value| image.get("reference")?.as_str().map(str::to_owned);
            sorted(response, "images", text)
        }
        "exec" => fields(response, EXEC, ""),
        "health" => fields(response, HEALTH, ""),
        "prune" => {
            fields(response, PRUNED, "")?;
            sorted(response, "images", |name| name.as_str().map(str::to_owned))
        }
        _ => Ok(()),
    }
}

/// Checks one line of `events`.
pub fn event(line: &Map<String, Value>) -> Result<(), String> {
    let kinds = Kind::OneOf(&["created", "started", "exited", "removed", "pulled"]);
    let known: &[Field] = &[
        ("time", Kind::Size, ALWAYS),
        ("name", Kind::Text, ALWAYS),
        ("event", kinds, ALWAYS),
        ("exit_code", Kind::Integer, OPTIONAL),
    ];
    fields(line, known, "")
}

fn list(response: &Map<String, Value>) -> Result<(), String> {
    let known = &[
        ("modules", Kind::Texts, ALWAYS),
        ("details", Kind::Object, OPTIONAL),
    ];
    fields(response, known, "")?;
    sorted(response, "modules", |name| name.as_str().map(str::to_owned))?;
    let count = |found: Option<usize>| found.unwrap_or_default();
    if let Some(details) = response.get("details").and_then(Value::as_object) {
        let names = response.get("modules").and_then(Value::as_array);
        if count(names.map(Vec::len)) != details.len() {
            return Err("\"details\" are not one for each of \"modules\"".to_owned());
        }
    }
    for (name, details) in response
        .get("details")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let place = format!("details/{name}/");
        match details.as_object() {
            Some(details) => status(details, &place)?,
            None => return Err(format!("\"{place}\" is not an object")),
        }
    }
    Ok(())
}

/// Whether an array is in order.
fn sorted<K: PartialOrd + std::fmt::Debug>(
    response: &Map<String, Value>,
    name: &str,
    key: impl Fn(&Value) -> Option<K>,
) -> Result<(), String> {
    let items = response
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let keys: Vec<_> = items.map(key).collect();
    match keys.is_sorted() {
        true => Ok(()),
        false => Err(format!("\"{name}\" is not sorted: {keys:?}")),
    }
}

/// The fields of a status, and that they say the same.
fn status(response: &Map<String, Value>, place: &str) -> Result<(), String> {
    fields(response, STATUS, place)?;
    let text = |key: &str| response.get(key).and_then(Value::as_str);
    let number = |key: &str| response.get(key).and_then(Value::as_i64);
    let word = text("status").unwrap_or_default();
    let wrong = |what: &str| Err(format!("{place}status is {word:?}, but {what}"));
    match (word, number("exit_code")) {
        ("stopped", Some(0)) | ("unknown" | "running", None) => {}
        ("failed", Some(code)) if code != 0 => {}
        (_, code) => return wrong(&format!("\"exit_code\" is {code:?}")),
    }
    if number("exit_code").is_some() != number("finished_at").is_some() {
        return wrong("only one of \"exit_code\" and \"finished_at\" is there");
    }
    let states: &[&str] = match word {
        "running" => &["running", "paused"],
        "stopped" | "failed" => &["exited", "restarting"],
        _ => &["created"],
    };
    match text("state") {
        Some(state) if !states.contains(&state) => return wrong(&format!("state is {state:?}")),
        _ => {}
    }
    match (number("started_at"), number("finished_at")) {
        (Some(0), _) if word == "running" => wrong("\"started_at\" is 0"),
        (Some(started), Some(finished)) if finished < started => wrong("it ended before it began"),
        _ => Ok(()),
    }
}

fn fields(object: &Map<String, Value>, known: &[Field], place: &str) -> Result<(), String> {
    for (name, kind, always) in known {
        match object.get(*name) {
            Some(value) => check(value, *kind, &format!("{place}{name}"))?,
            None if *always => return Err(format!("the field \"{place}{name}\" is missing")),
            None => {}
        }
    }
    Ok(())
}

fn check(value: &Value, kind: Kind, place: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("\"{place}\" is {value}, not {what}"));
    match kind {
        Kind::Text if !value.is_string() => wrong("a string"),
        Kind::Integer if !value.is_i64() => wrong("an integer that fits 64 bits"),
        Kind::Size if value.as_i64().is_none_or(|number| number < 0) => {
            wrong("an integer of at least 0 that fits 64 bits")
        }
        Kind::Bool if !value.is_boolean() => wrong("true or false"),
        Kind::Object if !value.is_object() => wrong("an object"),
        Kind::OneOf(words) if !words.iter().any(|word| value == word) => {
            wrong(&format!("one of {words:?}"))
        }
        Kind::Texts => match value.as_array() {
            Some(items) if items.iter().all(Value::is_string) => Ok(()),
            _ => wrong("an array of strings"),
        },
        Kind::Objects(known) => {
            let Some(items) = value.as_array() else {
                return wrong("an array");
            };
            for (index, item) in items.iter().enumerate() {
                let Some(item) = item.as_object() else {
                    return wrong("an array of objects");
                };
                fields(item, known, &format!("{place}/{index}/"))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
