//! How the layers of settings become one tree, as dynaconf does it: pure functions on JSON values.
//!
//! Keys are the same in upper and lower case, and keep the spelling in which they came first. A table of a
//! later layer replaces the one of an earlier, unless `dynaconf_merge: true` stands at the top of the later
//! file or in the table; then they are merged with all that is nested in them, and lists are joined.

use serde_json::{Map, Value};

/// The key that has tables merged.
const MERGE: &str = "dynaconf_merge";

/// The word in a list that has it joined with the earlier one, where what is in both is there once.
const MERGE_UNIQUE: &str = "dynaconf_merge_unique";

/// Lays a file over `tree`.
pub fn lay_over(tree: &mut Map<String, Value>, mut file: Map<String, Value>) {
    let merges = remove(&mut file, MERGE).is_some_and(|mark| is_true(&mark));
    for (key, value) in file {
        // As in variables of the environment: a_b__c and a_b.c are c in the table a_b.
        let key = key.replace("__", ".");
        let path: Vec<&str> = key.split('.').collect();
        set(tree, &path, value, merges && path.len() == 1);
    }
}

/// Sets the value at `path`. Tables on the way are made, or kept with what else they hold. `merges` says
/// whether the value is merged with the old one where it does not say that itself.
pub fn set(tree: &mut Map<String, Value>, path: &[&str], value: Value, merges: bool) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let key = spelling(tree, first).unwrap_or_else(|| (*first).to_owned());
    let old = tree.entry(key).or_insert(Value::Null);
    if rest.is_empty() {
        let before = old.take();
        *old = replaced(before, value, merges);
        return;
    }
    if !old.is_object() {
        *old = Value::Object(Map::new());
    }
    if let Value::Object(table) = old {
        set(table, rest, value, merges);
    }
}

/// The value at `path`, keys in upper or lower case.
pub fn get<'a>(tree: &'a Map<String, Value>, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = tree.get(&spelling(tree, first)?)?;
    match (rest.is_empty(), value) {
        (true, value) => Some(value),
        (false, Value::Object(table)) => get(table, rest),
        (false, _) => None,
    }
}

/// Takes the value of `key` out, in upper or lower case.
pub fn remove(table: &mut Map<String, Value>, key: &str) -> Option<Value> {
    table.remove(&spelling(table, key)?)
}

/// How `key` is spelled in `table`.
fn spelling(table: &Map<String, Value>, key: &str) -> Option<String> {
    if table.contains_key(key) {
        return Some(key.to_owned());
    }
    let key = key.to_lowercase();
    table
        .keys()
        .find(|other| other.to_lowercase() == key)
        .cloned()
}

/// What stands at a place after `new` was set there.
fn replaced(old: Value, mut new: Value, merges: bool) -> Value {
    let own = own_wish(&mut new);
    match own.unwrap_or(merges) {
        true => merged(old, new),
        false => plain(new),
    }
}

/// Whether a table or a list says itself that it is merged; the word for that is taken out. A list keeps
/// the one that says how.
fn own_wish(value: &mut Value) -> Option<bool> {
    match value {
        Value::Object(table) => table.remove(MERGE).map(|mark| is_true(&mark)),
        Value::Array(items) => {
            let before = items.len();
            items.retain(|item| item != MERGE);
            let says = items.len() != before || items.iter().any(|item| item == MERGE_UNIQUE);
            says.then_some(true)
        }
        _ => None,
    }
}

/// `new` over `old`, with all that is nested.
fn merged(old: Value, new: Value) -> Value {
    match (old, new) {
        (Value::Object(mut old), Value::Object(new)) => {
            for (key, value) in new {
                let key = spelling(&old, &key).unwrap_or(key);
                let place = old.entry(key).or_insert(Value::Null);
                let before = place.take();
                *place = replaced(before, value, true);
            }
            Value::Object(old)
        }
        (Value::Array(old), Value::Array(new)) => joined(old, new),
        (_, new) => plain(new),
    }
}

/// `new` behind `old`. Equal lists are one.
fn joined(old: Vec<Value>, mut new: Vec<Value>) -> Value {
    if old == new {
        return Value::Array(new);
    }
    let before = new.len();
    new.retain(|item| item != MERGE_UNIQUE);
    let is_unique = new.len() != before;
    let kept = old
        .into_iter()
        .filter(|item| !is_unique || !new.contains(item));
    Value::Array(kept.chain(new.clone()).collect())
}

/// The value without the words that say how it is merged.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(table) => {
            let kept = table.into_iter().filter(|(key, _)| key != MERGE);
            Value::Object(kept.map(|(key, value)| (key, plain(value))).collect())
        }
        Value::Array(items) => {
            let kept = items.into_iter();
            let kept = kept.filter(|item| item != MERGE && item != MERGE_UNIQUE);
            Value::Array(kept.map(plain).collect())
        }
        other => other,
    }
}

/// Whether Python takes the value for true.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is_true) => *is_true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(table) => !table.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn layers(layers: &[Value]) -> Value {
        let mut tree = Map::new();
        for layer in layers {
            lay_over(&mut tree, layer.as_object().unwrap().clone());
        }
        Value::Object(tree)
    }

    /// What dynaconf 3.3.5 makes of the same files.
    #[test]
    fn layers_are_merged_as_dynaconf_does() {
        let cases = [
            // Without a word a table replaces a table.
            (
                json!({"m": {"a": 1, "b": 2}, "x": 1}),
                json!({"m": {"a": 3}}),
                json!({"m": {"a": 3}, "x": 1}),
            ),
            // At the top of the file: all tables, lists included.
            (
                json!({"m": {"a": 1, "l": [1, 2], "n": {"p": 1}}}),
                json!({"dynaconf_merge": true, "m": {"b": 3, "l": [3], "n": {"q": 2}}, "l": [1]}),
                json!({"m": {"a": 1, "l": [1, 2, 3], "n": {"p": 1, "q": 2}, "b": 3}, "l": [1]}),
            ),
            (
                json!({"m": {"l": [1, 2]}}),
                json!({"dynaconf_merge": true, "m": {"l": [1, 2]}}),
                json!({"m": {"l": [1, 2]}}),
            ),
            (
                json!({"l": [1, 2]}),
                json!({"dynaconf_merge": true, "l": [2, 3]}),
                json!({"l": [1, 2, 2, 3]}),
            ),
            // In the table: that one with what is nested.
            (
                json!({"m": {"a": 1, "n": {"p": 1}}}),
                json!({"m": {"dynaconf_merge": true, "b": 3, "n": {"q": 2}}}),
                json!({"m": {"a": 1, "n": {"p": 1, "q": 2}, "b": 3}}),
            ),
            // A table can say no.
            (
                json!({"m": {"a": 1, "n": {"p": 1}}}),
                json!({"dynaconf_merge": true, "m": {"dynaconf_merge": false, "b": 3}}),
                json!({"m": {"b": 3}}),
            ),
            (
                json!({"m": {"a": 1, "n": {"p": 1}}}),
                json!({"dynaconf_merge": true, "m": {"b": 3, "n": {"dynaconf_merge": false, "q": 2}}}),
                json!({"m": {"a": 1, "n": {"q": 2}, "b": 3}}),
            ),
            // Null replaces, and so does another type.
            (
                json!({"m": {"a": 1, "n": {"p": 1}}, "k": {"z": 1}}),
                json!({"dynaconf_merge": true, "m": {"a": null, "n": null}, "k": null}),
                json!({"m": {"a": null, "n": null}, "k": null}),
            ),
            (
                json!({"m": {"a": 1, "n": {"p": 1}, "l": [1]}}),
                json!({"dynaconf_merge": true, "m": {"a": {"b": 1}, "n": 5, "l": {"x": 1}}}),
                json!({"m": {"a": {"b": 1}, "n": 5, "l": {"x": 1}}}),
            ),
            // Lists.
            (
                json!({"l": [1]}),
                json!({"l": [2, "dynaconf_merge"]}),
                json!({"l": [1, 2]}),
            ),
            (
                json!({"m": {"l": [1, 2]}, "l": [1, 2]}),
                json!({"m": {"dynaconf_merge": true, "l": [2, 3, "dynaconf_merge_unique"]},
                       "l": [2, 3, "dynaconf_merge_unique"]}),
                json!({"m": {"l": [1, 2, 3]}, "l": [1, 2, 3]}),
            ),
            // Upper and lower case, first spelling.
            (
                json!({"Mq": {"Host": 1, "KEEP": 2}}),
                json!({"DYNACONF_MERGE": true, "mQ": {"hOST": 3}}),
                json!({"Mq": {"Host": 3, "KEEP": 2}}),
            ),
            // Any true value, and false.
            (
                json!({"m": {"a": 1}}),
                json!({"dynaconf_merge": "yes", "m": {"b": 1}}),
                json!({"m": {"a": 1, "b": 1}}),
            ),
            (
                json!({"m": {"a": 1}}),
                json!({"dynaconf_merge": false, "m": {"b": 1}}),
                json!({"m": {"b": 1}}),
            ),
            (
                json!({"a": {"x": 1}}),
                json!({"a.b": 1, "a__c": 2}),
                json!({"a": {"x": 1, "b": 1, "c": 2}}),
            ),
        ];
        for (first, second, expected) in cases {
            let found = layers(&[first.clone(), second.clone()]);
            assert_eq!(found, expected, "{first} and {second}");
        }
    }

    #[test]
    fn a_place_is_set_beside_what_else_is_there() {
        let mut tree = json!({"m": {"a": 1, "N": {"p": 1}}, "s": 1});
        let tree = tree.as_object_mut().unwrap();
        set(tree, &["M", "n", "q"], json!("x"), false);
        set(tree, &["M", "b", "c"], json!(2), false);
        set(tree, &["s", "t"], json!(3), false);
        let expected =
            json!({"m": {"a": 1, "N": {"p": 1, "q": "x"}, "b": {"c": 2}}, "s": {"t": 3}});
        assert_eq!(Value::Object(tree.clone()), expected);
        set(tree, &["m", "n"], json!({"r": 1}), false);
        assert_eq!(get(tree, &["m", "n"]), Some(&json!({"r": 1})));
        assert_eq!(get(tree, &["m", "n", "R"]), Some(&json!(1)));
        assert_eq!(get(tree, &["m", "n", "R", "x"]), None);
    }
}
