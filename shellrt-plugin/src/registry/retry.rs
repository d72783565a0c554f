//! When to try again.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::{Error, Settings};

/// Counts the failures without progress and pauses between them.
#[derive(Debug, Default)]
pub(super) struct Retry {
    failures: u32,
}

impl Retry {
    /// Something has arrived: the next failure is a first one again.
    pub(super) fn progressed(&mut self) {
        self.failures = 0;
    }

    /// Sleeps before the next try.
    ///
    /// # Errors
    /// `error` itself where trying again makes no sense: because of its kind, because there were
    /// enough tries, or because the registry wants more patience than the settings have.
    pub(super) async fn pause(&mut self, settings: &Settings, error: Error) -> Result<(), Error> {
        self.failures += 1;
        if !error.retryable() || self.failures >= settings.tries {
            return Err(error);
        }
        let wait = match error.retry_after() {
            Some(wait) if wait > settings.retry_after_max => return Err(error),
            Some(wait) => wait,
            None => backoff(settings.backoff, self.failures, random()),
        };
        log::info!("{error}; trying again in {} ms", wait.as_millis());
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// Doubles with every failure; a quarter more or less, so that many devices do not come back at
/// once.
fn backoff(first: Duration, failures: u32, random: f64) -> Duration {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.mul_f64(0.75 + random / 2.0)
}

/// A number from 0 to 1. The standard library seeds its hash maps at random, which is enough here.
fn random() -> f64 {
    let bits = RandomState::new().hash_one(0u8) >> 32;
    bits as f64 / f64::from(u32::MAX)
}

/// The wish in a `Retry-After` header: seconds or a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    parse_retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, SystemTime::now())
}

fn parse_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    // A date that is over means now.
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // The date is the example of RFC 9110, section 5.6.7: 784111777 seconds after the epoch.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(parse_retry_after(text, now), expected, "{text}");
        }
    }

    #[test]
    fn pauses_double_and_differ() {
        let first = Duration::from_millis(500);
        assert_eq!(backoff(first, 1, 0.5), first);
        assert_eq!(backoff(first, 4, 0.5), first * 8);
        assert_eq!(backoff(first, 1, 0.0), Duration::from_millis(375));
        assert_eq!(backoff(first, 1, 1.0), Duration::from_millis(625));
        assert!((0.0..=1.0).contains(&random()));
    }

    #[tokio::test]
    async fn gives_up_for_each_reason() {
        let mut settings = Settings::from_env(&Default::default()).unwrap();
        settings.backoff = Duration::from_millis(1);
        let limited = |seconds| Error::RateLimited {
            registry: String::new(),
            retry_after: Some(Duration::from_secs(seconds)),
            says: String::new(),
        };
        let mut retry = Retry::default();
        for _ in 0..4 {
            retry.pause(&settings, limited(0)).await.unwrap();
        }
        assert!(retry.pause(&settings, limited(0)).await.is_err());
        retry.progressed();
        retry.pause(&settings, limited(0)).await.unwrap();
        assert!(retry.pause(&settings, limited(61)).await.is_err());
        let gone = Error::NotFound {
            registry: String::new(),
            what: String::new(),
            says: String::new(),
        };
        assert!(Retry::default().pause(&settings, gone).await.is_err());
    }
}
