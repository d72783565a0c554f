//! Reading a body as docker does: keys in upper or lower case, null for what is not there; and noting
//! what its types do not have.

use std::cell::RefCell;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};

/// What is noticed on the way.
#[derive(Default)]
pub(super) struct Notes {
    /// JSON pointers to the keys that the types do not have and that ask for something.
    pub(super) unknown: Vec<String>,
    /// Where it is wrong.
    pub(super) wrong: Option<String>,
}

/// A part of the body.
pub(super) struct Part<'a> {
    pub(super) value: &'a Value,
    pub(super) path: String,
    pub(super) notes: &'a RefCell<Notes>,
}

impl<'de> Part<'de> {
    fn read<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        let (path, notes) = (self.path.clone(), self.notes);
        let result = seed.deserialize(self);
        if result.is_err() {
            // The first that hears of it is the innermost.
            notes.borrow_mut().wrong.get_or_insert(path);
        }
        result
    }
}

impl<'de> Deserializer<'de> for Part<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Object(_) => visitor.visit_map(Members::new(self, None)),
            Value::Array(items) => visitor.visit_seq(Items {
                left: items.iter().enumerate(),
                path: self.path,
                notes: self.notes,
            }),
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value {
            Value::Object(_) => visitor.visit_map(Members::new(self, Some(fields))),
            // A list of values is no object, whatever serde makes of it.
            other => Err(serde::de::Error::invalid_type(
                match other {
                    Value::Array(_) => serde::de::Unexpected::Seq,
                    Value::String(text) => serde::de::Unexpected::Str(text),
                    _ => serde::de::Unexpected::Other("a plain value"),
                },
                &"an object",
            )),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The members of an object that are there, by the names that the type has for them.
struct Members<'de> {
    left: std::vec::IntoIter<(&'de str, Part<'de>)>,
    value: Option<Part<'de>>,
}

impl<'de> Members<'de> {
    /// Of a type's `fields`, or of a map.
    fn new(part: Part<'de>, fields: Option<&'static [&'static str]>) -> Self {
        let mut members = Vec::new();
        for (key, value) in part.value.as_object().into_iter().flatten() {
            if value.is_null() {
                continue;
            }
            let path = format!(
                "{}/{}",
                part.path,
                key.replace('~', "~0").replace('/', "~1")
            );
            let notes = part.notes;
            let known = match fields {
                None => Some(key.as_str()),
                Some(fields) => {
                    let mut fields = fields.iter().copied();
                    fields.find(|field| field.eq_ignore_ascii_case(key))
                }
            };
            match known {
                Some(known) => members.push((known, Part { value, path, notes })),
                None if asks_for_nothing(value, 1) => {}
                None => notes.borrow_mut().unknown.push(path),
            }
        }
        Members {
            left: members.into_iter(),
            value: None,
        }
    }
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.left.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        let key = serde::de::value::BorrowedStrDeserializer::new(key);
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        match self.value.take() {
            Some(value) => value.read(seed),
            None => Err(serde::de::Error::custom("a value without its key")),
        }
    }
}

/// The items of a list.
struct Items<'de> {
    left: std::iter::Enumerate<std::slice::Iter<'de, Value>>,
    path: String,
    notes: &'de RefCell<Notes>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some((index, value)) = self.left.next() else {
            return Ok(None);
        };
        let (path, notes) = (format!("{}/{index}", self.path), self.notes);
        Part { value, path, notes }.read(seed).map(Some)
    }
}

/// Whether it is Go's zero value: of a number, a text, a list, or, to this depth, of an object or a
/// list of those. Deeper down an empty object is often a member of a set.
fn asks_for_nothing(value: &Value, depth: usize) -> bool {
    let inside = |value| depth > 0 && asks_for_nothing(value, depth - 1);
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(|item| item.is_number() && inside(item)),
        Value::Object(members) => members
            .values()
            .all(|value| !value.is_object() && inside(value)),
    }
}
