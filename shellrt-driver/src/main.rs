//! `shellrt-driver`: one message to one plugin, and its answer.
//!
//! Parse ([`args`]), say what is asked ([`message`]), find the plugin ([`find`]) and call it
//! ([`call`]), print ([`output`]), exit ([`exit`]).
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test stops where it fails")
)]

mod args;
mod call;
mod config;
mod credentials;
mod environment;
mod exit;
mod failure;
mod find;
mod message;
mod output;
mod progress;
mod raw;
mod redact;
mod stream;

use std::process::ExitCode;

use crate::args::{Args, Asked};
use crate::call::Call;
use crate::exit::Exit;

fn main() -> ExitCode {
    let exit = match args::parse(std::env::args_os().collect()) {
        Ok(Asked::Message(args)) => send(*args),
        Ok(Asked::Completions(shell)) => completions(shell),
        Err(error) => {
            // Where even this can't be printed, the exit status is all that is left.
            let _ = error.print();
            if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Ok
            }
        }
    };
    exit.into()
}

fn send(args: Args) -> Exit {
    let Args {
        options,
        timeout,
        credentials,
        plugin,
        message,
    } = args;
    let mut call = Call::new(&options, timeout, plugin, &message);
    match message::send(&mut call, message, &credentials) {
        Ok(exit) => exit,
        Err(failure) => {
            call.report(&failure);
            failure.exit()
        }
    }
}

fn completions(shell: clap_complete::Shell) -> Exit {
    let mut script = Vec::new();
    let mut command = args::command_line();
    clap_complete::generate(shell, &mut command, "shellrt-driver", &mut script);
    match output::write(&script) {
        Ok(()) => Exit::Ok,
        Err(failure) => failure.exit(),
    }
}
