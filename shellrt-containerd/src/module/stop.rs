//! Stopping a module: ask, wait, kill.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use shellrt_api::v0::stop::DEFAULT_TIMEOUT;
use shellrt_plugin::hangup::Hangup;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::stop::Grace;
use shellrt_plugin::{boot, file};

use super::state::{Now, Running, State};
use super::{task, Module};
use crate::error::Error;

/// Stops `module` and waits until it has ended; one that does not run stays as it is. The module's
/// lock is held only while it is asked to end, so that a more urgent request can overtake.
///
/// # Errors
/// [`Error::Timeout`] at the deadline; the module is asked to end all the same.
pub fn stop(module: &Module, grace: Grace, deadline: Option<Instant>) -> Result<(), Error> {
    {
        let _order = Lock::exclusive(&module.store.module_lock(&module.name), deadline)?;
        if !ask(module, grace)? {
            return Ok(());
        }
    }
    wait_or_kill(module, grace, deadline)
}

impl Module {
    /// How long it may take to end: so many seconds, else what its config says.
    pub fn grace(&self, seconds: Option<i64>) -> Grace {
        match (seconds, self.definition.config.stop_grace_period) {
            (Some(seconds), _) => Grace::from_seconds(seconds),
            (None, Some(period)) if period.0.is_zero() => Grace::None,
            (None, Some(period)) => Grace::For(period.0),
            (None, None) => Grace::from_seconds(DEFAULT_TIMEOUT),
        }
    }
}

/// Sends the module the signal that it ends at, or without grace kills it; false where it does not
/// run. From now on nobody starts it again.
///
/// # Errors
/// [`Error::Runtime`].
pub fn ask(module: &Module, grace: Grace) -> Result<bool, Error> {
    if module.now()?.state() != State::Active {
        return Ok(false);
    }
    let boot = boot::id()?;
    file::write_file(&module.files.stop_mark(), boot.as_bytes())?;
    // With the mark it is restarting no longer.
    let Now::Running(Running { paused, .. }) = module.now()? else {
        return Ok(false);
    };
    if paused {
        // A frozen process takes no signal.
        task::resume(&module.containerd, module.name.as_str())?;
    }
    match grace {
        Grace::None => kill(module)?,
        _ => task::kill(
            &module.containerd,
            module.name.as_str(),
            module.definition.stop_signal,
            false,
        )?,
    }
    Ok(true)
}

fn kill(module: &Module) -> Result<(), Error> {
    let signal = Signal::KILL.as_raw();
    task::kill(&module.containerd, module.name.as_str(), signal, true)
}

/// Waits until the module has ended; kills it when `grace` is over.
///
/// # Errors
/// [`Error::Timeout`].
pub fn wait_or_kill(module: &Module, grace: Grace, deadline: Option<Instant>) -> Result<(), Error> {
    let hangup = Hangup::stdout();
    let asked_until = match grace {
        Grace::None => Some(Instant::now()),
        Grace::For(time) => Instant::now().checked_add(time),
        Grace::Endless => None,
    };
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
    loop {
        if let Now::Running(Running { paused, .. }) = module.now()? {
            if paused {
                task::resume(&module.containerd, module.name.as_str())?;
            }
            kill(module)?;
        }
        let soon = Instant::now() + Duration::from_millis(500);
        let until = deadline.map_or(soon, |deadline| deadline.min(soon));
        if module.wait_for_end(&hangup, Some(until))? {
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
