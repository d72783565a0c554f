//! A program's files: from a web server that lists its folders, or from a folder of this machine, into a
//! folder of the module's own, which is there with all of them or not at all.

mod copy;
mod download;
mod index;
mod path;

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::json;
use shellrt_api::v0::Secret;

use crate::settings::silverline::Repository;

pub use path::{
    check_repository, folder_below, program_path, source, BadPath, BadRepository, ProgramPath,
    Source,
};

/// How deep folders may be nested.
const MAX_DEPTH: usize = 32;

/// Where arena-py looks for a name and a password for the broker.
const ARENA_MQTT_AUTH: &str = ".arena_mqtt_auth";

/// What is to be fetched.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The folder that has it.
    pub source: Source,
    /// The name of the program in it.
    pub program: String,
    /// How much of the folder.
    pub extent: Extent,
    /// The settings for it.
    pub repository: Repository,
    /// Name and password for the broker that the program gets, where it gets them.
    pub arena_mqtt_auth: Option<(String, Secret)>,
}

/// How much of a folder is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The program alone.
    File,
    /// All that is in it.
    Folder,
}

/// Why files can't be fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client can't be set up.
    #[error("the repository's settings can't be used")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server does not answer, or breaks off.
    #[error("{url} can't be fetched")]
    Request {
        /// What was asked for.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The server says no.
    #[error("{url} can't be fetched: the server answers {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The answer.
        status: reqwest::StatusCode,
    },
    /// A listing has a name in it that no file may have.
    #[error("{place} lists {name:?}, which is no name of a file")]
    BadName {
        /// Whose listing.
        place: String,
        /// The name as it stands there.
        name: String,
    },
    /// Nothing is listed.
    #[error("{0} lists no files; is the listing of folders enabled there?")]
    Empty(String),
    /// The program is not among the files.
    #[error("{place} has no file {program:?}")]
    NoProgram {
        /// Where it should be.
        place: String,
        /// Its name.
        program: String,
    },
    /// There is too much.
    #[error("the files are more than {0} bytes, which \"repository.max_bytes\" allows")]
    TooBig(u64),
    /// There are too many.
    #[error("there are more than {0} files and folders, which \"repository.max_files\" allows")]
    TooMany(usize),
    /// It takes too long.
    #[error("{0} takes too long")]
    TooSlow(String),
    /// They lie too deep.
    #[error("folders are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// It lies elsewhere.
    #[error("{0:?} leads out of the repository")]
    LeadsOut(PathBuf),
    /// It is neither a file nor a folder.
    #[error("{0:?} is neither a file nor a folder")]
    Strange(PathBuf),
    /// The machine's disk.
    #[error("{path:?} can't be {what}")]
    Disk {
        /// What was to be done.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Fetches what is `wanted` into the folder `dir`. What was there before is replaced.
///
/// # Errors
/// [`Error`]. Then `dir` is as it was.
pub async fn fetch(wanted: &Wanted, dir: &Path) -> Result<(), Error> {
    let draft = draft(dir)?;
    let draft = match &wanted.source {
        Source::Index(url) => {
            download::download(wanted, url, draft.path()).await?;
            draft
        }
        Source::Folder { root, below } => {
            let (root, below, wanted) = (root.clone(), below.clone(), wanted.clone());
            let copied = tokio::task::spawn_blocking(move || {
                copy::copy(&wanted, &root, &below, draft.path())?;
                Ok(draft)
            });
            copied
                .await
                .unwrap_or_else(|error| Err(disk("copied", dir)(io::Error::other(error))))?
        }
    };
    if !draft.path().join(&wanted.program).is_file() {
        return Err(Error::NoProgram {
            place: wanted.source.to_string(),
            program: wanted.program.clone(),
        });
    }
    if let Some((username, password)) = &wanted.arena_mqtt_auth {
        write_auth(&draft.path().join(ARENA_MQTT_AUTH), username, password)?;
    }
    let readable = Permissions::from_mode(0o755);
    fs::set_permissions(draft.path(), readable).map_err(disk("opened to its readers", dir))?;
    remove(dir)?;
    fs::rename(draft.path(), dir).map_err(disk("put in its place", dir))?;
    // It is not there under its old name any more.
    let _ = draft.keep();
    Ok(())
}

/// Removes what [`fetch`] has fetched.
///
/// # Errors
/// [`Error::Disk`].
pub fn remove(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk("removed", dir)(error)),
        _ => Ok(()),
    }
}

/// A folder beside `dir` that goes unless it is kept. What a killed daemon has left of an older one for
/// the same module is removed.
fn draft(dir: &Path) -> Result<tempfile::TempDir, Error> {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Err(disk("made", dir)(io::ErrorKind::InvalidInput.into()));
    };
    let prefix = format!(".{}.new-", name.to_string_lossy());
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(parent);
    made.map_err(disk("made", parent))?;
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            remove(&entry.path())?;
        }
    }
    let draft = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent);
    draft.map_err(disk("made", dir))
}

fn write_auth(path: &Path, username: &str, password: &Secret) -> Result<(), Error> {
    let text = json!({"username": username, "token": password.expose()}).to_string();
    // The repository may have such a file, for everybody to read.
    let removed = fs::remove_file(path);
    if removed.is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
        return Err(disk("replaced", path)(io::ErrorKind::AlreadyExists.into()));
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(disk("written", path))
}

fn disk(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Disk { what, path, source }
}

/// What may still be fetched.
struct Budget {
    max_bytes: u64,
    max_files: usize,
    bytes: u64,
    files: usize,
}

impl Budget {
    fn of(wanted: &Wanted) -> Budget {
        Budget {
            max_bytes: wanted.repository.max_bytes,
            max_files: wanted.repository.max_files,
            bytes: 0,
            files: 0,
        }
    }

    /// One more file or folder.
    fn file(&mut self) -> Result<(), Error> {
        self.files += 1;
        match self.files > self.max_files {
            true => Err(Error::TooMany(self.max_files)),
            false => Ok(()),
        }
    }

    fn bytes(&mut self, bytes: u64) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(bytes);
        match self.bytes > self.max_bytes {
            true => Err(Error::TooBig(self.max_bytes)),
            false => Ok(()),
        }
    }
}
