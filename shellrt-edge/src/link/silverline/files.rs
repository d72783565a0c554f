//! The files of a program, fetched before it is started.

use std::io;
use std::path::{Path, PathBuf};

/// What has to be fetched.
#[derive(Debug)]
pub struct Wanted {
    /// From where.
    pub from: PathBuf,
    /// To where.
    pub to: PathBuf,
}

/// Why files could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be copied.
    #[error("{0:?} can't be fetched")]
    Copy(PathBuf, #[source] io::Error),
}

/// Fetches what is wanted into the new folder `dir`.
///
/// # Errors
/// [`Error`].
pub async fn fetch(wanted: &Wanted, dir: &Path) -> Result<(), Error> {
    let failed = |error| Error::Copy(wanted.from.clone(), error);
    tokio::fs::create_dir_all(dir).await.map_err(failed)?;
    tokio::fs::copy(&wanted.from, &wanted.to)
        .await
        .map_err(failed)?;
    Ok(())
}
