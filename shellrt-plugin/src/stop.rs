//! How patient a stop is.

use std::time::{Duration, Instant};

/// How long a module may take to end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grace {
    /// No time at all.
    None,
    /// So long, then it is killed.
    For(Duration),
    /// As long as it likes.
    Endless,
}

impl Grace {
    /// From a request's seconds: 0 kills at once, a negative number waits without end.
    pub fn from_seconds(seconds: i64) -> Grace {
        match u64::try_from(seconds) {
            Ok(0) => Grace::None,
            Ok(seconds) => Grace::For(Duration::from_secs(seconds)),
            Err(_) => Grace::Endless,
        }
    }

    /// When it is over, if it begins now; `None` if never.
    pub fn end(self) -> Option<Instant> {
        match self {
            Grace::None => Some(Instant::now()),
            // What is too far away to be said never comes.
            Grace::For(time) => Instant::now().checked_add(time),
            Grace::Endless => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_of_a_request() {
        assert_eq!(Grace::from_seconds(0), Grace::None);
        assert_eq!(Grace::from_seconds(10), Grace::For(Duration::from_secs(10)));
        assert_eq!(Grace::from_seconds(-1), Grace::Endless);
        assert_eq!(Grace::from_seconds(i64::MIN), Grace::Endless);
        assert_eq!(Grace::from_seconds(i64::MAX).end(), None);
        assert_eq!(Grace::Endless.end(), None);
        assert!(Grace::None.end().unwrap() <= Instant::now());
        assert!(Grace::from_seconds(3600).end().unwrap() > Instant::now());
    }
}
