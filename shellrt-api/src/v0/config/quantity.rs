//! Sizes and durations as the Compose specification has them: numbers, or numbers with units.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A size in bytes: a number, or text like `"64m"`. The units are `b`, `k`, `m`, `g` and `t`, with
/// or without a following `b` or `ib`, in any case, each 1024 times the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Bytes(
    /// The number of bytes.
    pub u64,
);

/// A duration: a number of seconds, or text like `"1m30s"`. The units are `us`, `ms`, `s`, `m` and
/// `h`; text without a unit is seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(
    /// The duration itself.
    pub std::time::Duration,
);

/// Why text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantityError {
    text: String,
    expected: &'static str,
}

const BYTES: &str = "a size in bytes, or text like \"64m\"";
const DURATION: &str = "a number of seconds, or text like \"1m30s\"";

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not {}", self.text, self.expected)
    }
}

impl std::error::Error for QuantityError {}

impl FromStr for Bytes {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        bytes(text).map(Bytes).ok_or_else(|| QuantityError {
            text: text.to_owned(),
            expected: BYTES,
        })
    }
}

impl FromStr for Duration {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let nanoseconds = nanoseconds(text);
        let duration = nanoseconds
            .map(std::time::Duration::from_nanos)
            .map(Duration);
        duration.ok_or_else(|| QuantityError {
            text: text.to_owned(),
            expected: DURATION,
        })
    }
}

/// Splits a number with at most one point, and its unit.
fn split(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    (digits > 0 && number.len() - digits <= 1).then_some((number, rest))
}

/// `number` (digits with at most one point) times `unit`, without a rounding error in whole numbers.
fn times(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = if whole.is_empty() {
        0
    } else {
        whole.parse::<u64>().ok()?
    };
    let mut value = whole.checked_mul(unit)?;
    // Nine digits are enough for a nanosecond and more than enough for a byte.
    let (mut part, mut scale) = (0_u128, 1_u128);
    for digit in fraction.bytes().take(9) {
        part = part * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    value = value.checked_add(u64::try_from(part * u128::from(unit) / scale).ok()?)?;
    Some(value)
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text.trim())?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let factor = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    times(number, factor)
}

fn nanoseconds(text: &str) -> Option<u64> {
    const SECOND: u64 = 1_000_000_000;
    let mut rest = text.trim();
    let mut sum = 0_u64;
    loop {
        let (number, after) = split(rest)?;
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let factor = match unit {
            // A bare number is seconds, but `1m30` is a typo.
            "" if sum == 0 && next.is_empty() => SECOND,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3600 * SECOND,
            _ => return None,
        };
        sum = sum.checked_add(times(number, factor)?)?;
        if next.is_empty() {
            return Some(sum);
        }
        rest = next;
    }
}

impl Serialize for Duration {
    /// Whole seconds are written as an integer, everything else with a fraction.
    fn serialize<S: serde::Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        if self.0.subsec_nanos() == 0 {
            output.serialize_u64(self.0.as_secs())
        } else {
            output.serialize_f64(self.0.as_secs_f64())
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Size;
        impl Visitor<'_> for Size {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(BYTES)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Bytes, E> {
                Ok(Bytes(value))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                text.parse()
                    .map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        input.deserialize_any(Size)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Seconds;
        impl Visitor<'_> for Seconds {
            type Value = Duration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(DURATION)
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Duration, E> {
                Ok(Duration(std::time::Duration::from_secs(seconds)))
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Duration, E> {
                std::time::Duration::try_from_secs_f64(seconds)
                    .map(Duration)
                    .map_err(|_| E::invalid_value(Unexpected::Float(seconds), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                text.parse()
                    .map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        input.deserialize_any(Seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Duration};

    /// The forms of the Compose specification, "Specifying byte values" and "Specifying durations".
    #[test]
    fn compose_forms() {
        for (text, expected) in [
            ("2b", 2),
            ("1024kb", 1 << 20),
            ("2048k", 2 << 20),
            ("300m", 300 << 20),
            ("1gb", 1 << 30),
            ("0.5g", 512 << 20),
            ("64MiB", 64 << 20),
            ("17", 17),
        ] {
            assert_eq!(text.parse::<Bytes>().unwrap().0, expected, "{text}");
        }
        for (text, milliseconds) in [
            ("2.5s", 2_500),
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("2h32m", 9_120_000),
            ("1h5m30s20ms", 3_930_020),
            ("10", 10_000),
        ] {
            assert_eq!(
                text.parse::<Duration>().unwrap().0.as_millis(),
                milliseconds,
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "m",
            "-1",
            "1x",
            "1.2.3",
            "64 megabytes",
            "99999999999999999999",
            "20000000t",
        ] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
        for text in ["", "s", "-1s", "1m30", "5d", "1s1", "99999999999h"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_and_text_are_the_same_in_json() {
        assert_eq!(
            serde_json::from_str::<Bytes>("65536").unwrap(),
            Bytes(65536)
        );
        assert_eq!(
            serde_json::from_str::<Bytes>("\"64k\"").unwrap(),
            Bytes(65536)
        );
        assert_eq!(
            serde_json::from_str::<Duration>("1.5")
                .unwrap()
                .0
                .as_millis(),
            1500
        );
        assert!(serde_json::from_str::<Bytes>("-1").is_err());
        assert!(serde_json::from_str::<Duration>("-1").is_err());
        assert_eq!(
            serde_json::to_string(&"1500ms".parse::<Duration>().unwrap()).unwrap(),
            "1.5"
        );
    }
}
