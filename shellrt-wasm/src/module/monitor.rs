//! The monitor of a module: a small process that starts its engine, waits for it, writes down the
//! end, and starts it again where the restart policy says so.
//!
//! ```text
//!              engine ready            engine ended
//!  starting ───────────────► running ───────────────► ended ──► gone      final: stopped, no policy
//!     │                         │                       │  ▲
//!     │ engine refused          │ SIGTERM: ask it to    │  │ SIGTERM
//!     ▼                         │ end; SIGKILL at the   ▼  │
//!  gone (first start)           │ time limit          waiting ──► starting (next run)
//!  ended (later ones)           ▼
//!                             ended
//! ```
//!
//! It holds the module's lock; whoever sees that released without an end knows that it was killed.
//! Its engine dies with it. It has one thread, and memory of its own for a few pages only, because it
//! was forked and never executed anything.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::pipe::{pipe_with, PipeFlags};
use rustix::process::{kill_process, waitpid, Signal, WaitOptions, WaitStatus};
use shellrt_api::v0;
use shellrt_api::v0::events::Kind as Event;
use shellrt_plugin::boot;
use shellrt_plugin::event;
use shellrt_plugin::file;
use shellrt_plugin::process::Identity;
use shellrt_plugin::restart::{is_restarted, next_delay};

use super::engine_process::{self, Report};
use super::running::Engine;
use super::verdict::{how, refused, verdict};
use super::{Ended, Module, Run};
use crate::cgroup::Cgroup;
use crate::engine::Kind;
use crate::error::Error;
use crate::process::{self, Fork};
use crate::store::Store;

/// What a monitor says when the module runs.
pub const OK: &[u8] = b"ok";

/// The signal that ends the pause before a restart.
pub const HURRY: Signal = Signal::USR2;

/// How long a program may take to end by itself when the machine goes down.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);

/// The monitor's whole life. `lock` is the module's lock, `starter` the pipe to whoever asked for the
/// start, and `restart_count` how many restarts there were before.
pub fn run(
    store: &Store,
    module: &Module,
    lock: OwnedFd,
    starter: OwnedFd,
    restart_count: u32,
) -> ! {
    let refused = match Monitor::new(store, module, lock) {
        Ok(mut monitor) => monitor.live(starter, restart_count),
        Err(error) => Err((error, starter)),
    };
    match refused {
        Ok(()) => process::exit_now(0),
        Err((error, starter)) => refuse(&starter, error),
    }
}

/// Says why the module does not run, and ends.
pub fn refuse(starter: &OwnedFd, error: Error) -> ! {
    say(
        starter,
        &serde_json::to_vec(&v0::Error::from(error)).unwrap_or_default(),
    );
    process::exit_now(1)
}

/// Whoever asked may be gone by now; then there is nobody to tell.
fn say(starter: &OwnedFd, text: &[u8]) {
    let _ = rustix::io::write(starter, text);
}

struct Monitor<'a> {
    store: &'a Store,
    module: &'a Module,
    signals: OwnedFd,
    identity: Identity,
    boot: String,
    /// How the module is to end, once somebody asked.
    stopping: bool,
    /// Only held.
    _lock: OwnedFd,
}

impl<'a> Monitor<'a> {
    fn new(store: &'a Store, module: &'a Module, lock: OwnedFd) -> Result<Self, Error> {
        let signals = [
            Signal::CHILD,
            Signal::TERM,
            Signal::INT,
            Signal::HUP,
            Signal::USR1,
        ];
        let signals = process::signal_fd(&signals)
            .map_err(|source| Error::system("wait for signals", source))?;
        let identity = Identity::of(std::process::id())
            .map_err(|source| Error::system("read the monitor's own start time", source))?;
        let boot = boot::id()?;
        Ok(Monitor {
            store,
            module,
            signals,
            identity,
            boot,
            stopping: false,
            _lock: lock,
        })
    }

    /// Runs the module until it stays ended. An error is one of the first start, and comes back with
    /// the pipe to the starter.
    fn live(&mut self, starter: OwnedFd, mut restart_count: u32) -> Result<(), (Error, OwnedFd)> {
        let mut number = match self.module.run() {
            Ok(last) => last.map_or(0, |run| run.number),
            Err(error) => return Err((error, starter)),
        };
        let mut starter = Some(starter);
        let mut last_delay = None;
        loop {
            number += 1;
            let began = Instant::now();
            let mut end = match self.run_once(number, restart_count, &mut starter) {
                Ok(end) => end,
                Err(error) => match starter.take() {
                    Some(starter) => return Err((error, starter)),
                    None => {
                        let monitor = &self.identity;
                        refused(
                            self.module,
                            number,
                            restart_count,
                            &self.boot,
                            monitor,
                            &error,
                        )
                    }
                },
            };
            let asked = self.module.is_stopped();
            // A signal that no request explains: the machine goes down.
            end.by_machine = self.stopping && !asked;
            self.stopping |= asked;
            let policy = self.module.definition.config.restart;
            end.is_final = self.stopping || !is_restarted(policy, end.exit_code, restart_count);
            self.write_end(&end);
            let name = self.module.name.as_str();
            self.store
                .events()
                .record(name, Event::Exited, Some(end.exit_code));
            if end.is_final {
                return Ok(());
            }
            let delay = next_delay(last_delay, began.elapsed());
            last_delay = Some(delay);
            if !self.pause(delay) {
                end.is_final = true;
                end.by_machine = !self.module.is_stopped();
                self.write_end(&end);
                return Ok(());
            }
            restart_count += 1;
        }
    }

    /// One run, from the fork of the engine to its end; whatever goes wrong, no engine is left.
    fn run_once(
        &mut self,
        number: u64,
        restart_count: u32,
        starter: &mut Option<OwnedFd>,
    ) -> Result<Ended, Error> {
        let mut engine = self.fork_engine()?;
        let end = self.watch(&mut engine, number, restart_count, starter);
        if end.is_err() {
            let _ = kill_process(engine.process, Signal::KILL);
            let _ = waitpid(Some(engine.process), WaitOptions::empty());
        }
        end
    }

    fn fork_engine(&self) -> Result<Engine, Error> {
        let module = self.module;
        let config = &module.definition.config;
        file::remove(&module.stdin_closed_mark())?;
        let cgroup = match config.cpus {
            Some(cpus) => Some(Cgroup::new(
                &format!("{}-{}", self.identity.pid, module.name),
                cpus,
            )?),
            None => None,
        };
        let stdin = match config.stdin {
            true => Some(module.open_stdin(OFlags::RDWR)?),
            false => None,
        };
        let (report, reporter) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Error::system("make a pipe", errno))?;
        match process::fork().map_err(|source| Error::system("start a process", source))? {
            Fork::Child => {
                let monitor = self.identity.pid;
                engine_process::run(self.store, module, cgroup.as_ref(), monitor, reporter)
            }
            Fork::Parent(process) => Ok(Engine {
                // Until it is waited for it has one, even if it has ended.
                identity: Identity::of(process.as_raw_nonzero().get().unsigned_abs())
                    .map_err(|source| Error::system("read the engine's start time", source))?,
                process,
                report: File::from(report),
                said: Vec::new(),
                silent: false,
                ready: false,
                outcome: None,
                recorded: false,
                stdin,
                cgroup,
                began: Instant::now(),
                kill_at: None,
                timed_out: false,
            }),
        }
    }

    /// Watches over a run until its end.
    fn watch(
        &mut self,
        engine: &mut Engine,
        number: u64,
        restart_count: u32,
        starter: &mut Option<OwnedFd>,
    ) -> Result<Ended, Error> {
        loop {
            self.wait(Some(engine), engine.kill_at)?;
            self.take_signals(engine);
            if engine.kill_at.is_some_and(|at| at <= Instant::now()) {
                engine.kill_at = None;
                engine.timed_out = !self.stopping;
                let _ = kill_process(engine.process, Signal::KILL);
            }
            let ended = waitpid(Some(engine.process), WaitOptions::NOHANG)
                .map_err(|errno| Error::system("wait for the engine", errno))?;
            // After the end everything was said, so it is heard only now.
            engine.listen();
            if engine.ready && !engine.recorded {
                self.record(engine, number, restart_count)?;
                if let Some(starter) = starter.take() {
                    say(&starter, OK);
                }
            }
            if let Some((_, status)) = ended {
                return self.end_of(engine, number, status);
            }
        }
    }

    /// Sleeps until the engine says something, a signal comes, or `until`.
    fn wait(&self, engine: Option<&Engine>, until: Option<Instant>) -> Result<(), Error> {
        let mut inputs = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if let Some(engine) = engine.filter(|engine| !engine.silent) {
            inputs.push(PollFd::new(&engine.report, PollFlags::IN));
        }
        let rest = until.map(|until| until.saturating_duration_since(Instant::now()));
        let limit = rest.and_then(|rest| Timespec::try_from(rest).ok());
        match poll(&mut inputs, limit.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(Error::system("wait", errno)),
        }
    }

    fn take_signals(&mut self, engine: &mut Engine) {
        while let Some(signal) = process::next_signal(&self.signals) {
            if signal == Signal::USR1.as_raw() {
                self.close_stdin(engine);
            } else if signal == Signal::TERM.as_raw() || signal == Signal::INT.as_raw() {
                self.stopping = true;
                if !self.module.is_stopped() {
                    // Nobody asked for this module, so the machine goes down, and nobody else will
                    // kill the engine. An explicit stop brings its own patience.
                    engine.kill_at = Some(Instant::now() + SHUTDOWN_PATIENCE);
                }
                self.ask_to_end(engine);
            }
        }
    }

    /// Asks a program to end as it can be asked: a server by the signal that its host drains at, a
    /// program that reads an open stdin by its end. Every other is ended by the signal at once,
    /// because WASI has none.
    fn ask_to_end(&self, engine: &mut Engine) {
        let is_server = self.module.definition.image.kind == Kind::Http;
        if engine.stdin.is_some() && !is_server {
            self.close_stdin(engine);
        } else {
            let _ = kill_process(engine.process, Signal::TERM);
        }
    }

    fn close_stdin(&self, engine: &mut Engine) {
        if engine.stdin.take().is_some() {
            // Only a later attach looks for the mark, so a full disk is no reason to fail.
            if let Err(error) = file::write_file(&self.module.stdin_closed_mark(), b"") {
                log::warn!("{error}");
            }
        }
    }

    /// Writes the run down when the engine is ready; the time limit counts from its fork.
    fn record(&self, engine: &mut Engine, number: u64, restart_count: u32) -> Result<(), Error> {
        let run = Run {
            number,
            started_at: event::now(),
            boot: self.boot.clone(),
            monitor: self.identity.clone(),
            engine: engine.identity.clone(),
            restart_count,
            cgroup: engine
                .cgroup
                .as_ref()
                .map(|cgroup| cgroup.path().to_owned()),
        };
        file::write_json(&self.module.run_file(), &run)?;
        engine.recorded = true;
        let limit = self.module.definition.config.timeout;
        if !self.stopping {
            engine.kill_at = limit.and_then(|limit| engine.began.checked_add(limit.0));
        }
        self.store
            .events()
            .record(self.module.name.as_str(), Event::Started, None);
        Ok(())
    }

    /// What a run ended with: what its engine said, else what the kernel says.
    fn end_of(&self, engine: &mut Engine, number: u64, status: WaitStatus) -> Result<Ended, Error> {
        let outcome = engine.outcome.take();
        if !engine.recorded {
            return Err(match outcome {
                Some(Report::Refused(error)) => Error::Wire(error),
                _ if self.stopping => Error::WrongState {
                    name: self.module.name.to_string(),
                    what: "was stopped while it started",
                },
                _ => Error::EngineDied {
                    name: self.module.name.to_string(),
                    how: how(status),
                },
            });
        }
        let config = &self.module.definition.config;
        let limit = config.timeout.filter(|_| engine.timed_out);
        let stopped = self.stopping || self.module.is_stopped();
        Ok(verdict(number, outcome, status, limit, stopped))
    }

    /// Writes the end down. On a full disk it tries for a while: an end that is not written is lost.
    fn write_end(&self, end: &Ended) {
        for _ in 0..60 {
            match file::write_json(&self.module.end_file(), end) {
                Ok(()) => return,
                Err(error) => log::warn!("{error}"),
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Waits before a restart; false where the module is to stay ended.
    fn pause(&mut self, delay: Duration) -> bool {
        let mut until = Instant::now() + delay;
        while Instant::now() < until && !self.stopping {
            if self.wait(None, Some(until)).is_err() {
                std::thread::sleep(delay);
            }
            while let Some(signal) = process::next_signal(&self.signals) {
                self.stopping |= [Signal::TERM.as_raw(), Signal::INT.as_raw()].contains(&signal);
                if signal == HURRY.as_raw() {
                    until = Instant::now();
                }
            }
        }
        // A stop whose signal came before this run's engine.
        self.stopping |= self.module.is_stopped();
        !self.stopping
    }
}
