//! Settings in variables of the environment: `DYNACONF_MQTT__HOST=broker` is the key `host` in the table
//! `mqtt`. A value is read as TOML would read it behind an equals sign, and where it can't be that, it is
//! text.

use std::collections::BTreeMap;

use serde_json::Value;

/// What the names of these variables begin with.
const PREFIX: &str = "DYNACONF_";

/// A setting from the environment.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The tables and the key.
    pub path: Vec<String>,
    /// The value as it was written. It may be a secret.
    pub text: String,
    /// The value with its type.
    pub value: Value,
}

/// The settings among `variables`, in the order of their names, and the names that can't be a setting.
pub fn settings(variables: &BTreeMap<String, String>) -> (Vec<Setting>, Vec<String>) {
    let mut found = Vec::new();
    let mut strange = Vec::new();
    for (name, text) in variables {
        let Some(path) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let path: Vec<String> = path.split("__").map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            strange.push(name.clone());
            continue;
        }
        found.push(Setting {
            path,
            text: text.clone(),
            value: typed(text),
        });
    }
    (found, strange)
}

/// The value with the type that TOML gives it.
fn typed(text: &str) -> Value {
    // Python's spellings, which are usual here.
    let toml = match text {
        "True" => "true",
        "False" => "false",
        other => other,
    };
    let read = toml::from_str::<toml::Table>(&format!("key={toml}"));
    let value = read.ok().and_then(|mut table| table.remove("key"));
    let json = value.and_then(json);
    json.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// The value in JSON; nothing for what JSON does not have: times, and numbers that are none.
fn json(value: toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(number)?.into(),
        toml::Value::Boolean(is_true) => Value::Bool(is_true),
        toml::Value::Datetime(_) => return None,
        toml::Value::Array(items) => {
            Value::Array(items.into_iter().map(json).collect::<Option<_>>()?)
        }
        toml::Value::Table(table) => {
            let entries = table
                .into_iter()
                .map(|(key, value)| Some((key, json(value)?)));
            Value::Object(entries.collect::<Option<_>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What dynaconf 3.3.5 makes of the same text. Dates are text here, and so are numbers that are none.
    #[test]
    fn values_have_the_types_that_dynaconf_gives_them() {
        let cases = [
            ("5", json!(5)),
            ("5.5", json!(5.5)),
            ("true", json!(true)),
            ("True", json!(true)),
            ("False", json!(false)),
            ("\"5\"", json!("5")),
            ("'5'", json!("5")),
            ("[1,\"a\"]", json!([1, "a"])),
            ("hello", json!("hello")),
            ("a b", json!("a b")),
            ("", json!("")),
            ("1e3", json!(1000.0)),
            ("0x10", json!(16)),
            ("1_000", json!(1000)),
            ("+5", json!(5)),
            ("null", json!("null")),
            ("{a=1,b={c=2}}", json!({"a": 1, "b": {"c": 2}})),
            ("yes", json!("yes")),
            ("007", json!("007")),
            ("1.0", json!(1.0)),
            ("a\nb", json!("a\nb")),
            ("~", json!("~")),
            ("@int 7", json!("@int 7")),
            ("2020-01-01", json!("2020-01-01")),
            ("inf", json!("inf")),
        ];
        for (text, expected) in cases {
            assert_eq!(typed(text), expected, "{text}");
        }
    }

    #[test]
    fn names_are_tables_and_a_key() {
        let variables = [
            ("DYNACONF_MQTT__HOST", "h"),
            ("DYNACONF_LOGLEVEL", "DEBUG"),
            ("dynaconf_x", "1"),
            ("ROOT_PATH_FOR_DYNACONF", "/x"),
            ("DYNACONF_M____X", "1"),
            ("DYNACONF_", "1"),
        ];
        let variables = variables.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let (found, strange) = settings(&variables.into());
        let paths: Vec<String> = found.iter().map(|it| it.path.join(".")).collect();
        assert_eq!(paths, ["LOGLEVEL", "MQTT.HOST"]);
        assert_eq!(strange, ["DYNACONF_", "DYNACONF_M____X"]);
    }
}
