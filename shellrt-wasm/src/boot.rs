//! After a boot: the first request of any kind is answered first, and then the modules that are due
//! are started. Nothing of ours has to run at boot.

use std::fs;
use std::process::{Command, Stdio};

use shellrt_api::v0::config::Restart;
use shellrt_plugin::file;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::process;

use crate::error::Error;
use crate::module::{self, Module, Now, Run};
use crate::store::Store;

/// The internal mode of this program that starts what is due.
pub const MODE: &str = "start-due";

/// Whether nobody has started the due modules since the boot.
pub fn is_first_request(store: &Store) -> bool {
    let boot = process::boot_id().unwrap_or_default();
    match fs::read_to_string(store.boot()) {
        Ok(seen) => seen != boot,
        Err(_) => true,
    }
}

/// Starts the due modules in a process of its own, so that the caller's answer is complete now.
pub fn start_due_later() {
    let started = Command::new("/proc/self/exe")
        .arg(MODE)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = started {
        log::warn!("the modules that are due can't be started: {error}");
    }
}

/// Starts the modules that are due; one that can't be started does not keep the others.
pub fn start_due() -> Result<(), Error> {
    // Whoever asked may end its process group, and that must not end this.
    let _ = rustix::process::setsid();
    let store = Store::open()?;
    // Somebody else is at it already.
    let Some(_lock) = Lock::try_exclusive(&store.boot_lock())? else {
        return Ok(());
    };
    if !is_first_request(&store) {
        return Ok(());
    }
    let boot = process::boot_id().map_err(|source| Error::system("read the boot id", source))?;
    for module in Module::all(&store)? {
        if let Err(error) = start_if_due(&store, &module, &boot) {
            log::warn!("{} is due and can't be started: {error}", module.name);
        }
    }
    Ok(file::write_file(&store.boot(), boot.as_bytes())?)
}

fn start_if_due(store: &Store, module: &Module, boot: &str) -> Result<(), Error> {
    let _order = Lock::exclusive(&store.module_lock(&module.name), None)?;
    let Some(run) = module.run()? else {
        return Ok(());
    };
    if !is_due(module, &run)? {
        return Ok(());
    }
    module::start(store, module, None)
        .or_else(|error| module.note_refusal(&run, boot, &error).and(Err(error)))
}

/// Whether `module`, whose last run is `run`, is to be started after a boot. Docker's rules: `always`
/// comes back even if it was stopped, `unless-stopped` if it was not, and `on-failure` if it ran when
/// the machine went down. What was never started is never due.
///
/// # Errors
/// What the operating system refuses.
pub fn is_due(module: &Module, run: &Run) -> Result<bool, Error> {
    let boot = process::boot_id().map_err(|source| Error::system("read the boot id", source))?;
    if run.boot == boot {
        return Ok(false);
    }
    Ok(match module.definition.config.restart {
        Restart::No => false,
        Restart::Always => true,
        Restart::UnlessStopped => !module.is_stopped(),
        Restart::OnFailure { .. } => !module.is_stopped() && went_down_with_machine(module)?,
    })
}

/// Whether the module's last run ended because the machine went down, with or without warning.
fn went_down_with_machine(module: &Module) -> Result<bool, Error> {
    Ok(match module.now()? {
        Now::Created => false,
        Now::Running(_) | Now::Restarting(..) => true,
        Now::Exited(_, end) => end.by_machine,
    })
}
