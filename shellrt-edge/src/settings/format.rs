//! Values that begin with `@`: a type, as in `@int 5`, or text with other settings in it, as in
//! `@format {this.runtime.realm}/proc/{{module}}`. Pure functions on the merged tree.
//!
//! `{{` and `}}` are braces in the result, for what is only known at run time.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::merge;

/// What of dynaconf's words this daemon does not know. A value that begins with one of them was not meant
/// as text.
const UNSUPPORTED: [&str; 18] = [
    "@capitalize",
    "@casefold",
    "@del",
    "@empty",
    "@get",
    "@insert",
    "@jinja",
    "@lower",
    "@lstrip",
    "@merge",
    "@merge_unique",
    "@read_file",
    "@reset",
    "@rstrip",
    "@split",
    "@strip",
    "@swapcase",
    "@title",
];

/// Why a value can't be worked out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A word of dynaconf's that does not work here.
    #[error("{0:?} is not supported")]
    Unsupported(String),
    /// The text is not what its word says.
    #[error("what follows {0:?} is not {1}")]
    NotOf(&'static str, &'static str),
    /// Another setting that does not exist.
    #[error("there is no setting {0:?}")]
    NoSetting(String),
    /// A variable of the environment that does not exist.
    #[error("there is no variable {0:?}")]
    NoVariable(String),
    /// What stands in braces is nothing that is known here.
    #[error("{{{0}}} is neither {{this.SETTING}} nor {{env[VARIABLE]}}")]
    BadField(String),
    /// A brace alone.
    #[error("a brace is alone; one that is meant is written twice")]
    Brace,
    /// A table or a list in the middle of text.
    #[error("the setting {0:?} is a table or a list and can't be a part of text")]
    NotText(String),
    /// A value that depends on itself.
    #[error("the setting {0:?} depends on itself")]
    Circle(String),
}

/// Where values are looked up.
pub struct Lookup<'a> {
    /// The merged settings.
    pub tree: &'a Map<String, Value>,
    /// What stands for settings that are not there, or are null.
    pub defaults: &'a Map<String, Value>,
    /// The environment.
    pub variables: &'a BTreeMap<String, String>,
}

impl Lookup<'_> {
    /// The whole tree with all values worked out, and the keys where that failed.
    pub fn resolve(&self) -> (Map<String, Value>, Vec<(String, Error)>) {
        let mut errors = Vec::new();
        let tree = self.table(self.tree, "", &mut errors);
        (tree, errors)
    }

    fn table(
        &self,
        table: &Map<String, Value>,
        path: &str,
        errors: &mut Vec<(String, Error)>,
    ) -> Map<String, Value> {
        let entries = table.iter().map(|(key, value)| {
            let path = match path {
                "" => key.clone(),
                path => format!("{path}.{key}"),
            };
            (key.clone(), self.value(value, &path, errors))
        });
        entries.collect()
    }

    fn value(&self, value: &Value, path: &str, errors: &mut Vec<(String, Error)>) -> Value {
        match value {
            Value::Object(table) => Value::Object(self.table(table, path, errors)),
            Value::Array(items) => {
                let items = items.iter().enumerate();
                let items =
                    items.map(|(n, item)| self.value(item, &format!("{path}[{n}]"), errors));
                Value::Array(items.collect())
            }
            Value::String(text) => {
                let found = self.text(text, &mut vec![path.to_lowercase()]);
                found.unwrap_or_else(|error| {
                    errors.push((path.to_owned(), error));
                    Value::Null
                })
            }
            other => other.clone(),
        }
    }

    /// What `text` stands for. `open` are the settings that are being worked out.
    fn text(&self, text: &str, open: &mut Vec<String>) -> Result<Value, Error> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim_start();
        let read = |open: &mut Vec<String>| Ok(python(&self.text(rest, open)?).unwrap_or_default());
        match word {
            "@format" => self.format(rest, open),
            "@str" => Ok(Value::String(read(open)?)),
            "@int" => {
                let number: Result<i64, _> = read(open)?.trim().parse();
                Ok(number
                    .map_err(|_| Error::NotOf("@int", "a whole number"))?
                    .into())
            }
            "@float" => {
                let number: Option<f64> = read(open)?.trim().parse().ok();
                let number = number.and_then(serde_json::Number::from_f64);
                Ok(number.ok_or(Error::NotOf("@float", "a number"))?.into())
            }
            "@bool" => {
                let word = read(open)?.trim().to_lowercase();
                Ok(Value::Bool(is_yes(&word)))
            }
            "@json" => {
                let text = read(open)?;
                serde_json::from_str(&text).map_err(|_| Error::NotOf("@json", "JSON"))
            }
            "@none" | "@null" | "@note" | "@comment" => Ok(Value::Null),
            word if UNSUPPORTED.contains(&word) => Err(Error::Unsupported(word.to_owned())),
            _ => Ok(Value::String(text.to_owned())),
        }
    }

    fn format(&self, template: &str, open: &mut Vec<String>) -> Result<Value, Error> {
        let whole = template
            .strip_prefix('{')
            .and_then(|it| it.strip_suffix('}'));
        let whole = whole.filter(|field| !field.contains(['{', '}']));
        if let Some(field) = whole {
            // A list of names that another setting has, say. Python would make text of it that no
            // list can be read from.
            let value = self.field(field, open)?;
            let is_many = value.is_array() || value.is_object();
            return match is_many {
                true => Ok(value),
                false => Ok(Value::String(python(&value).unwrap_or_default())),
            };
        }
        let mut text = String::new();
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                text.push_str(brace);
                rest = after;
                continue;
            }
            let field = after.split_once('}').filter(|_| brace == "{");
            let (field, after) = field.ok_or(Error::Brace)?;
            let value = self.field(field, open)?;
            text.push_str(&python(&value).ok_or_else(|| Error::NotText(field.to_owned()))?);
            rest = after;
        }
        text.push_str(rest);
        Ok(Value::String(text))
    }

    /// The value of `this.a.b`, `this[a][0]` or `env[NAME]`.
    fn field(&self, field: &str, open: &mut Vec<String>) -> Result<Value, Error> {
        let bad = || Error::BadField(field.to_owned());
        let steps = steps(field).ok_or_else(bad)?;
        let (first, path) = steps.split_first().ok_or_else(bad)?;
        match (first.as_str(), path) {
            ("this", [_, ..]) => {
                let name = path.join(".");
                let none = || Error::NoSetting(name.clone());
                let known = name.to_lowercase();
                if open.contains(&known) {
                    return Err(Error::Circle(name));
                }
                let value = at(self.tree, path).filter(|value| !value.is_null());
                let default = || at(self.defaults, path);
                let value = value.or_else(default).or_else(|| at(self.tree, path));
                let value = value.ok_or_else(none)?;
                open.push(known);
                let found = self.nested(value, open);
                open.pop();
                found
            }
            ("env", [name]) => {
                let value = self.variables.get(name);
                let value = value.ok_or_else(|| Error::NoVariable(name.clone()))?;
                Ok(Value::String(value.clone()))
            }
            _ => Err(bad()),
        }
    }

    fn nested(&self, value: &Value, open: &mut Vec<String>) -> Result<Value, Error> {
        Ok(match value {
            Value::String(text) => self.text(text, open)?,
            Value::Array(items) => {
                let items = items.iter().map(|item| self.nested(item, open));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Value::Object(table) => {
                let entries = table.iter();
                let entries = entries.map(|(key, it)| Ok((key.clone(), self.nested(it, open)?)));
                Value::Object(entries.collect::<Result<_, Error>>()?)
            }
            other => other.clone(),
        })
    }
}

/// The names in `this.a[b].c`.
fn steps(field: &str) -> Option<Vec<String>> {
    if field.contains(['!', ':']) {
        return None;
    }
    let mut steps = Vec::new();
    for part in field.split('.') {
        let (name, indices) = match part.split_once('[') {
            Some((name, indices)) => (name, indices.strip_suffix(']')?),
            None => (part, ""),
        };
        steps.push(name.to_owned());
        if !indices.is_empty() {
            steps.extend(indices.split("][").map(str::to_owned));
        }
    }
    let is_whole = steps.iter().all(|step| !step.is_empty());
    is_whole.then_some(steps)
}

/// The value at `path`; a step into a list is a number.
fn at<'a>(tree: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let first = merge::get(tree, &[first.as_str()])?;
    rest.iter().try_fold(first, |value, step| match value {
        Value::Object(table) => merge::get(table, &[step.as_str()]),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The value as Python prints it; nothing for tables and lists.
fn python(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => return None,
    })
}

/// Whether a word means yes.
fn is_yes(word: &str) -> bool {
    matches!(word, "t" | "true" | "enabled" | "1" | "on" | "yes")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resolved(value: &str) -> Result<Value, Error> {
        let tree = json!({
            "x": 3, "y": true, "z": null, "f": 1.0, "n": 0.25, "l": ["a", 1], "t": {"k": "v"},
            "w": ["@format {this.x}", {"q": "@int 4"}],
            "chain": "@format {this.chain2}!", "chain2": "@format {this.x}",
            "circle": "@format a{this.circle2}", "circle2": "@format b{this.CIRCLE}",
            "value": value,
        });
        let defaults = json!({"z": "default", "t": {"other": 1}});
        let variables = BTreeMap::from([("HOME".to_owned(), "/root".to_owned())]);
        let lookup = Lookup {
            tree: tree.as_object().unwrap(),
            defaults: defaults.as_object().unwrap(),
            variables: &variables,
        };
        let (tree, mut errors) = lookup.resolve();
        errors.retain(|(key, _)| key == "value");
        match errors.pop() {
            Some((_, error)) => Err(error),
            None => Ok(tree["value"].clone()),
        }
    }

    /// What dynaconf 3.3.5 makes of the same values.
    #[test]
    fn values_are_what_dynaconf_makes_of_them() {
        let cases = [
            ("@int 5", json!(5)),
            ("@float 7", json!(7.0)),
            ("@str 7", json!("7")),
            ("@bool yes", json!(true)),
            ("@bool 0", json!(false)),
            ("@none", json!(null)),
            ("@json {\"a\":1}", json!({"a": 1})),
            ("@int @format {this.x}", json!(3)),
            ("@format a{this.x}", json!("a3")),
            ("@format {this.x}", json!("3")),
            ("@format {this.y}", json!("True")),
            ("@format {this.f}", json!("1.0")),
            ("@format {this.n}", json!("0.25")),
            ("@format {this.l[0]}", json!("a")),
            ("@format {{a}}-{this.t.k}", json!("{a}-v")),
            ("@format {env[HOME]}", json!("/root")),
            ("@format {this.T.K}", json!("v")),
            ("@format {this[x]}", json!("3")),
            ("@format {this.t[k]}", json!("v")),
            ("@format {this.chain}", json!("3!")),
            ("@format }}", json!("}")),
            ("@format", json!("")),
            ("@formatx", json!("@formatx")),
            ("@foo 1", json!("@foo 1")),
            (" @int 5", json!(" @int 5")),
            ("plain @format {this.x}", json!("plain @format {this.x}")),
        ];
        for (value, expected) in cases {
            assert_eq!(resolved(value), Ok(expected), "{value}");
        }
    }

    /// Lists stay lists, and settings that are null have their defaults, as dynaconf's validators do it.
    #[test]
    fn lists_and_defaults_go_through() {
        assert_eq!(resolved("@format {this.l}"), Ok(json!(["a", 1])));
        assert_eq!(resolved("@format {this.w}"), Ok(json!(["3", {"q": 4}])));
        assert_eq!(resolved("@format {this.z}"), Ok(json!("default")));
        assert_eq!(resolved("@format -{this.t.other}"), Ok(json!("-1")));
    }

    #[test]
    fn what_can_not_be_worked_out_is_an_error() {
        let none = |name: &str| Error::NoSetting(name.to_owned());
        let bad = |field: &str| Error::BadField(field.to_owned());
        let cases = [
            ("@format {this.nope}", none("nope")),
            ("@format {this.t.nope}", none("t.nope")),
            ("@format {env[NOPE]}", Error::NoVariable("NOPE".to_owned())),
            ("@format {this.x!r}", bad("this.x!r")),
            ("@format {this.x:>5}", bad("this.x:>5")),
            ("@format {}", bad("")),
            ("@format {0}", bad("0")),
            ("@format {this}", bad("this")),
            ("@format {x", Error::Brace),
            ("@format }", Error::Brace),
            ("@format a{this.t}", Error::NotText("this.t".to_owned())),
            ("@format {this.circle}", Error::Circle("CIRCLE".to_owned())),
            ("@format {this.value}", Error::Circle("value".to_owned())),
            ("@int abc", Error::NotOf("@int", "a whole number")),
            ("@jinja {{1}}", Error::Unsupported("@jinja".to_owned())),
        ];
        for (value, expected) in cases {
            assert_eq!(resolved(value), Err(expected), "{value}");
        }
    }
}
