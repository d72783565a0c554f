//! Reads the merged settings into types, and takes note of all that is wrong with them, not only of the
//! first.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value};
use shellrt_api::v0::Secret;

use super::environment::{self, Setting};
use super::format::Lookup;
use super::{files, merge, Error};

/// All layers of settings.
pub struct Sources {
    layers: Vec<Layer>,
    environment: Vec<Setting>,
    variables: BTreeMap<String, String>,
    notes: RefCell<Notes>,
}

/// A file.
struct Layer {
    file: PathBuf,
    tree: Map<String, Value>,
}

/// What is wrong with the settings.
#[derive(Debug, Default)]
pub struct Notes {
    /// What makes them useless.
    pub problems: Vec<String>,
    /// What is strange about them.
    pub warnings: Vec<String>,
}

impl Sources {
    /// The files of `folder`, or where they are searched without it, and the environment.
    ///
    /// # Errors
    /// Where there is no file, or one that can't be read.
    pub fn read(
        folder: Option<&Path>,
        variables: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    ) -> Result<Sources, Error> {
        let variables = variables.into_iter();
        // What is not Unicode can't be a setting.
        let variables = variables.filter_map(|(name, value)| {
            let (name, value) = (name.into(), value.into());
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let variables: BTreeMap<String, String> = variables.collect();
        let (files, missing) = files::find(folder, &variables)?;
        let (environment, strange) = environment::settings(&variables);
        let mut notes = Notes::default();
        for name in missing {
            notes.warn(format!("{name:?} was asked for and is not there"));
        }
        for name in strange {
            notes.warn(format!("the variable {name:?} names no setting"));
        }
        let mut layers = Vec::new();
        for file in files {
            let tree = files::read(&file)?;
            if files::is_for_secrets(&file) && files::is_open(&file) {
                let file = file.display();
                notes.warn(format!(
                    "{file} can be read by others; run \"chmod 600 {file}\""
                ));
            }
            layers.push(Layer { file, tree });
        }
        Ok(Sources {
            layers,
            environment,
            variables,
            notes: RefCell::new(notes),
        })
    }

    /// The whole tree. `defaults` are what other settings see in place of those that are not there.
    pub fn tree(&self, defaults: &Map<String, Value>) -> Table<'_> {
        let mut tree = Map::new();
        for layer in &self.layers {
            merge::lay_over(&mut tree, layer.tree.clone());
        }
        for setting in &self.environment {
            let path: Vec<&str> = setting.path.iter().map(String::as_str).collect();
            merge::set(&mut tree, &path, setting.value.clone(), false);
        }
        let lookup = Lookup {
            tree: &tree,
            defaults,
            variables: &self.variables,
        };
        let (entries, errors) = lookup.resolve();
        for (key, error) in errors {
            self.problem(&key, &error.to_string());
        }
        Table {
            sources: self,
            path: String::new(),
            entries,
        }
    }

    /// What was noted so far.
    pub fn into_notes(self) -> Notes {
        self.notes.into_inner()
    }

    /// The files, in their order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.layers.iter().map(|layer| layer.file.as_path())
    }

    /// Notes what is strange.
    pub fn warn(&self, text: String) {
        self.notes.borrow_mut().warn(text);
    }

    /// Notes that `key` is wrong.
    pub fn problem(&self, key: &str, what: &str) {
        self.note(format!("{key:?} {what} ({})", self.origin(key)));
    }

    /// Notes a problem, once.
    fn note(&self, text: String) {
        let mut notes = self.notes.borrow_mut();
        if !notes.problems.contains(&text) {
            notes.problems.push(text);
        }
    }

    /// Notes that `key` is missing, and where it got lost when it was there.
    fn missing(&self, key: &str) {
        let path: Vec<&str> = key.split('.').collect();
        let has = |layer: &Layer, path: &[&str]| merge::get(&layer.tree, path).is_some();
        let set = self.layers.iter().rposition(|layer| has(layer, &path));
        let later = set
            .and_then(|set| self.layers.get(set + 1..))
            .unwrap_or_default();
        let parent = path.split_last().map_or(&path[..], |(_, parent)| parent);
        match later.iter().find(|layer| has(layer, parent)) {
            Some(thief) => self.note(format!(
                "{key:?} is missing, as {} replaces its table; write \"dynaconf_merge: true\" at the \
                 top of that file",
                thief.file.display()
            )),
            None => self.problem(key, "is missing"),
        }
    }

    /// Where `key` was set last; where it is to be set when it was not.
    fn origin(&self, key: &str) -> String {
        let path: Vec<&str> = key.split(['.', '[']).collect();
        if let Some(setting) = self.variable(key) {
            return format!("variable DYNACONF_{}", setting.path.join("__"));
        }
        let last = self
            .layers
            .iter()
            .rev()
            .find(|it| merge::get(&it.tree, &path).is_some());
        let file = last.or(self.layers.first()).map(|layer| &layer.file);
        file.map_or_else(String::new, |file| file.display().to_string())
    }

    /// The variable that sets `key` itself.
    fn variable(&self, key: &str) -> Option<&Setting> {
        let is_it = |it: &&Setting| it.path.join(".").eq_ignore_ascii_case(key);
        self.environment.iter().rev().find(is_it)
    }

    /// Warns where a secret stands in a file for everybody.
    fn check_secret(&self, key: &str) {
        let path: Vec<&str> = key.split('.').collect();
        for layer in &self.layers {
            let value = merge::get(&layer.tree, &path);
            let is_there = value.is_some_and(|value| !value.is_null() && value != "");
            if is_there && !files::is_for_secrets(&layer.file) {
                self.warn(format!(
                    "{key:?} stands in {}; its place is .secrets.yaml or the environment",
                    layer.file.display()
                ));
            }
        }
    }
}

impl Notes {
    fn warn(&mut self, text: String) {
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }
}

/// A table of settings that are taken out one by one. What is left at the end nobody knows.
pub struct Table<'a> {
    sources: &'a Sources,
    path: String,
    entries: Map<String, Value>,
}

impl<'a> Table<'a> {
    /// The whole name of `key`.
    pub fn name(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    /// Notes that `key` is wrong.
    pub fn problem(&self, key: &str, what: &str) {
        self.sources.problem(&self.name(key), what);
    }

    /// Notes that `key` is strange.
    pub fn warn(&self, key: &str, what: &str) {
        self.sources.warn(format!("{:?} {what}", self.name(key)));
    }

    /// Takes the value of `key`; nothing where it is not there or null.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        merge::remove(&mut self.entries, key).filter(|value| !value.is_null())
    }

    /// Whether `key` is there, and null.
    pub fn is_null(&self, key: &str) -> bool {
        merge::get(&self.entries, &[key]).is_some_and(Value::is_null)
    }

    /// Takes the table of `key`, which is empty where it is not there.
    pub fn table(&mut self, key: &str) -> Table<'a> {
        let entries = match self.take(key) {
            Some(Value::Object(entries)) => entries,
            Some(_) => {
                self.problem(key, "must be a table");
                Map::new()
            }
            None => Map::new(),
        };
        Table {
            sources: self.sources,
            path: self.name(key),
            entries,
        }
    }

    /// The names that are left.
    pub fn keys(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// Takes text. Empty text is as good as none.
    pub fn text(&mut self, key: &str) -> Option<String> {
        let text = match self.take(key)? {
            Value::String(text) => text,
            // A name may look like a number; in the environment it is known how it was written.
            Value::Number(_) | Value::Bool(_) => {
                let written = self.sources.variable(&self.name(key));
                match written {
                    Some(setting) => setting.text.clone(),
                    None => {
                        self.problem(key, "must be text; put it in quotes");
                        return None;
                    }
                }
            }
            _ => {
                self.problem(key, "must be text");
                return None;
            }
        };
        (!text.is_empty()).then_some(text)
    }

    /// Takes text that must be there.
    pub fn required_text(&mut self, key: &str) -> String {
        self.require(key);
        self.text(key).unwrap_or_default()
    }

    /// Notes where `key` is missing.
    pub fn require(&self, key: &str) {
        let value = merge::get(&self.entries, &[key]);
        if value.is_none_or(|value| value.is_null() || value == "") {
            self.sources.missing(&self.name(key));
        }
    }

    /// Takes text that must not be seen.
    pub fn secret(&mut self, key: &str) -> Option<Secret> {
        self.sources.check_secret(&self.name(key));
        self.text(key).map(Secret::new)
    }

    /// Takes a word with a meaning.
    pub fn word<T>(&mut self, key: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let word = self.text(key)?;
        word.parse()
            .map_err(|error: T::Err| self.problem(key, &format!("is wrong: {error}")))
            .ok()
    }

    /// Takes yes or no.
    pub fn flag(&mut self, key: &str) -> Option<bool> {
        let value = self.take(key)?;
        let flag = match &value {
            Value::Bool(is_true) => Some(*is_true),
            Value::Number(number) => number.as_u64().filter(|n| *n < 2).map(|n| n == 1),
            Value::String(word) => match word.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Some(true),
                "false" | "no" | "off" => Some(false),
                _ => None,
            },
            _ => None,
        };
        if flag.is_none() {
            self.problem(key, "must be true or false");
        }
        flag
    }

    /// Takes a whole number from `least` on.
    pub fn whole(&mut self, key: &str, least: i64) -> Option<i64> {
        let value = self.take(key)?;
        let number = match &value {
            Value::Number(number) => number.as_i64().or_else(|| {
                let float = number
                    .as_f64()
                    .filter(|it| it.fract() == 0.0 && it.abs() < 1e15)?;
                Some(float as i64)
            }),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| *number >= least);
        if number.is_none() {
            let what = match least {
                i64::MIN => "must be a whole number".to_owned(),
                least => format!("must be a whole number, {least} or more"),
            };
            self.problem(key, &what);
        }
        number
    }

    /// Takes a number that is not below 0.
    pub fn number(&mut self, key: &str) -> Option<f64> {
        let value = self.take(key)?;
        let number = match &value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| number.is_finite() && *number >= 0.0);
        if number.is_none() {
            self.problem(key, "must be a number, 0 or more");
        }
        number
    }

    /// Takes a time in seconds, up to ten years; 0 counts as none.
    pub fn seconds(&mut self, key: &str) -> Option<Duration> {
        const LONGEST: f64 = 10.0 * 366.0 * 86400.0;
        let seconds = self.number(key)?;
        if seconds > LONGEST {
            self.problem(key, "is too long");
            return None;
        }
        (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
    }

    /// Takes a list of words: a list, or one text with spaces between them.
    pub fn words(&mut self, key: &str) -> Option<Vec<String>> {
        let words = match self.take(key)? {
            Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
            Value::Array(items) => {
                let words = items.into_iter().map(|item| match item {
                    Value::String(text) => Some(text),
                    Value::Number(number) => Some(number.to_string()),
                    _ => None,
                });
                let words: Option<Vec<String>> = words.collect();
                if words.is_none() {
                    self.problem(key, "must be a list of words");
                }
                words?
            }
            _ => {
                self.problem(
                    key,
                    "must be a list of words, or text with spaces between them",
                );
                return None;
            }
        };
        Some(words)
    }

    /// Takes keys that other runtimes of this world have and that mean nothing here.
    pub fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.take(key);
        }
    }

    /// Notes what nobody has taken.
    pub fn end(self) {
        for key in self.entries.keys() {
            self.sources
                .warn(format!("{:?} is not known and is ignored", self.name(key)));
        }
    }
}
