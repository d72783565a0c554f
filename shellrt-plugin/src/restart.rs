//! Whether and when a module is started again: pure arithmetic. The rules are docker's.

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

/// How long after a run that took `ran` the next one waits, when that run itself had waited `last`, if
/// it was a restart.
pub fn next_delay(last: Option<Duration>, ran: Duration) -> Duration {
    match last {
        Some(last) if ran < GOOD_RUN => (last * 2).min(LONGEST),
        _ => FIRST,
    }
}

/// Whether `policy` says that a module is started after a boot. Docker's rule: `always` comes back even
/// if it was stopped, `unless-stopped` if it was not, and `on-failure` if it `went_down` with the
/// machine, running or about to be started again.
pub fn is_due(policy: Restart, is_stopped: bool, went_down: bool) -> bool {
    match policy {
        Restart::No => false,
        Restart::Always => true,
        Restart::UnlessStopped => !is_stopped,
        Restart::OnFailure { .. } => !is_stopped && went_down,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shellrt_api::v0::config::Restart;

    use super::{is_due, is_restarted, next_delay};

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
        let mut last = None;
        let mut after = |ran| {
            let delay = next_delay(last, Duration::from_secs(ran));
            last = Some(delay);
            delay.as_millis()
        };
        let delays: Vec<_> = (0..12).map(|_| after(0)).collect();
        let expected = [
            100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000,
        ];
        assert_eq!(delays, expected);
        assert_eq!(after(9), 60000);
        assert_eq!(after(10), 100);
        assert_eq!(after(0), 200);
    }

    #[test]
    fn what_is_due_after_a_boot() {
        let on_failure = Restart::OnFailure { max: Some(1) };
        for (policy, is_stopped, went_down, expected) in [
            (Restart::No, false, true, false),
            (Restart::Always, true, false, true),
            (Restart::UnlessStopped, false, false, true),
            (Restart::UnlessStopped, true, true, false),
            (on_failure, false, true, true),
            (on_failure, false, false, false),
            (on_failure, true, true, false),
        ] {
            assert_eq!(is_due(policy, is_stopped, went_down), expected, "{policy}");
        }
    }
}
