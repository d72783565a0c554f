//! Limits that are more than a size: memory with swap, and the limits of a process.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::Bytes;
use super::text::{self, ParseError};

/// Memory and swap together: in JSON a size, or -1 for no limit of the swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// As much swap as the machine has.
    Unlimited,
    /// Memory and swap together; equal to `mem_limit` it means no swap at all.
    Limit(Bytes),
}

const SWAP: &str = "a size in bytes, text like \"64m\", or -1 for no limit";

impl FromStr for Swap {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.trim() {
            "-1" => Ok(Swap::Unlimited),
            text => text
                .parse()
                .map(Swap::Limit)
                .map_err(|_| ParseError::new(format!("{text:?} is not {SWAP}"))),
        }
    }
}

impl Serialize for Swap {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        match self {
            Swap::Unlimited => output.serialize_i64(-1),
            Swap::Limit(bytes) => bytes.serialize(output),
        }
    }
}

impl<'de> Deserialize<'de> for Swap {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        text::number_or_text(
            input,
            SWAP,
            |number| match number {
                -1 => Some(Swap::Unlimited),
                _ => u64::try_from(number).ok().map(Bytes).map(Swap::Limit),
            },
            |text| text.parse().ok(),
        )
    }
}

/// A limit of each process, in JSON a number for both values, or `{"soft": 1024, "hard": 4096}`.
/// -1 is no limit. The unit is the limit's own, as setrlimit(2) has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ulimit {
    /// What holds; the program may raise it up to `hard`.
    pub soft: i64,
    /// What only a privileged program may raise.
    pub hard: i64,
}

impl FromStr for Ulimit {
    type Err = ParseError;

    /// As docker's `--ulimit` has it after the name: `"soft"` or `"soft:hard"`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (soft, hard) = text.split_once(':').unwrap_or((text, text));
        match (soft.parse(), hard.parse()) {
            (Ok(soft), Ok(hard)) => Ok(Ulimit { soft, hard }),
            _ => Err(ParseError::new(format!(
                "{text:?} is no limit; write \"soft\" or \"soft:hard\" as numbers, -1 for none"
            ))),
        }
    }
}

impl Serialize for Ulimit {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        if self.soft == self.hard {
            return output.serialize_i64(self.soft);
        }
        let both = Both {
            soft: self.soft,
            hard: self.hard,
        };
        both.serialize(output)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Both {
    soft: i64,
    hard: i64,
}

impl<'de> Deserialize<'de> for Ulimit {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Limit;
        impl<'de> Visitor<'de> for Limit {
            type Value = Ulimit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or {\"soft\": number, \"hard\": number}")
            }

            fn visit_i64<E: de::Error>(self, both: i64) -> Result<Ulimit, E> {
                Ok(Ulimit {
                    soft: both,
                    hard: both,
                })
            }

            fn visit_u64<E: de::Error>(self, both: u64) -> Result<Ulimit, E> {
                let both = i64::try_from(both)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(both), &self))?;
                self.visit_i64(both)
            }

            fn visit_map<A: MapAccess<'de>>(self, input: A) -> Result<Ulimit, A::Error> {
                let input = de::value::MapAccessDeserializer::new(input);
                let Both { soft, hard } = Both::deserialize(input)?;
                Ok(Ulimit { soft, hard })
            }
        }
        input.deserialize_any(Limit)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Swap, Ulimit};

    #[test]
    fn forms() {
        for (json, swap) in [
            ("-1", Swap::Unlimited),
            ("\"-1\"", Swap::Unlimited),
            ("\"1g\"", Swap::Limit(Bytes(1 << 30))),
            ("1024", Swap::Limit(Bytes(1024))),
        ] {
            assert_eq!(serde_json::from_str::<Swap>(json).unwrap(), swap, "{json}");
        }
        assert_eq!(
            "1024:-1".parse(),
            Ok(Ulimit {
                soft: 1024,
                hard: -1
            })
        );
        assert_eq!(
            "1024".parse(),
            Ok(Ulimit {
                soft: 1024,
                hard: 1024
            })
        );
        for text in ["", "a", "1:", ":1", "1:2:3", "unlimited"] {
            assert!(text.parse::<Ulimit>().is_err(), "{text}");
        }
    }
}
