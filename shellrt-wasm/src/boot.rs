//! Which modules are due after a boot, and starting them when the first request has been answered.

use shellrt_api::v0::config::Restart;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::{boot, restart};

use crate::error::Error;
use crate::module::{self, Module, Now, Run};
use crate::store::Store;

/// The internal mode of this program that starts what is due.
pub const MODE: &str = "start-due";

/// Starts the modules that are due; one that can't be started does not keep the others.
pub fn start_due() -> Result<(), Error> {
    let store = Store::open()?;
    let start_all = || -> Result<(), Error> {
        let boot = boot::id()?;
        for module in Module::all(&store)? {
            if let Err(error) = start_if_due(&store, &module, &boot) {
                log::warn!("{} is due and can't be started: {error}", module.name);
            }
        }
        Ok(())
    };
    boot::once(&store.boot(), &store.boot_lock(), start_all)
}

fn start_if_due(store: &Store, module: &Module, boot: &str) -> Result<(), Error> {
    let _order = Lock::exclusive(&store.module_lock(&module.name), None)?;
    let Some(run) = module.run()? else {
        return Ok(());
    };
    if !is_due(module, &run)? {
        return Ok(());
    }
    module::start(store, module, run.restart_count + 1, None)
        .or_else(|error| module.note_refusal(&run, boot, &error).and(Err(error)))
}

/// Whether `module`, whose last run is `run`, is to be started after a boot. What was never started is
/// never due.
///
/// # Errors
/// What the operating system refuses.
pub fn is_due(module: &Module, run: &Run) -> Result<bool, Error> {
    let boot = boot::id()?;
    // An explicit stop is undone by a boot only if it came before that.
    if run.boot == boot || module.stopped_in().as_ref() == Some(&boot) {
        return Ok(false);
    }
    let policy = module.definition.config.restart;
    let went_down = matches!(policy, Restart::OnFailure { .. }) && went_down_with_machine(module)?;
    Ok(restart::is_due(policy, module.is_stopped(), went_down))
}

/// Whether the module's last run ended because the machine went down, with or without warning.
fn went_down_with_machine(module: &Module) -> Result<bool, Error> {
    Ok(match module.now()? {
        Now::Created => false,
        Now::Running(_) | Now::Restarting(..) => true,
        Now::Exited(_, end) => end.by_machine,
    })
}
