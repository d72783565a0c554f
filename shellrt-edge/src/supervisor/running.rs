//! The middle of a module's life: it runs until it ends, by itself or because that is wished.

use std::time::{Duration, Instant};

use futures_util::future::{Fuse, FutureExt};
use shellrt_api::v0::status::State;
use shellrt_api::v0::{status, top, Code};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::life::{Break, Life};
use super::table::Wish;
use super::Link;
use crate::order::{End, Reason};
use crate::plugin::Error;
use crate::policy::{self, Idleness};

impl<L: Link> Life<L> {
    /// Until the module has ended and all its output was reported. Where it should end, `reason` says why.
    pub(super) async fn attend(&mut self, mut reason: Reason) -> Result<End, Break> {
        let mut failures = 0;
        loop {
            match self.follow_to_the_end(&mut reason).await? {
                Ok(status) if is_over(&status) => {
                    let status = Some(status);
                    return Ok(End { status, reason });
                }
                Ok(_) => failures = 1,
                Err(error) if error.code() == Some(Code::MODULE_NOT_FOUND) => {
                    let status = None;
                    return Ok(End { status, reason });
                }
                Err(error) => {
                    failures += 1;
                    log::warn!("module {:?}: {}", self.order.id, error.chain());
                }
            }
            // Its log broke off, or its plugin does not answer now.
            let mut wishes = self.wishes.clone();
            // What is wished already is done.
            wishes.mark_unchanged();
            tokio::select! {
                () = sleep(policy::pause(failures)) => {}
                Ok(()) = wishes.changed() => {}
            }
        }
    }

    /// Follows the log until it ends, and does meanwhile what is wished. Answers how the module is then.
    async fn follow_to_the_end(
        &mut self,
        reason: &mut Reason,
    ) -> Result<Result<status::Response, Error>, Break> {
        let mut wishes = self.wishes.clone();
        let mut wished = wishes.borrow_and_update().clone();
        let mut inputs = std::mem::replace(&mut self.inputs, mpsc::channel(1).1);
        let result = {
            let followed = self.follow();
            tokio::pin!(followed);
            let fed = self.feed(&mut inputs);
            tokio::pin!(fed);
            let bored = self.bored().fuse();
            tokio::pin!(bored);
            let overdue = self.overdue().fuse();
            tokio::pin!(overdue);
            let stopped = Fuse::terminated();
            tokio::pin!(stopped);
            if *reason != Reason::Itself {
                // Once more, because nobody knows how far that has come.
                stopped.set(self.stop(reason.clone()).fuse());
            }
            loop {
                match wished.take() {
                    Some(Wish::Leave) => break Err(Break::Left),
                    Some(Wish::End(why)) if is_new(reason, &why) => {
                        *reason = why;
                        stopped.set(self.stop(reason.clone()).fuse());
                    }
                    Some(Wish::End(_)) | None => {}
                }
                tokio::select! {
                    () = &mut followed => break Ok(()),
                    () = &mut fed => {}
                    // What it has written comes before the end of its log.
                    () = &mut stopped => {}
                    Ok(()) = wishes.changed() => wished = wishes.borrow_and_update().clone(),
                    () = &mut bored => {
                        log::info!("module {:?} is idle", self.order.id);
                        wished = Some(Wish::End(Reason::Idle));
                    }
                    () = &mut overdue => {
                        log::info!("module {:?} has run for as long as it may", self.order.id);
                        wished = Some(Wish::End(Reason::Idle));
                    }
                }
            }
        };
        self.inputs = inputs;
        result?;
        Ok(self.look().await)
    }

    /// Returns when the module has been idle for too long.
    async fn bored(&self) {
        let Some(rule) = &self.order.handling.idle else {
            return std::future::pending().await;
        };
        let epoch = Instant::now();
        let mut idleness = Idleness::default();
        loop {
            let request = top::Request {
                name: self.order.name(),
            };
            let look = self.call(request).await.ok();
            if idleness.is_over(rule, look, epoch.elapsed()) {
                return;
            }
            sleep(Duration::from_secs(rule.check_interval_sec.max(1))).await;
        }
    }

    /// Returns when the module's last start is longer ago than it may run.
    async fn overdue(&self) {
        let Some(longest) = self.order.handling.longest_run_sec else {
            return std::future::pending().await;
        };
        loop {
            let pause = match self.look().await {
                Ok(status) if status.state == Some(State::Running) => {
                    let now = jiff::Timestamp::now().as_nanosecond();
                    let left = time_left(longest, status.started_at, now);
                    if left.is_zero() {
                        return;
                    }
                    left
                }
                // It is about to be started again, or its plugin does not answer now.
                Ok(_) | Err(_) => policy::LONGEST_PAUSE,
            };
            sleep(pause).await;
        }
    }
}

/// How much of `longest` is left at `now` to a run that began at `started`, both in nanoseconds since 1970.
fn time_left(longest: f64, started: i64, now: i128) -> Duration {
    let passed = Duration::from_nanos(u64::try_from(now - i128::from(started)).unwrap_or(0));
    Duration::try_from_secs_f64(longest)
        .map_or(Duration::MAX, |longest| longest.saturating_sub(passed))
}

/// Whether `why` takes the place of `reason`: a deletion is answered as one, whatever else ends the module.
fn is_new(reason: &Reason, why: &Reason) -> bool {
    match (reason, why) {
        (Reason::Itself, _) => true,
        (Reason::Deleted(_), _) => false,
        (Reason::Idle | Reason::Shutdown, why) => matches!(why, Reason::Deleted(_)),
    }
}

fn is_over(status: &status::Response) -> bool {
    matches!(status.state, Some(State::Exited))
        || (status.state.is_none() && status.finished_at.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_run() {
        const START: i64 = 1_700_000_000_000_000_000;
        let left = |longest, seconds: i128| {
            time_left(longest, START, i128::from(START) + seconds * 1_000_000_000)
        };
        assert_eq!(left(60.0, 0), Duration::from_secs(60));
        assert_eq!(left(60.5, 20), Duration::from_millis(40_500));
        assert_eq!(left(60.0, 60), Duration::ZERO);
        assert_eq!(left(60.0, 100), Duration::ZERO);
        // The clock was set back.
        assert_eq!(left(60.0, -5), Duration::from_secs(60));
    }
}
