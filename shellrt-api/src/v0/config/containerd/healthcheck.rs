//! How to find out whether a container's program is well.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::Duration;

/// A check. What is not said here is what the image says, else the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Healthcheck {
    /// What is run in the container. Default: the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Test>,
    /// How long the caller should wait between two checks. Default 30 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// How long a check may take before it is killed and has failed. Default 30 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// After how many failures in a row the module is unhealthy. Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// How long after a start failures do not count, unless a check has passed. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Duration>,
}

/// What a check runs: in JSON `["NONE"]`, `["CMD", program, arguments...]`, `["CMD-SHELL", line]`, or
/// text, which is a line for the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Nothing, also where the image has a check.
    None,
    /// A program and its arguments.
    Command(Vec<String>),
    /// A line for the image's shell, `/bin/sh` where it names none.
    Shell(String),
}

const FORMS: &str =
    "[\"CMD\", program, arguments...], [\"CMD-SHELL\", line], [\"NONE\"], or a line for the shell";

impl Test {
    /// Reads the list, as images have it too; `None` where it is no test.
    pub fn from_list(mut list: Vec<String>) -> Option<Test> {
        match (list.first().map(String::as_str), list.len()) {
            (Some("NONE"), 1) => Some(Test::None),
            (Some("CMD"), 2..) => Some(Test::Command(list.split_off(1))),
            (Some("CMD-SHELL"), 2) => list.pop().map(Test::Shell),
            _ => None,
        }
    }
}

impl Serialize for Test {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let (kind, words) = match self {
            Test::None => ("NONE", &[][..]),
            Test::Command(words) => ("CMD", &words[..]),
            Test::Shell(line) => ("CMD-SHELL", std::slice::from_ref(line)),
        };
        let mut list = output.serialize_seq(Some(words.len() + 1))?;
        list.serialize_element(kind)?;
        for word in words {
            list.serialize_element(word)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Test {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Test;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(FORMS)
            }

            fn visit_str<E: de::Error>(self, line: &str) -> Result<Test, E> {
                Ok(Test::Shell(line.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut input: A) -> Result<Test, A::Error> {
                let mut list = Vec::new();
                while let Some(word) = input.next_element()? {
                    list.push(word);
                }
                Test::from_list(list)
                    .ok_or_else(|| de::Error::custom(format!("a check's test is {FORMS}")))
            }
        }
        input.deserialize_any(Form)
    }
}

#[cfg(test)]
mod tests {
    use super::Test;

    /// The forms of the Compose specification, "healthcheck".
    #[test]
    fn forms() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        for (json, test) in [
            (r#"["NONE"]"#, Test::None),
            (r#"["CMD","a","b c"]"#, Test::Command(words(&["a", "b c"]))),
            (
                r#"["CMD-SHELL","a || b"]"#,
                Test::Shell("a || b".to_owned()),
            ),
        ] {
            assert_eq!(serde_json::from_str::<Test>(json).unwrap(), test, "{json}");
            assert_eq!(serde_json::to_string(&test).unwrap(), json);
        }
        assert_eq!(
            serde_json::from_str::<Test>("\"a || b\"").unwrap(),
            Test::Shell("a || b".to_owned())
        );
        for json in [
            "[]",
            r#"["CMD"]"#,
            r#"["CMD-SHELL"]"#,
            r#"["CMD-SHELL","a","b"]"#,
            r#"["NONE","a"]"#,
            r#"["a"]"#,
            "1",
        ] {
            assert!(serde_json::from_str::<Test>(json).is_err(), "{json}");
        }
    }
}
