//! What comes between two runs: the pause, and the next start. It is done by the process that has
//! written the end down; if that is killed, whoever looks at the module next starts another one.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use shellrt_api::v0::config::Restart;
use shellrt_api::v0::events::Kind;
use shellrt_api::v0::status::End;
use shellrt_plugin::boot;
use shellrt_plugin::event::{self, Events};
use shellrt_plugin::file;
use shellrt_plugin::hangup::{Hangup, Wake};
use shellrt_plugin::lock::Lock;
use shellrt_plugin::process;
use shellrt_plugin::restart::{self, is_restarted, next_delay};
use shellrt_plugin::watch::Watch;

use super::record::{Again, Ended, Run};
use super::{monitor, start, Files, Module};
use crate::containerd::Place;
use crate::error::Error;
use crate::store::Store;
use crate::Context;

/// The internal mode of this program that starts a module again which nobody else does.
pub const MODE: &str = "restart";

/// How long until containerd is asked again that did not answer.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Whether the module whose last run and its end these are is to be started again: by its policy, or
/// because of a boot.
///
/// # Errors
/// What the operating system refuses.
pub fn is_pending(files: &Files, run: &Run, end: &Ended) -> Result<bool, Error> {
    // Most modules, and they are looked at often.
    if run.restart == Restart::No {
        return Ok(false);
    }
    let stopped_in = files.stopped_in();
    if !end.is_final && stopped_in.is_none() {
        return Ok(true);
    }
    let boot = boot::id()?;
    // An explicit stop is undone by a boot only if it came before that.
    if run.boot == boot || stopped_in.as_ref() == Some(&boot) {
        return Ok(false);
    }
    let went_down = end.by_machine || !end.is_final;
    Ok(restart::is_due(
        run.restart,
        stopped_in.is_some(),
        went_down,
    ))
}

/// Makes sure that somebody starts the module again after its run `number`.
pub fn see_to(files: &Files, number: u64) {
    if files.is_seen_to() {
        return;
    }
    let run = monitor::argument(files.dir(), number);
    if let Err(error) = process::start_on_its_own(&[MODE, &run]) {
        // Whoever looks next tries again.
        log::warn!("the module can't be started again: {error}");
    }
}

/// Starts the module in `dir` again after its run `number`, unless somebody is at it.
///
/// # Errors
/// What the operating system refuses.
pub fn serve(dir: &Path, number: u64) -> Result<(), Error> {
    // Whoever asked may end its process group, and that must not end this.
    let _ = rustix::process::setsid();
    match Lock::try_exclusive(&Files::new(dir).restart_lock()) {
        Ok(Some(_lock)) => follow(dir, number),
        Ok(None) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Starts the module in `dir` again after its run `number` where its policy says so, as often as that
/// fails. The caller holds [`Files::restart_lock`].
///
/// # Errors
/// What the operating system refuses.
pub fn follow(dir: &Path, mut number: u64) -> Result<(), Error> {
    let files = Files::new(dir);
    let Some((store, name, namespace)) = Store::of_module(dir) else {
        return Ok(());
    };
    while let Some((run, end)) = pending(&files, number)? {
        let ran =
            Duration::from_nanos(u64::try_from(end.finished_at - run.started_at).unwrap_or(0));
        let again = Again {
            count: run.again.count + 1,
            delay: Some(next_delay(run.again.delay, ran)),
        };
        if !pause(&files, number, &end, again.delay.unwrap_or_default())? {
            break;
        }
        let place = Place {
            address: run.address.clone(),
            namespace: namespace.clone(),
        };
        let context = Context::new(store.clone(), place, None);
        match start_again(&context, &name, number, again) {
            Ok(None) => break,
            Ok(Some(refused)) => number = refused,
            // It was removed.
            Err(Error::ModuleNotFound(_)) => break,
            // The daemon may be away for a while; that is no failure of the module.
            Err(error) => {
                log::warn!("{name} can't be started again yet: {error}");
                thread::sleep(ASK_AGAIN);
            }
        }
    }
    Ok(())
}

/// The run `number` and its end, where that is the last one and the next is still to come.
fn pending(files: &Files, number: u64) -> Result<Option<(Run, Ended)>, Error> {
    let (Some(run), Some(end)) = (files.run()?, files.end()?) else {
        return Ok(None);
    };
    let is_last = run.number == number && end.number == number;
    let is_pending = is_last && is_pending(files, &run, &end)?;
    Ok(is_pending.then_some((run, end)))
}

/// Waits until `delay` after the end is over; false where the module is not to be started any more.
fn pause(files: &Files, number: u64, end: &Ended, delay: Duration) -> Result<bool, Error> {
    // The clock may have been set meanwhile, so it is never believed for more than the delay.
    let since = u64::try_from(event::now() - end.finished_at).unwrap_or(0);
    let until = Instant::now() + delay.saturating_sub(Duration::from_nanos(since));
    let watch = match Watch::new(files.dir()) {
        Err(error) if error.is_not_found() => return Ok(false),
        other => other?,
    };
    let nobody = Hangup::stdout();
    loop {
        if pending(files, number)?.is_none() {
            return Ok(false);
        }
        match watch.wait(&nobody, None, Some(until)) {
            Ok(Wake::Ready) => {}
            Ok(Wake::Timeout | Wake::HungUp) => return Ok(true),
            Err(source) => return Err(Error::system("wait", source)),
        }
    }
}

/// Starts the module again after its run `number`, if that is still to be done. A start that fails
/// counts as a run that failed, and its number comes back.
fn start_again(
    context: &Context,
    name: &str,
    number: u64,
    again: Again,
) -> Result<Option<u64>, Error> {
    let (module, _order) = Module::find_locked(context, name)?;
    let Some((run, _)) = pending(&module.files, number)? else {
        return Ok(None);
    };
    match start::start_again(&module, again.clone()) {
        Ok(()) => Ok(None),
        Err(error) if error.is_away() => Err(error),
        Err(error) => note_refusal(&module, run, again, &error).map(Some),
    }
}

/// Writes down that a start failed: a run of no length, so that it counts.
fn note_refusal(module: &Module, run: Run, again: Again, error: &Error) -> Result<u64, Error> {
    let files = &module.files;
    let number = start::next_number(files)?;
    let now = event::now();
    let run = Run {
        number,
        started_at: now,
        boot: boot::id()?,
        again,
        ..run
    };
    let why = std::iter::successors(Some(error as &dyn std::error::Error), |error| {
        error.source()
    });
    let why: Vec<String> = why.map(ToString::to_string).collect();
    let end = Ended {
        number,
        end: End::Exited,
        exit_code: 125,
        finished_at: now,
        description: format!("could not be restarted: {}", why.join(": ")),
        is_final: !is_restarted(run.restart, 125, run.again.count),
        by_machine: false,
    };
    // Whoever sees the one and not the other waits for this lock.
    let _lock = Lock::exclusive(&files.run_lock(), None)?;
    file::write_json(&files.run_file(), &run)?;
    file::write_json(&files.end_file(), &end)?;
    Events::new(module.store.root()).record(module.name.as_str(), Kind::Exited, Some(125));
    Ok(number)
}
