//! The process that runs a program: a fork of its monitor, which it does not outlive.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use shellrt_api::v0::status::End;
use shellrt_api::v0::{self, Code};
use shellrt_plugin::file;

use super::output::ModuleOutput;
use super::Module;
use crate::cgroup::Cgroup;
use crate::engine::{self, Program, Settings, StartError, Tuning};
use crate::error::Error;
use crate::image;
use crate::process;
use crate::store::Store;

/// What the engine tells its monitor, one JSON line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The program is about to run.
    Ready,
    /// The program can't run.
    Refused(v0::Error),
    /// The program ended.
    Ended {
        /// How.
        end: End,
        /// What with.
        exit_code: i64,
        /// Why, in words for people.
        description: String,
    },
}

impl Report {
    fn send(&self, reporter: &OwnedFd) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        // Far below what a pipe takes at once, so it is written whole.
        rustix::io::write(reporter, &line)?;
        Ok(())
    }
}

/// The engine's whole life, in a process that was just forked by `monitor`.
pub fn run(
    store: &Store,
    module: &Module,
    cgroup: Option<&Cgroup>,
    monitor: u32,
    reporter: OwnedFd,
) -> ! {
    let result = catch_unwind(AssertUnwindSafe(|| {
        become_engine(module, cgroup, monitor, &reporter)?;
        run_program(store, module, &reporter)
    }));
    let report = match result {
        Ok(Ok(end)) => Report::Ended {
            end: end.end,
            exit_code: end.exit_code,
            description: end.description,
        },
        Ok(Err(error)) => Report::Refused(error.into()),
        Err(_) => Report::Refused(v0::Error::message(
            Code::INTERNAL,
            "the engine panicked; this is a bug",
        )),
    };
    // A monitor that is gone takes this process with it.
    let _ = report.send(&reporter);
    process::exit_now(0)
}

/// Leaves the monitor's signals, descriptors and cgroup behind.
fn become_engine(
    module: &Module,
    cgroup: Option<&Cgroup>,
    monitor: u32,
    reporter: &OwnedFd,
) -> Result<(), Error> {
    let system = |doing| move |errno| Error::system(doing, errno);
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(system("bind the engine to its monitor"))?;
    // The monitor may have died before that.
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if parent != Some(monitor) {
        process::exit_now(1);
    }
    process::close_all_but(&[reporter.as_raw_fd()])
        .and_then(|()| process::unblock_signals())
        .map_err(|source| Error::system("leave the monitor's descriptors", source))?;
    process::set_name(module.name.as_str());
    if let Some(cgroup) = cgroup {
        cgroup
            .enter()
            .map_err(|source| Error::file("enter", cgroup.path(), source))?;
    }
    Ok(())
}

fn run_program(store: &Store, module: &Module, reporter: &OwnedFd) -> Result<engine::End, Error> {
    let definition = &module.definition;
    let config = &definition.config;
    let output = Arc::new(ModuleOutput::open(module)?);
    let mut env: BTreeMap<String, String> = definition.image.env.clone();
    env.extend(definition.env.clone());
    let args = definition.image.arguments(&config.command);
    let tuning = Tuning {
        fuel: config.fuel.is_some(),
    };
    let mut attempts = 2;
    let end = loop {
        let cwasm = image::compiled(store, &definition.image.program, tuning, None)?;
        let program = Program {
            cwasm: &cwasm,
            kind: definition.image.kind,
            tuning,
            name: &definition.image.name,
        };
        let stdin = match config.stdin {
            true => Some(module.open_stdin(OFlags::RDONLY)?),
            false => None,
        };
        let settings = Settings {
            config,
            env: &env,
            args: &args,
            stdin,
            memory_gauge: None,
        };
        attempts -= 1;
        match engine::run(program, settings, output.clone(), || {
            Report::Ready.send(reporter)
        }) {
            Ok(end) => break end,
            // The engine or the processor is another one than at the pull: compile once more.
            Err(StartError::Stale(source)) if attempts > 0 => {
                log::warn!("{} is compiled again: {source}", module.name);
                file::remove(&cwasm)?;
            }
            Err(error) => return Err(error.into()),
        }
    };
    output.finish();
    Ok(end)
}
