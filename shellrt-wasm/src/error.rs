//! What can go wrong in this plugin, from the caller's side, and which code each has on the wire.

use std::io;
use std::path::{Path, PathBuf};

use shellrt_api::v0::{self, Code};
use shellrt_plugin::{attach, boot, file, lock, log, names, os, pull, registry, root};

use crate::engine::{ProgramError, StartError};
use crate::store::ROOT_VARIABLE;

/// Why a request can't be answered with ok.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error that has its form for the wire already.
    #[error(transparent)]
    Wire(#[from] v0::Error),
    /// There is no state directory.
    #[error(transparent)]
    Root(#[from] root::Error),
    /// The modules that are due after a boot can't be seen to.
    #[error(transparent)]
    Boot(#[from] boot::Error),
    /// A module's name is none.
    #[error(transparent)]
    Name(#[from] names::Error),
    /// A lock can't be had.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// A module's log can't be used.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The operating system refuses something with a file, or a file of the state is damaged.
    #[error(transparent)]
    File(#[from] file::Error),
    /// A module can't be fed.
    #[error(transparent)]
    Attach(#[from] attach::Error),
    /// A pull was given up.
    #[error(transparent)]
    Pull(#[from] pull::Error),
    /// The registry, or what it sent.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The program can't run here.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A run could not begin.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No module has this name.
    #[error("no module {0:?}; \"list\" shows what exists")]
    ModuleNotFound(String),
    /// A module has this name already.
    #[error("a module {0:?} exists already; remove it first or take another name")]
    ModuleExists(String),
    /// The module runs and should not, or the other way round.
    #[error("module {name:?} {what}")]
    WrongState {
        /// The module.
        name: String,
        /// What it is and what to do.
        what: &'static str,
    },
    /// The image was never pulled, or removed.
    #[error("no image {0:?} on this machine; pull it first")]
    ImageNotFound(String),
    /// Modules use the image.
    #[error("image {image:?} is used by {}; remove them first, or use force", modules.join(", "))]
    ImageInUse {
        /// The image.
        image: String,
        /// Who uses it.
        modules: Vec<String>,
    },
    /// The image is not in a layout that this plugin understands.
    #[error("image {image:?} can't be run: {reason}")]
    ImageInvalid {
        /// The image.
        image: String,
        /// What is wrong, and what would do.
        reason: String,
    },
    /// An image reference that is a path can't be read.
    #[error(
        "invalid image reference {reference:?}: {reason}; a local one is \"file:PATH\" or \
         \"oci:DIRECTORY[:TAG]\""
    )]
    Reference {
        /// The text as given.
        reference: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A local image is not where the reference says.
    #[error("{reference:?} is not there: {reason}")]
    NotThere {
        /// The reference.
        reference: String,
        /// What is missing and what to do.
        reason: String,
    },
    /// The disk has no room for the image.
    #[error(
        "the image needs {needed} bytes and the disk of {path:?} has {available} left; make room \
         (\"prune\" helps), or set {ROOT_VARIABLE} to a directory elsewhere"
    )]
    DiskFull {
        /// The state directory.
        path: PathBuf,
        /// What is still to be fetched, in bytes.
        needed: u64,
        /// What is free, in bytes.
        available: u64,
    },
    /// The request's time is over.
    #[error("{0}")]
    Timeout(String),
    /// A monitor died before it said anything.
    #[error("the monitor of module {0:?} died at its start; the kernel log may say why")]
    MonitorDied(String),
    /// The process of an engine died before it was ready.
    #[error(
        "the engine of module {name:?} {how} before it was ready; the module's log may say why"
    )]
    EngineDied {
        /// The module.
        name: String,
        /// How, in words.
        how: String,
    },
    /// The operating system refuses something else.
    #[error("can't {doing}")]
    System {
        /// What was tried, as in "start a process".
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    /// The operating system refuses something with a file.
    pub fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Error::File(file::Error::new(doing, path, source))
    }

    /// The operating system refuses something else.
    pub fn system(doing: &'static str, source: impl Into<io::Error>) -> Self {
        Error::System {
            doing,
            source: source.into(),
        }
    }

    /// The code on the wire.
    pub fn code(&self) -> Code {
        match self {
            Error::Wire(error) => error.code,
            Error::Root(error) => error.code(),
            Error::Boot(error) => error.code(),
            Error::Name(error) => error.code(),
            Error::Lock(error) => error.code(),
            Error::Log(error) => error.code(),
            Error::File(error) => error.code(),
            Error::Attach(error) => error.code(),
            Error::Pull(error) => error.code(),
            Error::Registry(error) => error.code(),
            Error::Program(error) => error.code(),
            Error::Start(error) => error.code(),
            Error::ModuleNotFound(_) => Code::MODULE_NOT_FOUND,
            Error::ModuleExists(_) => Code::MODULE_EXISTS,
            Error::WrongState { .. } => Code::WRONG_STATE,
            Error::ImageNotFound(_) => Code::IMAGE_NOT_FOUND,
            Error::ImageInUse { .. } => Code::IMAGE_IN_USE,
            Error::ImageInvalid { .. } => Code::IMAGE_INVALID,
            Error::Reference { .. } => Code::INVALID_REFERENCE,
            Error::NotThere { .. } => Code::REGISTRY_NOT_FOUND,
            Error::DiskFull { .. } => Code::OUT_OF_RESOURCES,
            Error::Timeout(_) => Code::TIMEOUT,
            Error::MonitorDied(_) | Error::EngineDied { .. } => Code::RUNTIME_ERROR,
            Error::System { source, .. } => os::code(source),
        }
    }
}

impl From<Error> for v0::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Wire(error) => error,
            Error::Registry(error) => error.answer(),
            other => v0::Error::new(other.code(), &other),
        }
    }
}
