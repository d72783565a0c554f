//! Work in a process of its own, which goes on when the one that was asked is killed: containerd and
//! its shims can't take a call back in its middle. Of a task that was being made they keep now a
//! directory and now a shim, with which no other one can be made; and a shim that waits for the reader
//! of a command's output waits for ever, and with it all that is asked of the module afterwards.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::Serialize;
use shellrt_api::v0::{self, exec};
use shellrt_plugin::hangup::{Hangup, Wake};
use shellrt_plugin::lock::Lock;
use shellrt_plugin::names;

use super::state::Now;
use super::Module;
use crate::containerd::{Containerd, Place};
use crate::cri;
use crate::error::Error;
use crate::store::Store;
use crate::Context;

/// The internal mode of this program that starts a module. Its stdin is the module's lock.
pub const START_MODE: &str = "start";

/// The internal mode of this program that makes a module in a pod: containerd forgets the shim of a pod
/// whose making was given up. What it is made from comes on stdin.
pub const CREATE_MODE: &str = "create";

/// The internal mode of this program that runs a command in a module. The request comes on stdin.
pub const EXEC_MODE: &str = "exec";

/// Starts `module`, whose lock is `order`; one that runs stays as it is.
///
/// # Errors
/// Why it can't be started, in the runtime's own words; then it is as it was before.
pub fn start(module: &Module, order: &Lock) -> Result<(), Error> {
    if let Now::Running(_) = module.now()? {
        return Ok(());
    }
    ask_to_start(module.name.as_str(), &module.containerd, order)
}

/// As [`start`], for a module in a pod.
///
/// # Errors
/// As [`start`].
pub fn start_pod(module: &cri::Module, order: &Lock) -> Result<(), Error> {
    if let cri::Now::Running(_) = module.now()? {
        return Ok(());
    }
    ask_to_start(module.name.as_str(), module.containerd(), order)
}

fn ask_to_start(name: &str, containerd: &Containerd, order: &Lock) -> Result<(), Error> {
    // Whatever becomes of us, nobody else gets at the module before the start is over.
    let order = order.as_fd().try_clone_to_owned().map_err(failed)?;
    ask(START_MODE, name, containerd, order.into(), b"")
}

/// Makes the module `name` in a pod, from a checked config.
///
/// # Errors
/// As [`cri::create::create`].
pub fn create_pod(
    containerd: &Containerd,
    name: &str,
    wanted: &cri::create::Wanted,
) -> Result<(), Error> {
    let input = serde_json::to_vec(wanted).map_err(|source| failed(source.into()))?;
    ask(CREATE_MODE, name, containerd, Stdio::piped(), &input)
}

/// Runs a command in the module that the request names, which runs; its kind does not matter. The
/// command is killed when we are.
///
/// # Errors
/// As [`super::exec::run`].
pub fn exec(containerd: &Containerd, request: &exec::Request) -> Result<exec::Response, Error> {
    let input = serde_json::to_vec(request).map_err(|source| failed(source.into()))?;
    let name = request.name.as_str();
    ask(EXEC_MODE, name, containerd, Stdio::piped(), &input)
}

fn failed(source: io::Error) -> Error {
    Error::system("start a process", source)
}

/// Has a process of ours do something, and answers what it says.
fn ask<T: DeserializeOwned>(
    mode: &str,
    name: &str,
    containerd: &Containerd,
    stdin: Stdio,
    input: &[u8],
) -> Result<T, Error> {
    let mut child = Command::new("/proc/self/exe")
        .args([mode, &argument(name, containerd.deadline())])
        .stdin(stdin)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input).map_err(failed)?;
    }
    let (hangup, mut said) = (Hangup::stdout(), Vec::new());
    if let Some(mut stdout) = child.stdout.take() {
        let mut chunk = [0; 16 << 10];
        loop {
            if hangup.wait(&[stdout.as_fd()], None).map_err(failed)? == Wake::HungUp {
                return Err(Error::HungUp);
            }
            match stdout.read(&mut chunk).map_err(failed)? {
                0 => break,
                length => said.extend_from_slice(&chunk[..length]),
            }
        }
    }
    let status = child.wait().map_err(failed)?;
    match serde_json::from_slice::<Result<T, v0::Error>>(&said) {
        Ok(answer) => answer.map_err(Error::Wire),
        Err(_) => Err(failed(io::Error::other(format!("it ended with {status}")))),
    }
}

/// Starts the module that `argument` names.
///
/// # Errors
/// What is wrong with the argument; what is wrong with the module goes to stdout.
pub fn serve_start(argument: &str) -> Result<(), Error> {
    answer(argument, |context, name| {
        match cri::Module::find(context, name)? {
            Some(module) => module.start(),
            None => super::start::start(&Module::find(context, name)?),
        }
    })
}

/// Makes the module in a pod that `argument` names.
///
/// # Errors
/// What is wrong with the argument; what is wrong with the module goes to stdout.
pub fn serve_create(argument: &str) -> Result<(), Error> {
    answer(argument, |context, name| {
        let wanted = serde_json::from_reader(io::stdin());
        let wanted = wanted.map_err(|source| Error::system("read the request", source))?;
        cri::create::create(context, &names::check(name)?, wanted)
    })
}

/// Runs a command in the module that `argument` names.
///
/// # Errors
/// What is wrong with the argument; what is wrong with the module goes to stdout.
pub fn serve_exec(argument: &str) -> Result<(), Error> {
    answer(argument, |context, name| {
        let request = serde_json::from_reader(io::stdin());
        let request = request.map_err(|source| Error::system("read the request", source))?;
        match cri::Module::find(context, name)? {
            Some(module) => module.exec(&request),
            None => super::exec::run(&Module::find(context, name)?.place(), &request),
        }
    })
}

fn answer<T: Serialize>(
    argument: &str,
    work: impl FnOnce(&Context, &str) -> Result<T, Error>,
) -> Result<(), Error> {
    // Whoever asked may end its process group, and that must not end this.
    let _ = rustix::process::setsid();
    let (name, deadline) = parse(argument).ok_or_else(|| {
        let kind = io::ErrorKind::InvalidInput;
        Error::system("understand the argument", kind)
    })?;
    let context = || {
        let place = Place::from_env()?;
        Ok(Context::new(Store::open(&place)?, place, deadline))
    };
    let answer = context().and_then(|context| work(&context, name));
    let answer = answer.map_err(v0::Error::from);
    let answer =
        serde_json::to_vec(&answer).map_err(|source| Error::system("write the answer", source))?;
    // Whoever asked may be gone.
    let _ = io::stdout().write_all(&answer);
    Ok(())
}

/// Which module it is, and how long it may take, in milliseconds.
fn argument(name: &str, deadline: Option<Instant>) -> String {
    let left = deadline.map(|deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        left.as_millis().to_string()
    });
    format!("{name}:{}", left.unwrap_or_default())
}

fn parse(argument: &str) -> Option<(&str, Option<Instant>)> {
    let (name, left) = argument.split_once(':')?;
    let deadline = match left {
        "" => None,
        left => Some(Instant::now() + Duration::from_millis(left.parse().ok()?)),
    };
    Some((name, deadline))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::parse;

    #[test]
    fn an_argument_names_a_module_and_a_time() {
        assert_eq!(parse("a.b-c:"), Some(("a.b-c", None)));
        let (name, deadline) = parse("a:60000").unwrap();
        let left = deadline.unwrap() - Instant::now();
        assert_eq!(name, "a");
        assert!(left > Duration::from_secs(50) && left <= Duration::from_secs(60));
        for wrong in ["a", "a:x", "a:-1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
