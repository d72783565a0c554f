//! When to register: once after every connect and again until there is an answer, as often as the settings
//! allow. Pure: no clock, no connection.

use std::time::Duration;

/// How often and how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// -1 = not at all, 0 = until there is an answer, else so many times.
    pub attempts: i64,
    /// How long to wait for an answer, and so how often to ask.
    pub timeout: Duration,
    /// Whether no answer is the end of the daemon; else it goes on as if it were registered.
    pub is_fatal: bool,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Publish the registration.
    Send,
    /// Wait until this moment, counted as `now` is.
    Wait(Duration),
    /// Nothing: the runtime is registered, or counts as such.
    Done,
    /// No answer has come, and the runtime goes on as if it were registered.
    GiveUp,
    /// No answer has come, and that is the end.
    Fail,
}

/// The registrations of one connection after the other.
#[derive(Debug, Clone)]
pub struct Registration {
    rule: Rule,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Asked { times: i64, last: Option<Duration> },
}

impl Registration {
    /// Nothing is to be done before the first connect.
    pub fn new(rule: Rule) -> Registration {
        Registration {
            rule,
            state: State::Idle,
        }
    }

    /// The broker is there (again) and knows nothing of this runtime.
    pub fn connected(&mut self) {
        self.state = match self.rule.attempts {
            ..0 => State::Idle,
            _ => State::Asked {
                times: 0,
                last: None,
            },
        };
    }

    /// The broker is gone.
    pub fn disconnected(&mut self) {
        self.state = State::Idle;
    }

    /// The orchestrator has answered.
    pub fn answered(&mut self) {
        self.state = State::Idle;
    }

    /// Whether an answer is waited for.
    pub fn is_open(&self) -> bool {
        self.state != State::Idle
    }

    /// What is to be done at `now`, a time since any fixed moment. [`Step::Send`] counts as done.
    pub fn step(&mut self, now: Duration) -> Step {
        let State::Asked { times, last } = self.state else {
            return Step::Done;
        };
        if let Some(last) = last {
            let due = last + self.rule.timeout;
            if now < due {
                return Step::Wait(due);
            }
            if self.rule.attempts != 0 && times >= self.rule.attempts {
                self.state = State::Idle;
                return match self.rule.is_fatal {
                    true => Step::Fail,
                    false => Step::GiveUp,
                };
            }
        }
        self.state = State::Asked {
            times: times.saturating_add(1),
            last: Some(now),
        };
        Step::Send
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn connected(attempts: i64, is_fatal: bool) -> Registration {
        let mut registration = Registration::new(Rule {
            attempts,
            timeout: secs(5),
            is_fatal,
        });
        assert_eq!(registration.step(secs(0)), Step::Done);
        registration.connected();
        registration
    }

    #[test]
    fn the_message_is_repeated_until_the_answer() {
        let mut registration = connected(0, true);
        for time in [100, 105, 110, 115] {
            assert_eq!(registration.step(secs(time)), Step::Send);
            assert_eq!(
                registration.step(secs(time + 1)),
                Step::Wait(secs(time + 5))
            );
        }
        registration.answered();
        assert_eq!(registration.step(secs(200)), Step::Done);
        registration.connected();
        assert_eq!(registration.step(secs(300)), Step::Send);
    }

    #[test]
    fn so_many_times_and_then_as_if() {
        for (is_fatal, end) in [(false, Step::GiveUp), (true, Step::Fail)] {
            let mut registration = connected(2, is_fatal);
            assert_eq!(registration.step(secs(1)), Step::Send);
            assert_eq!(registration.step(secs(6)), Step::Send);
            assert_eq!(registration.step(secs(10)), Step::Wait(secs(11)));
            assert_eq!(registration.step(secs(11)), end);
            assert_eq!(registration.step(secs(12)), Step::Done);
        }
    }

    #[test]
    fn not_at_all_where_it_is_skipped_or_the_broker_is_gone() {
        assert_eq!(connected(-1, true).step(secs(1)), Step::Done);
        let mut registration = connected(1, true);
        assert_eq!(registration.step(secs(1)), Step::Send);
        registration.disconnected();
        assert_eq!(registration.step(secs(100)), Step::Done);
    }
}
