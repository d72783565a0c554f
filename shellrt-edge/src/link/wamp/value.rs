//! Values as they cross the wire in MessagePack and CBOR, which know more than JSON does.
//!
//! In memory a value is a JSON value, because that is what components speak. Bytes are, as WAMP has them in
//! JSON, a string of a NUL and their base64; in the binary serializers they travel as bytes.

use std::fmt;

use base64::prelude::{Engine, BASE64_STANDARD};
use serde::de::{
    DeserializeSeed, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Number, Value};

/// A value that is written for a binary serializer.
pub struct Written<'a>(pub &'a Value);

/// A value that was read by a binary serializer.
pub struct Read(pub Value);

/// The text that stands for `bytes`.
pub fn text_of(bytes: &[u8]) -> String {
    format!("\0{}", BASE64_STANDARD.encode(bytes))
}

/// The bytes that `text` stands for, where it does.
pub fn bytes_of(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text.strip_prefix('\0')?).ok()
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) => match bytes_of(text) {
                Some(bytes) => serializer.serialize_bytes(&bytes),
                None => serializer.serialize_str(text),
            },
            Value::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(&Written(item))?;
                }
                seq.end()
            }
            Value::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, member) in members {
                    map.serialize_entry(name, &Written(member))?;
                }
                map.end()
            }
            // A null of serde_json is a unit, which both write as their null.
            plain => plain.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Read)
    }
}

struct AnyValue;

impl<'de> DeserializeSeed<'de> for AnyValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        Ok(large(Number::from_i128(value), value as f64))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        Ok(large(Number::from_u128(value), value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        // JSON has no word for what is not a number.
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::String(text_of(value)))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    /// MessagePack's extensions come so: a pair of a number and bytes.
    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(AnyValue)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key_seed(AnyValue)? {
            let name = match name {
                Value::String(name) => name,
                // JSON's members have no other names.
                other => other.to_string(),
            };
            members.insert(name, map.next_value_seed(AnyValue)?);
        }
        Ok(Value::Object(members))
    }

    /// CBOR's tags come so: the tagged value is taken without its tag.
    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Value, A::Error> {
        let (_, variant) = data.variant::<IgnoredAny>()?;
        variant.tuple_variant(2, Tagged)
    }
}

struct Tagged;

impl<'de> Visitor<'de> for Tagged {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tag and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        seq.next_element::<u64>()?;
        let value = seq.next_element_seed(AnyValue)?;
        value.ok_or_else(|| A::Error::custom("a tag without a value"))
    }
}

/// A number that has no exact form in JSON's reader is taken as near as it gets.
fn large(exact: Option<Number>, near: f64) -> Value {
    let number = exact.or_else(|| Number::from_f64(near));
    number.map_or(Value::Null, Value::Number)
}
