//! When a module that has ended is started again.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The restart policy, in JSON as text: `"no"`, `"on-failure"`, `"on-failure:3"`, `"always"`,
/// `"unless-stopped"`. The delay before a restart doubles from 100 ms to one minute and begins anew
/// after ten seconds of running. An explicit stop is never undone before the next boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Restart {
    /// Never.
    #[default]
    No,
    /// When it failed (its status is `failed`), and after a reboot in which it was running.
    OnFailure {
        /// How many restarts in a row; `None` = without end.
        max: Option<u32>,
    },
    /// Whenever it ends, and after every reboot.
    Always,
    /// Whenever it ends, and after a reboot unless it had been stopped.
    UnlessStopped,
}

impl Restart {
    pub(super) fn is_default(&self) -> bool {
        *self == Restart::No
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Restart::No => f.write_str("no"),
            Restart::OnFailure { max: None } => f.write_str("on-failure"),
            Restart::OnFailure { max: Some(max) } => write!(f, "on-failure:{max}"),
            Restart::Always => f.write_str("always"),
            Restart::UnlessStopped => f.write_str("unless-stopped"),
        }
    }
}

/// Text that is no restart policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartError {
    text: String,
}

impl fmt::Display for RestartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no restart policy; use \"no\", \"on-failure\", \"on-failure:3\", \"always\" or \
             \"unless-stopped\"",
            self.text
        )
    }
}

impl std::error::Error for RestartError {}

impl FromStr for Restart {
    type Err = RestartError;

    fn from_str(text: &str) -> Result<Self, RestartError> {
        match text {
            "no" => Ok(Restart::No),
            "always" => Ok(Restart::Always),
            "unless-stopped" => Ok(Restart::UnlessStopped),
            "on-failure" => Ok(Restart::OnFailure { max: None }),
            _ => text
                .strip_prefix("on-failure:")
                .filter(|max| max.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|max| max.parse().ok())
                .map(|max| Restart::OnFailure { max: Some(max) })
                .ok_or_else(|| RestartError {
                    text: text.to_owned(),
                }),
        }
    }
}

impl Serialize for Restart {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Restart {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        // By a visitor, because an error after it would not know its place in the input.
        struct Policy;
        impl Visitor<'_> for Policy {
            type Value = Restart;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a restart policy")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Restart, E> {
                text.parse().map_err(E::custom)
            }
        }
        input.deserialize_str(Policy)
    }
}

#[cfg(test)]
mod tests {
    use super::Restart;

    #[test]
    fn text_both_ways() {
        for text in [
            "no",
            "on-failure",
            "on-failure:0",
            "on-failure:3",
            "always",
            "unless-stopped",
        ] {
            assert_eq!(text.parse::<Restart>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "never",
            "on-failure:",
            "on-failure:-1",
            "on-failure:+1",
            "Always",
        ] {
            assert!(text.parse::<Restart>().is_err(), "{text}");
        }
    }
}
