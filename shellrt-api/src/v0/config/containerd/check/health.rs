//! The check of whether the program is well.

use std::time::Duration;

use super::super::super::super::Error;
use super::super::super::invalid;
use super::super::{Config, Test};
use super::no_nul;

/// The shortest time that docker takes.
const SHORTEST: Duration = Duration::from_millis(1);

pub(super) fn check(config: &Config) -> Result<(), Error> {
    let Some(check) = &config.healthcheck else {
        return Ok(());
    };
    let place = |field: &str| format!("/healthcheck/{field}");
    match &check.test {
        Some(Test::Command(words)) => {
            for (index, word) in words.iter().enumerate() {
                no_nul(&place(&format!("test/{}", index + 1)), word)?;
            }
            if words.first().is_some_and(String::is_empty) {
                return Err(invalid(
                    &place("test/1"),
                    "the name of the program is empty",
                ));
            }
        }
        Some(Test::Shell(line)) => {
            no_nul(&place("test"), line)?;
            if line.trim().is_empty() {
                let reason = "there is nothing to run; [\"NONE\"] is no check";
                return Err(invalid(&place("test"), reason));
            }
        }
        Some(Test::None) | None => {}
    }
    for (field, value) in [("interval", check.interval), ("timeout", check.timeout)] {
        if value.is_some_and(|value| value.0 < SHORTEST) {
            return Err(invalid(&place(field), "it must be at least a millisecond"));
        }
    }
    match check.retries {
        Some(0) => Err(invalid(&place("retries"), "it must be at least 1")),
        _ => Ok(()),
    }
}
