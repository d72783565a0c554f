//! Values that are text in JSON and something else in Rust. They are read by visitors, because an
//! error after a visitor would not know its place in the input.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{self, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// Why text can't be read as a value of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    reason: String,
}

impl ParseError {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        ParseError {
            reason: reason.into(),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for ParseError {}

/// A value that is text.
pub(super) fn parsed<'de, D, T>(input: D, expected: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = ParseError>,
{
    input.deserialize_str(Parsed(expected, PhantomData))
}

/// A value that is text, or an integer that is taken as its text.
pub(super) fn parsed_or_number<'de, D, T>(input: D, expected: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = ParseError>,
{
    input.deserialize_any(ParsedOrNumber(Parsed(expected, PhantomData)))
}

struct Parsed<T>(&'static str, PhantomData<T>);

impl<T: FromStr<Err = ParseError>> Visitor<'_> for Parsed<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

struct ParsedOrNumber<T>(Parsed<T>);

impl<T: FromStr<Err = ParseError>> Visitor<'_> for ParsedOrNumber<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0 .0)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        self.0.visit_str(text)
    }
}

/// A value that is a number or text; `None` from either function is an error.
pub(super) fn number_or_text<'de, D: Deserializer<'de>, T>(
    input: D,
    expected: &'static str,
    number: fn(i64) -> Option<T>,
    text: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    struct Either<T> {
        expected: &'static str,
        number: fn(i64) -> Option<T>,
        text: fn(&str) -> Option<T>,
    }
    impl<T> Visitor<'_> for Either<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.expected)
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
            (self.number)(value).ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
            let number = i64::try_from(value).ok().and_then(self.number);
            number.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
        }

        fn visit_str<E: de::Error>(self, value: &str) -> Result<T, E> {
            (self.text)(value).ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
        }
    }
    input.deserialize_any(Either {
        expected,
        number,
        text,
    })
}

/// Text, or an integer that is taken as its text.
struct Word(String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        number_or_text(
            input,
            "text or a number",
            |number| Some(Word(number.to_string())),
            |text| Some(Word(text.to_owned())),
        )
    }
}

/// A list of texts and integers.
pub(super) fn list<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    let words = Vec::<Word>::deserialize(input)?;
    Ok(words.into_iter().map(|Word(word)| word).collect())
}

/// An object whose values are texts and integers.
pub(super) fn map<'de, D>(input: D) -> Result<BTreeMap<String, String>, D::Error>
where
    D: Deserializer<'de>,
{
    struct Words;
    impl<'de> Visitor<'de> for Words {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of texts and numbers")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut input: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, Word(value))) = input.next_entry()? {
                map.insert(key, value);
            }
            Ok(map)
        }
    }
    input.deserialize_map(Words)
}

/// A list of values that are text, or one of them alone.
pub(super) fn one_or_many<'de, D, T>(input: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + FromStr,
    T::Err: fmt::Display,
{
    struct Many<T>(PhantomData<T>);
    impl<'de, T> Visitor<'de> for Many<T>
    where
        T: Deserialize<'de> + FromStr,
        T::Err: fmt::Display,
    {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text or a list of texts")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            Ok(vec![text.parse().map_err(E::custom)?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut input: A) -> Result<Vec<T>, A::Error> {
            let mut values = Vec::new();
            while let Some(value) = input.next_element()? {
                values.push(value);
            }
            Ok(values)
        }
    }
    input.deserialize_any(Many(PhantomData))
}
