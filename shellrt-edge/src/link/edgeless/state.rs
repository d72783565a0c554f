//! Which calls a function takes when: a state machine without a clock and without I/O.
//!
//! ```text
//! Waiting -- Boot --> Booted -- Init --> Beginning -- done --> Running -- Stop --> Waiting
//!    ^                                       |                    |
//!    +---------- Boot: Booted <-- Failed <---+-- its module ends -+
//! ```
//! Boot is taken at any time: a node repeats it until it is answered. While a function runs it only tells
//! where the host is now; where it names another instance, the next Init begins that one and ends the one
//! before, so that a node that was lost with its instances can use the function again.

use super::wire::InstanceId;

/// What Boot says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// The URL of the host.
    pub host: String,
    /// Who the function is.
    pub instance: InstanceId,
}

/// Where a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was never booted, or was stopped.
    Waiting,
    /// It knows its host and who it is.
    Booted,
    /// Init is under way.
    Beginning,
    /// It takes casts and calls.
    Running,
    /// It could not begin, or has ended by itself.
    Failed,
}

impl State {
    /// As people read it.
    pub fn words(self) -> &'static str {
        match self {
            State::Waiting => "is not booted",
            State::Booted => "has no init yet",
            State::Beginning => "begins just now",
            State::Running => "runs already",
            State::Failed => "has failed",
        }
    }
}

/// A function's state.
#[derive(Debug)]
pub struct Life {
    state: State,
    boot: Option<Boot>,
    /// Counts the inits, because the end of one instance may be heard while the next one runs.
    number: u64,
    /// A Boot has named another instance than the one that runs.
    is_booted_anew: bool,
}

impl Life {
    /// Nobody has called yet.
    pub fn new() -> Life {
        Life {
            state: State::Waiting,
            boot: None,
            number: 0,
            is_booted_anew: false,
        }
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// What Boot said last.
    pub fn booted(&self) -> Option<&Boot> {
        self.boot.as_ref()
    }

    /// Takes a Boot.
    pub fn boot(&mut self, boot: Boot) {
        match self.state {
            State::Waiting | State::Booted | State::Failed => self.state = State::Booted,
            State::Beginning | State::Running => {
                let before = self.boot.as_ref().map(|before| &before.instance);
                self.is_booted_anew |= before != Some(&boot.instance);
            }
        }
        self.boot = Some(boot);
    }

    /// Takes an Init. Gives what Boot said, the number of the new instance, and whether one before it has
    /// to end.
    ///
    /// # Errors
    /// The state, where it does not fit.
    pub fn begin(&mut self) -> Result<(Boot, u64, bool), State> {
        let fits = match self.state {
            State::Booted => true,
            State::Beginning | State::Running => self.is_booted_anew,
            State::Waiting | State::Failed => false,
        };
        let (true, Some(boot)) = (fits, self.boot.clone()) else {
            return Err(self.state);
        };
        let ends_one = self.state != State::Booted;
        self.state = State::Beginning;
        self.is_booted_anew = false;
        self.number += 1;
        Ok((boot, self.number, ends_one))
    }

    /// The instance has begun, or could not. Answers whether it is still wanted.
    pub fn begun(&mut self, number: u64, succeeded: bool) -> bool {
        if self.number != number || self.state != State::Beginning {
            return false;
        }
        self.state = match (succeeded, self.is_booted_anew) {
            (true, _) => State::Running,
            (false, false) => State::Failed,
            (false, true) => State::Booted,
        };
        true
    }

    /// The instance has ended by itself. Answers whether that was the one that ran.
    pub fn ended(&mut self, number: u64) -> bool {
        if self.number != number || self.state != State::Running {
            return false;
        }
        self.state = match self.is_booted_anew {
            true => State::Booted,
            false => State::Failed,
        };
        true
    }

    /// Takes a Stop.
    ///
    /// # Errors
    /// The state, where it does not fit.
    pub fn stop(&mut self) -> Result<(), State> {
        match self.state {
            // One that hangs while it begins can be stopped too.
            State::Beginning | State::Running => {
                self.state = match self.is_booted_anew {
                    true => State::Booted,
                    false => State::Waiting,
                };
                self.is_booted_anew = false;
                Ok(())
            }
            State::Waiting | State::Booted | State::Failed => Err(self.state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(function: &str) -> Boot {
        Boot {
            host: "http://127.0.0.1:7100".to_owned(),
            instance: InstanceId {
                node_id: "n".to_owned(),
                function_id: function.to_owned(),
            },
        }
    }

    fn running() -> Life {
        let mut life = Life::new();
        life.boot(boot("a"));
        let (_, number, _) = life.begin().unwrap();
        assert!(life.begun(number, true));
        life
    }

    #[test]
    fn a_function_lives_and_lives_again() {
        let mut life = Life::new();
        for number in 1..=3 {
            life.boot(boot("a"));
            assert_eq!(life.state(), State::Booted);
            assert_eq!(life.begin(), Ok((boot("a"), number, false)));
            assert!(life.begun(number, true));
            assert_eq!(life.state(), State::Running);
            assert_eq!(life.stop(), Ok(()));
            assert_eq!(life.state(), State::Waiting);
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let mut life = Life::new();
        assert_eq!(life.begin(), Err(State::Waiting));
        assert_eq!(life.stop(), Err(State::Waiting));
        life.boot(boot("a"));
        assert_eq!(life.stop(), Err(State::Booted));
        let mut life = running();
        assert_eq!(life.begin(), Err(State::Running));
        assert_eq!(life.stop(), Ok(()));
        assert_eq!(life.begin(), Err(State::Waiting));
    }

    #[test]
    fn boot_is_harmless_while_it_runs() {
        let mut life = running();
        let moved = Boot {
            host: "http://127.0.0.1:7200".to_owned(),
            ..boot("a")
        };
        life.boot(moved.clone());
        assert_eq!(life.state(), State::Running);
        assert_eq!(life.booted(), Some(&moved));
        assert_eq!(life.begin(), Err(State::Running));
    }

    #[test]
    fn another_instance_takes_the_place_of_a_lost_one() {
        let mut life = running();
        life.boot(boot("b"));
        assert_eq!(life.state(), State::Running);
        assert_eq!(life.begin(), Ok((boot("b"), 2, true)));
        // The end of the first one is not the end of the second.
        assert!(!life.ended(1));
        assert!(life.begun(2, true));
        assert!(life.ended(2));
        assert_eq!(life.state(), State::Failed);
    }

    #[test]
    fn what_failed_can_be_booted_again() {
        let mut life = Life::new();
        life.boot(boot("a"));
        let (_, number, _) = life.begin().unwrap();
        assert!(life.begun(number, false));
        assert_eq!(life.state(), State::Failed);
        assert_eq!(life.begin(), Err(State::Failed));
        assert_eq!(life.stop(), Err(State::Failed));
        life.boot(boot("a"));
        assert!(life.begin().is_ok());
    }

    #[test]
    fn one_that_hangs_while_it_begins_can_be_stopped() {
        let mut life = Life::new();
        life.boot(boot("a"));
        let (_, number, _) = life.begin().unwrap();
        assert_eq!(life.stop(), Ok(()));
        assert!(!life.begun(number, true));
        assert_eq!(life.state(), State::Waiting);
    }
}
