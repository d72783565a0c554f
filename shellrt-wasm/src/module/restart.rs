//! Whether and when a module is started again: pure arithmetic.

use std::time::Duration;

use shellrt_api::v0::config::Restart;

/// Whether `policy` says that a module is started again which ended with `exit_code`, after
/// `restart_count` restarts in a row.
pub fn is_restarted(policy: Restart, exit_code: i64, restart_count: u32) -> bool {
    match policy {
        Restart::No => false,
        Restart::OnFailure { max } => exit_code != 0 && max.is_none_or(|max| restart_count < max),
        Restart::Always | Restart::UnlessStopped => true,
    }
}

/// The first delay.
const FIRST: Duration = Duration::from_millis(100);
/// The longest delay.
const LONGEST: Duration = Duration::from_secs(60);
/// A run of this length was no failure at the start: the delays begin anew.
const GOOD_RUN: Duration = Duration::from_secs(10);

/// The delays of one module since its last `start`.
#[derive(Debug, Default)]
pub struct RestartDelay {
    last: Option<Duration>,
}

impl RestartDelay {
    /// The delay after a run that took `run`.
    pub fn after(&mut self, run: Duration) -> Duration {
        let next = match self.last {
            Some(last) if run < GOOD_RUN => (last * 2).min(LONGEST),
            _ => FIRST,
        };
        self.last = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shellrt_api::v0::config::Restart;

    use super::{is_restarted, RestartDelay};

    #[test]
    fn policies() {
        let bounded = Restart::OnFailure { max: Some(2) };
        let endless = Restart::OnFailure { max: None };
        for (policy, exit_code, restarts, expected) in [
            (Restart::No, 1, 0, false),
            (Restart::Always, 0, 1000, true),
            (Restart::UnlessStopped, 0, 1000, true),
            (endless, 0, 0, false),
            (endless, 137, 1000, true),
            (bounded, 1, 1, true),
            (bounded, 1, 2, false),
        ] {
            assert_eq!(
                is_restarted(policy, exit_code, restarts),
                expected,
                "{policy}"
            );
        }
    }

    #[test]
    fn doubles_up_to_a_minute_and_begins_anew_after_ten_seconds() {
        let mut delay = RestartDelay::default();
        let mut after = |run| delay.after(Duration::from_secs(run)).as_millis();
        let delays: Vec<_> = (0..12).map(|_| after(0)).collect();
        let expected = [
            100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000,
        ];
        assert_eq!(delays, expected);
        assert_eq!(after(9), 60000);
        assert_eq!(after(10), 100);
        assert_eq!(after(0), 200);
    }
}
