//! What a run ended with.

use rustix::process::WaitStatus;
use shellrt_api::v0::config::Duration;
use shellrt_api::v0::status::End;
use shellrt_plugin::event;
use shellrt_plugin::file;
use shellrt_plugin::process::{self, Identity};

use super::engine_process::Report;
use super::{Ended, Module, Run};
use crate::error::Error;

/// The end of run `number`, decided from what is known without looking at anything: what its engine
/// said, else what the kernel says. `limit` is the time
/// limit that the engine was killed at, `stopped` whether anybody had asked for the end.
pub fn verdict(
    number: u64,
    outcome: Option<Report>,
    status: WaitStatus,
    limit: Option<Duration>,
    stopped: bool,
) -> Ended {
    let (end, exit_code, description) = match (outcome, limit, status.terminating_signal()) {
        // It may have ended in the moment when it was killed; then it ended by itself.
        (
            Some(Report::Ended {
                end,
                exit_code,
                description,
            }),
            _,
            _,
        ) => (end, exit_code, description),
        (_, Some(limit), _) => {
            let words = format!("killed at its time limit of {} s", limit.0.as_secs_f64());
            (End::Timeout, 124, words)
        }
        (_, _, Some(signal)) => {
            let why = if stopped { "stopped" } else { "killed" };
            let words = format!("{why} by {}", process::signal_name(signal));
            (End::Signal, 128 + i64::from(signal), words)
        }
        _ => {
            let words = format!("the engine {} and said nothing", how(status));
            (End::Lost, 255, words)
        }
    };
    Ended {
        number,
        end,
        exit_code,
        finished_at: event::now(),
        description,
        is_final: true,
        by_machine: false,
    }
}

/// A start that nobody asked for and that failed: a run of no length, so that it counts. The run is
/// written down, its end is not. `monitor` is who will try again, if anybody.
pub fn refused(
    module: &Module,
    number: u64,
    restart_count: u32,
    boot: &str,
    monitor: &Identity,
    error: &Error,
) -> Ended {
    let now = event::now();
    let run = Run {
        number,
        started_at: now,
        boot: boot.to_owned(),
        monitor: monitor.clone(),
        engine: monitor.clone(),
        restart_count,
        cgroup: None,
    };
    if let Err(error) = file::write_json(&module.run_file(), &run) {
        log::warn!("{error}");
    }
    Ended {
        number,
        end: End::Exited,
        exit_code: 125,
        finished_at: now,
        description: format!("could not be restarted: {error}"),
        is_final: true,
        by_machine: false,
    }
}

/// How a process ended, in words.
pub fn how(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (_, Some(signal)) => format!("was killed by {}", process::signal_name(signal)),
        _ => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::{waitpid, Pid, WaitOptions, WaitStatus};
    use shellrt_api::v0::status::End;

    use super::verdict;
    use crate::module::engine_process::Report;

    #[expect(clippy::zombie_processes, reason = "waitpid waits for it")]
    fn shell(script: &str) -> WaitStatus {
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let (_, status) = waitpid(Some(Pid::from_child(&child)), WaitOptions::empty())
            .unwrap()
            .unwrap();
        status
    }

    #[test]
    fn what_is_known_best_counts() {
        let said = || {
            Some(Report::Ended {
                end: End::Trap,
                exit_code: 134,
                description: "trapped".to_owned(),
            })
        };
        let limit = "10s".parse().ok();
        let killed = shell("kill -9 $$");
        let exited = shell("exit 3");
        let case = |outcome, status, limit, stopped| {
            let end = verdict(7, outcome, status, limit, stopped);
            assert_eq!(end.number, 7);
            (end.end, end.exit_code, end.description)
        };
        let words = |text: &str| text.to_owned();
        assert_eq!(
            case(said(), exited, None, false),
            (End::Trap, 134, words("trapped"))
        );
        assert_eq!(
            case(said(), killed, limit, true),
            (End::Trap, 134, words("trapped"))
        );
        assert_eq!(
            case(None, killed, limit, false),
            (End::Timeout, 124, words("killed at its time limit of 10 s"))
        );
        assert_eq!(
            case(None, killed, None, false),
            (End::Signal, 137, words("killed by SIGKILL"))
        );
        assert_eq!(
            case(None, killed, None, true),
            (End::Signal, 137, words("stopped by SIGKILL"))
        );
        assert_eq!(case(None, exited, None, false).0, End::Lost);
        assert_eq!(case(Some(Report::Ready), exited, None, false).1, 255);
    }
}
