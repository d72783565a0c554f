//! Stopping a module: ask, wait, kill.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use shellrt_plugin::hangup::Hangup;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::stop::Grace;

use super::{Module, Now};
use crate::boot;
use crate::error::Error;
use crate::store::Store;

/// Stops `module` and waits until it has ended; one that does not run stays as it is. The module's
/// lock is held only while it is asked to end, so that a more urgent request can overtake.
///
/// # Errors
/// [`Error::Timeout`] at `deadline`; the module is asked to end all the same.
pub fn stop(
    store: &Store,
    module: &Module,
    grace: Grace,
    deadline: Option<Instant>,
) -> Result<(), Error> {
    {
        let _order = Lock::exclusive(&store.module_lock(&module.name), deadline)?;
        if !ask(module, grace)? {
            return Ok(());
        }
    }
    wait_or_kill(module, grace, deadline)
}

/// Marks the module as stopped and tells its monitor, or without grace kills the engine; false
/// where it does not run.
pub fn ask(module: &Module, grace: Grace) -> Result<bool, Error> {
    let (monitor, engine) = match module.now()? {
        Now::Created => return Ok(false),
        Now::Exited(run, _) => {
            // What is due after a boot has not been started yet, and stays so.
            if boot::is_due(module, &run)? {
                module.mark_stopped()?;
            }
            return Ok(false);
        }
        Now::Running(run) => (run.monitor, Some(run.engine)),
        Now::Restarting(run, _) => (run.monitor, None),
    };
    // The mark comes first: whatever happens then, the module is not restarted.
    module.mark_stopped()?;
    if let Some(engine) = engine.filter(|_| grace == Grace::None) {
        let killed = engine.signal(Signal::KILL);
        killed.map_err(|source| Error::system("kill the engine", source))?;
    }
    monitor
        .signal(Signal::TERM)
        .map_err(|source| Error::system("signal the monitor", source))?;
    Ok(true)
}

/// Waits until the module has ended; kills it when `grace` is over.
pub fn wait_or_kill(module: &Module, grace: Grace, deadline: Option<Instant>) -> Result<(), Error> {
    let hangup = Hangup::stdout();
    let asked_until = grace.end();
    let until = [asked_until, deadline].into_iter().flatten().min();
    if grace != Grace::None && module.wait_for_end(&hangup, until)? {
        return Ok(());
    }
    let is_late = deadline.is_some_and(|deadline| deadline <= Instant::now());
    if is_late || asked_until.is_none_or(|until| until > Instant::now()) {
        // The deadline, or nobody listens any more.
        return Err(Error::Timeout(format!(
            "module {:?} has been asked to end and has not ended yet; repeat the request with a \
             timeout to kill it",
            module.name.as_str()
        )));
    }
    // A run may begin in this moment, so look and kill until the monitor has seen the mark.
    loop {
        if let Now::Running(run) = module.now()? {
            let killed = run.engine.signal(Signal::KILL);
            killed.map_err(|source| Error::system("kill the engine", source))?;
        }
        let soon = Instant::now() + Duration::from_millis(500);
        if module.wait_for_end(
            &hangup,
            Some(deadline.map_or(soon, |deadline| deadline.min(soon))),
        )? {
            return Ok(());
        }
        if hangup.is_hung_up() || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(Error::Timeout(format!(
                "module {:?} has been killed and its end has not been seen yet",
                module.name.as_str()
            )));
        }
    }
}
