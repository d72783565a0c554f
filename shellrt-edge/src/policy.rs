//! Decisions without state of their own and without a clock: when to try again, how fast output may go,
//! when a module is idle.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shellrt_api::v0::top;

/// The first pause before something is tried again.
pub const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause before something is tried again.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long to wait before the next try, after `failures` in a row: each time twice as long.
pub fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST_PAUSE * 2u32.pow(doublings)).min(LONGEST_PAUSE)
}

/// How fast output may go: a bucket that holds what one second brings.
#[derive(Debug, Clone)]
pub struct Rate {
    per_second: u64,
    /// What is in the bucket, in bytes; below zero, what was taken in advance.
    level: f64,
    /// When it was looked at last, since any fixed moment.
    seen: Duration,
}

impl Rate {
    /// `per_second` bytes per second; 0 for no limit. The bucket is full at `now`.
    pub fn new(per_second: u64, now: Duration) -> Rate {
        Rate {
            per_second,
            level: per_second as f64,
            seen: now,
        }
    }

    /// Takes `bytes` out at `now`, and answers how long to wait before they may go.
    pub fn take(&mut self, bytes: usize, now: Duration) -> Duration {
        if self.per_second == 0 {
            return Duration::ZERO;
        }
        let rate = self.per_second as f64;
        let passed = now.saturating_sub(self.seen).as_secs_f64();
        self.seen = now;
        self.level = (self.level + passed * rate).min(rate) - bytes as f64;
        Duration::from_secs_f64((-self.level / rate).max(0.0))
    }
}

/// When a module counts as idle. Active is who uses more of any of these than its threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IdleRule {
    /// For how long it may be idle, in seconds.
    pub timeout_sec: u64,
    /// How often it is looked at, in seconds.
    pub check_interval_sec: u64,
    /// Percent of one processor.
    pub cpu_threshold_percent: f64,
    /// Bytes over its networks between two looks.
    pub net_threshold_bytes: u64,
    /// Bytes to and from disks between two looks.
    pub blkio_threshold_bytes: u64,
}

/// How long a module has been idle.
#[derive(Debug, Clone, Default)]
pub struct Idleness {
    last: Option<(top::Response, Duration)>,
    active_at: Duration,
}

impl Idleness {
    /// Takes a look at `now`, a time since any fixed moment, and answers whether the module has been idle
    /// for too long. The first look, and one that could not be taken, count as active.
    pub fn is_over(&mut self, rule: &IdleRule, look: Option<top::Response>, now: Duration) -> bool {
        let is_active = match (&self.last, &look) {
            (Some((before, at)), Some(look)) => {
                is_active(rule, before, look, now.saturating_sub(*at))
            }
            _ => true,
        };
        if is_active {
            self.active_at = now;
        }
        if let Some(look) = look {
            self.last = Some((look, now));
        }
        now.saturating_sub(self.active_at) > Duration::from_secs(rule.timeout_sec)
    }
}

fn is_active(
    rule: &IdleRule,
    before: &top::Response,
    look: &top::Response,
    passed: Duration,
) -> bool {
    let grown = |before: Option<u64>, now: Option<u64>| match (before, now) {
        (Some(before), Some(now)) => now.saturating_sub(before),
        _ => 0,
    };
    let network = grown(before.network_rx_bytes, look.network_rx_bytes)
        + grown(before.network_tx_bytes, look.network_tx_bytes);
    let disks = grown(before.block_read_bytes, look.block_read_bytes)
        + grown(before.block_write_bytes, look.block_write_bytes);
    cpu_percent(before, look, passed) > rule.cpu_threshold_percent
        || network > rule.net_threshold_bytes
        || disks > rule.blkio_threshold_bytes
}

/// How much of one processor was used between two looks, in percent; 0 where it is not known.
pub fn cpu_percent(before: &top::Response, now: &top::Response, passed: Duration) -> f64 {
    match (before.cpu_ns, now.cpu_ns) {
        (Some(before), Some(now)) if passed > Duration::ZERO => {
            now.saturating_sub(before) as f64 / passed.as_nanos() as f64 * 100.0
        }
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        assert_eq!(pause(0), Duration::from_millis(200));
        assert_eq!(pause(1), Duration::from_millis(200));
        assert_eq!(pause(2), Duration::from_millis(400));
        assert_eq!(pause(5), Duration::from_millis(3200));
        assert_eq!(pause(7), secs(10));
        assert_eq!(pause(u32::MAX), secs(10));
    }

    #[test]
    fn a_rate_holds_over_time() {
        let mut rate = Rate::new(100, secs(5));
        assert_eq!(rate.take(100, secs(5)), Duration::ZERO);
        assert_eq!(rate.take(50, secs(5)), Duration::from_millis(500));
        // Half a second later exactly that has come in, and not more.
        assert_eq!(rate.take(0, Duration::from_millis(5500)), Duration::ZERO);
        assert_eq!(rate.take(100, Duration::from_millis(5500)), secs(1));
        // A long rest fills it once.
        assert_eq!(rate.take(200, secs(1000)), secs(1));
    }

    #[test]
    fn no_rate_is_no_limit() {
        assert_eq!(
            Rate::new(0, secs(0)).take(usize::MAX, secs(0)),
            Duration::ZERO
        );
    }

    fn look(cpu_ms: u64, network: u64, disk: u64) -> Option<top::Response> {
        Some(top::Response {
            cpu_ns: Some(cpu_ms * 1_000_000),
            network_rx_bytes: Some(network),
            block_write_bytes: Some(disk),
            ..Default::default()
        })
    }

    fn rule() -> IdleRule {
        IdleRule {
            timeout_sec: 60,
            check_interval_sec: 30,
            cpu_threshold_percent: 0.5,
            net_threshold_bytes: 0,
            blkio_threshold_bytes: 0,
        }
    }

    #[test]
    fn idle_for_longer_than_the_rule_allows() {
        let mut idleness = Idleness::default();
        assert!(!idleness.is_over(&rule(), look(0, 0, 0), secs(100)));
        // 150 ms of 30 s are 0.5 %, which is not more than the threshold.
        assert!(!idleness.is_over(&rule(), look(150, 0, 0), secs(130)));
        assert!(!idleness.is_over(&rule(), look(150, 0, 0), secs(160)));
        assert!(idleness.is_over(&rule(), look(150, 0, 0), secs(190)));
    }

    #[test]
    fn any_use_above_its_threshold_is_activity() {
        for active in [look(151, 0, 0), look(0, 1, 0), look(0, 0, 1), None] {
            let mut idleness = Idleness::default();
            idleness.is_over(&rule(), look(0, 0, 0), secs(0));
            assert!(!idleness.is_over(&rule(), active.clone(), secs(30)));
            // Counted from there.
            assert!(
                !idleness.is_over(&rule(), active.clone(), secs(90)),
                "{active:?}"
            );
        }
    }
}
