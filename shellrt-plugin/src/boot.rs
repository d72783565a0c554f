//! After a boot: the first request of any kind is answered first, and then the modules that are due are
//! started, by a process of its own. Nothing of ours has to run at boot.

use std::fs;
use std::path::Path;

use shellrt_api::v0::Code;

use crate::{file, lock, os, process};

/// The kernel's id of the current boot.
///
/// # Errors
/// [`Error::BootId`].
pub fn id() -> Result<String, Error> {
    process::boot_id().map_err(Error::BootId)
}

/// Whether nobody has seen to the due modules since the boot; `mark` is the file that says for which
/// boot somebody has.
pub fn is_first_request(mark: &Path) -> bool {
    let boot = process::boot_id().unwrap_or_default();
    match fs::read_to_string(mark) {
        Ok(seen) => seen != boot,
        Err(_) => true,
    }
}

/// Starts this program once more, in its internal mode `mode` that sees to the due modules, so that the
/// caller's answer is complete now.
pub fn see_to_due_later(mode: &str) {
    if let Err(error) = process::start_on_its_own(&[mode]) {
        log::warn!("the modules that are due can't be started: {error}");
    }
}

/// Does `work` unless somebody did since the boot or is at it, and notes that in `mark`. `lock` is held
/// meanwhile.
///
/// # Errors
/// What `work` answers, and [`Error`]; then the next request tries again.
pub fn once<E: From<Error>>(
    mark: &Path,
    lock: &Path,
    work: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    // Whoever asked may end its process group, and that must not end this.
    let _ = rustix::process::setsid();
    let Some(_lock) = lock::Lock::try_exclusive(lock).map_err(Error::Lock)? else {
        return Ok(());
    };
    if !is_first_request(mark) {
        return Ok(());
    }
    work()?;
    Ok(note(mark)?)
}

/// Notes in `mark` that the due modules have been seen to.
///
/// # Errors
/// What the operating system refuses.
pub fn note(mark: &Path) -> Result<(), Error> {
    Ok(file::write_file(mark, id()?.as_bytes())?)
}

/// Why the due modules can't be seen to, or the boot not be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lock can't be had.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// The mark can't be written.
    #[error(transparent)]
    File(#[from] file::Error),
    /// The boot id can't be read.
    #[error("can't read the boot id")]
    BootId(#[source] std::io::Error),
}

impl Error {
    /// The code on the wire.
    pub fn code(&self) -> Code {
        match self {
            Error::Lock(error) => error.code(),
            Error::File(error) => error.code(),
            Error::BootId(error) => os::code(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{is_first_request, note, once, Error};

    #[test]
    fn the_work_is_done_once_a_boot() {
        let dir = tempfile::tempdir().unwrap();
        let (mark, lock) = (dir.path().join("boot"), dir.path().join("lock"));
        assert!(is_first_request(&mark));
        let mut count = 0;
        for _ in 0..2 {
            once(&mark, &lock, || {
                count += 1;
                Ok::<(), Error>(())
            })
            .unwrap();
        }
        assert_eq!(count, 1);
        std::fs::write(&mark, "another boot").unwrap();
        assert!(is_first_request(&mark));
        note(&mark).unwrap();
        assert!(!is_first_request(&mark));
    }

    #[test]
    fn work_that_failed_is_done_again() {
        let dir = tempfile::tempdir().unwrap();
        let (mark, lock) = (dir.path().join("boot"), dir.path().join("lock"));
        let fails = || Err(Error::BootId(std::io::ErrorKind::NotFound.into()));
        assert!(once(&mark, &lock, fails).is_err());
        assert!(is_first_request(&mark));
    }
}
