//! The check of whether a module's program is well: what it is, and what follows from its results.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use shellrt_api::v0::config::containerd::{Healthcheck, Test};
use shellrt_api::v0::config::invalid;
use shellrt_api::v0::health::{Health, Response};
use shellrt_api::v0::{exec, Code, Error as WireError};
use shellrt_plugin::event;
use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;

use super::record::Run;
use super::state::{Running, State};
use super::{aside, Module};
use crate::error::Error;
use crate::spec::ImageConfig;

/// How much of what a check writes is answered, in bytes; docker's.
const OUTPUT: usize = 4096;

/// A check, as it follows from the config and the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What is run.
    pub command: Vec<String>,
    /// How long the caller should wait between two.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// How many failures in a row make the module unhealthy.
    pub retries: u32,
    /// How long after a start failures do not count, unless one has passed.
    pub start_period: Duration,
}

impl Check {
    /// What of `config` is not said is the image's, then docker's default. A check of the image that
    /// can't be meant is none, because it must not keep the image from being run.
    ///
    /// # Errors
    /// Error 4 where the config has a check and nobody says what is run.
    pub fn of(
        config: Option<&Healthcheck>,
        image: &ImageConfig,
    ) -> Result<Option<Check>, WireError> {
        let own = config.cloned().unwrap_or_default();
        let of_image = image.healthcheck.clone().unwrap_or_default();
        let test = own
            .test
            .or_else(|| Test::from_list(of_image.test.unwrap_or_default()));
        let command = match test {
            Some(Test::None) => return Ok(None),
            Some(Test::Command(words)) => words,
            Some(Test::Shell(line)) => {
                let shell = image.shell.clone().filter(|words| !words.is_empty());
                let shell = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
                shell.into_iter().chain([line]).collect()
            }
            None if config.is_some() => {
                let reason = "neither the config nor the image says what is run";
                return Err(invalid("/healthcheck/test", reason));
            }
            None => return Ok(None),
        };
        let time = |own: Option<shellrt_api::v0::config::Duration>, image: Option<i64>, or: u64| {
            let image = image
                .and_then(|it| u64::try_from(it).ok())
                .filter(|it| *it > 0);
            let image = image.map(Duration::from_nanos);
            own.map(|own| own.0)
                .or(image)
                .unwrap_or(Duration::from_secs(or))
        };
        let retries = of_image.retries.and_then(|it| u32::try_from(it).ok());
        Ok(Some(Check {
            command,
            interval: time(own.interval, of_image.interval, 30),
            timeout: time(own.timeout, of_image.timeout, 30),
            retries: own.retries.or(retries.filter(|it| *it > 0)).unwrap_or(3),
            start_period: time(own.start_period, of_image.start_period, 0),
        }))
    }
}

/// What the checks of a run have said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The run's number.
    pub run: u64,
    /// The verdict.
    pub health: Health,
    /// Whether a check has passed.
    pub has_passed: bool,
    /// How many failures in a row have counted.
    pub failures: u32,
}

impl Verdict {
    fn none(run: u64) -> Self {
        Verdict {
            run,
            health: Health::None,
            has_passed: false,
            failures: 0,
        }
    }

    /// What follows from one more check; `is_starting` is whether the start period is not over.
    fn after(mut self, check: &Check, passed: bool, is_starting: bool) -> Self {
        if passed {
            self.health = Health::Healthy;
            self.has_passed = true;
            self.failures = 0;
        } else if self.has_passed || !is_starting {
            // More would only be written down again and again.
            self.failures = check.retries.min(self.failures.saturating_add(1));
            if self.failures == check.retries {
                self.health = Health::Unhealthy;
            }
        }
        self
    }
}

impl Module {
    /// The last verdict on `run`; `None` for a module without a check.
    pub fn health(&self, run: Option<&Run>) -> Option<Health> {
        self.definition.check.as_ref()?;
        let verdict = self.files.verdict().unwrap_or_default();
        let verdict = verdict.filter(|verdict| Some(verdict.run) == run.map(|run| run.number));
        Some(verdict.map_or(Health::None, |verdict| verdict.health))
    }

    /// Runs `check` in the module, which runs, and counts its result in.
    ///
    /// # Errors
    /// [`Error::Timeout`] where the request has less time than the check, [`Error::WrongState`] where
    /// the module ends meanwhile.
    pub fn check(&self, check: &Check, running: &Running) -> Result<Response, Error> {
        let checked_at = event::now();
        let (passed, output) = self.result(check)?;
        let (number, started_at) = match &running.run {
            Some(run) => (run.number, run.started_at),
            None => (0, 0),
        };
        let age = u64::try_from(checked_at.saturating_sub(started_at)).unwrap_or_default();
        let is_starting = Duration::from_nanos(age) < check.start_period;
        let verdict = {
            let _lock = Lock::exclusive(&self.files.verdict_lock(), self.containerd.deadline())?;
            let before = self.files.verdict()?;
            let known = before.clone().filter(|verdict| verdict.run == number);
            let verdict = known.unwrap_or_else(|| Verdict::none(number));
            let verdict = verdict.after(check, passed, is_starting);
            let is_newer = before.as_ref().is_some_and(|it| it.run > number);
            // A disk that wears out should not be written to for nothing.
            if !is_newer && before.as_ref() != Some(&verdict) {
                file::write_json(&self.files.verdict_file(), &verdict)?;
            }
            verdict
        };
        Ok(Response {
            health: verdict.health,
            output,
            checked_at,
            interval_ms: Some(u64::try_from(check.interval.as_millis()).unwrap_or(u64::MAX)),
        })
    }

    /// Whether the check passed, and what it wrote.
    fn result(&self, check: &Check) -> Result<(bool, String), Error> {
        let request = exec::Request {
            name: self.name.to_string(),
            args: check.command.clone(),
            env: Default::default(),
            timeout: None,
        };
        let own = Instant::now() + check.timeout;
        let limited = Module {
            containerd: self.containerd.until(own),
            ..self.clone()
        };
        let error = match aside::exec(&limited.containerd, &request) {
            Ok(answer) => {
                let mut output = answer.stdout + &answer.stderr;
                output.truncate(floor(&output, OUTPUT));
                return Ok((answer.exit_code == 0, output));
            }
            Err(Error::HungUp) => return Err(Error::HungUp),
            Err(error) => WireError::from(error),
        };
        let is_over = |deadline: Option<Instant>| deadline.is_some_and(|it| it <= Instant::now());
        match error.code {
            Code::TIMEOUT if is_over(self.containerd.deadline()) => Err(error.into()),
            Code::TIMEOUT => {
                let timeout = check.timeout;
                let words = format!("the check took more than {timeout:?} and was killed");
                Ok((false, words))
            }
            _ if self.now()?.state() != State::Active => Err(Error::WrongState {
                name: self.name.to_string(),
                what: "has ended during the check; start it first",
            }),
            // What can't be run has failed.
            Code::RUNTIME_ERROR => {
                let mut words = error.message.clone();
                for cause in error.caused_by() {
                    words = format!("{words}: {cause}");
                }
                words.truncate(floor(&words, OUTPUT));
                Ok((false, words))
            }
            _ => Err(error.into()),
        }
    }
}

/// The end of the last whole character before `most` bytes.
fn floor(text: &str, most: usize) -> usize {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn image(config: serde_json::Value) -> ImageConfig {
        serde_json::from_value(config).unwrap()
    }

    fn config(check: serde_json::Value) -> Healthcheck {
        serde_json::from_value(check).unwrap()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn config_then_image_then_docker() {
        let second = Duration::from_secs(1);
        let plain = image(json!({}));
        assert_eq!(Check::of(None, &plain).unwrap(), None);
        let default = Check::of(Some(&config(json!({"test": "a"}))), &plain).unwrap();
        let default = default.unwrap();
        let expected = Check {
            command: words(&["/bin/sh", "-c", "a"]),
            interval: 30 * second,
            timeout: 30 * second,
            retries: 3,
            start_period: Duration::ZERO,
        };
        assert_eq!(default, expected);

        // As a Dockerfile's HEALTHCHECK makes it; what is 0 was not said.
        let checked = image(json!({
            "Shell": ["/bin/ash", "-ec"],
            "Healthcheck": {"Test": ["CMD-SHELL", "b"], "Interval": 5_000_000_000_u64, "Timeout": 0,
                            "Retries": 7, "StartPeriod": 1_000_000_000}
        }));
        let own = config(json!({"timeout": 2, "retries": 1, "start_period": 0}));
        let check = Check::of(Some(&own), &checked).unwrap().unwrap();
        let expected = Check {
            command: words(&["/bin/ash", "-ec", "b"]),
            interval: 5 * second,
            timeout: 2 * second,
            retries: 1,
            start_period: Duration::ZERO,
        };
        assert_eq!(check, expected);
        let check = Check::of(None, &checked).unwrap().unwrap();
        assert_eq!(check.timeout, 30 * second);
        assert_eq!(check.start_period, second);
        assert_eq!(check.retries, 7);

        let none = config(json!({"test": ["NONE"]}));
        assert_eq!(Check::of(Some(&none), &checked).unwrap(), None);
        for none in [json!(["NONE"]), json!([]), json!(["nonsense"]), json!(null)] {
            let image = image(json!({"Healthcheck": {"Test": none}}));
            assert_eq!(Check::of(None, &image).unwrap(), None, "{none}");
        }
        let error = Check::of(Some(&config(json!({"retries": 1}))), &plain).unwrap_err();
        assert_eq!(error.detail["path"], "/config/healthcheck/test");
    }

    /// The rules of `health` in SPEC.md.
    #[test]
    fn verdicts() {
        let check = Check {
            command: words(&["a"]),
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            retries: 2,
            start_period: Duration::from_secs(1),
        };
        let follow = |checks: &[(bool, bool)]| {
            let mut verdict = Verdict::none(1);
            for &(passed, is_starting) in checks {
                verdict = verdict.after(&check, passed, is_starting);
            }
            verdict.health
        };
        let (pass, fail) = ((true, false), (false, false));
        let (early_pass, early_fail) = ((true, true), (false, true));
        for (checks, health) in [
            (&[] as &[_], Health::None),
            (&[pass], Health::Healthy),
            (&[fail], Health::None),
            (&[fail, fail], Health::Unhealthy),
            (&[fail, pass, fail], Health::Healthy),
            (&[pass, fail, fail], Health::Unhealthy),
            (&[fail, fail, fail, pass], Health::Healthy),
            (&[fail, fail, pass, fail], Health::Healthy),
            (&[early_fail, early_fail, early_fail], Health::None),
            (&[early_fail, early_fail, fail], Health::None),
            (
                &[early_fail, early_pass, early_fail, early_fail],
                Health::Unhealthy,
            ),
        ] {
            assert_eq!(follow(checks), health, "{checks:?}");
        }
    }

    #[test]
    fn output_is_cut_between_characters() {
        assert_eq!(floor("ab", 4096), 2);
        assert_eq!(floor("aü", 2), 1);
        assert_eq!(floor("", 2), 0);
    }
}
