//! Arguments that are set up only for the message that was typed: setting up all of them took half
//! of the driver's time.

use clap::{ArgMatches, Args, Command, Error};

/// The arguments of one message.
#[derive(Debug)]
pub struct Lazy<T>(pub T);

impl<T: Args> clap::FromArgMatches for Lazy<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Lazy)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Lazy<T> {
    fn augment_args(command: Command) -> Command {
        command.defer(T::augment_args)
    }

    fn augment_args_for_update(command: Command) -> Command {
        command.defer(T::augment_args_for_update)
    }
}
