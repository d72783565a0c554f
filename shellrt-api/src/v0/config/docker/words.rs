//! A command: a list of words, or one word.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::Deserializer;

/// A list, or text that is its only word; docker does not split it.
pub(super) fn deserialize<'de, D>(input: D) -> Result<Option<Vec<String>>, D::Error>
where
    D: Deserializer<'de>,
{
    struct Words;
    impl<'de> Visitor<'de> for Words {
        type Value = Option<Vec<String>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of words")
        }

        fn visit_str<E: de::Error>(self, word: &str) -> Result<Self::Value, E> {
            Ok(Some(vec![word.to_owned()]))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut input: A) -> Result<Self::Value, A::Error> {
            let mut words = Vec::new();
            while let Some(word) = input.next_element()? {
                words.push(word);
            }
            Ok(Some(words))
        }
    }
    input.deserialize_any(Words)
}
