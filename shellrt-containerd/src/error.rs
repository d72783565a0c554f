//! What can go wrong in this plugin, from the caller's side, and which code each has on the wire.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use shellrt_api::v0::{self, Code};
use shellrt_plugin::{attach, boot, file, lock, log, names, os, pull, registry, root};
use tonic::Status;

use crate::containerd::{ADDRESS_VARIABLE, NAMESPACE_VARIABLE};
use crate::network;

/// This plugin's own code: `containerd-cri` modules need an image that is not on this machine.
pub const PAUSE_IMAGE_MISSING: Code = Code(100);

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
    /// The input of an `attach`.
    #[error(transparent)]
    Attach(#[from] attach::Error),
    /// A module can't be joined to its network.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// The registry, or what it sent.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// A pull was given up.
    #[error(transparent)]
    Pull(#[from] pull::Error),
    /// No daemon at the address.
    #[error(
        "no containerd at {address:?}; start it, or set {ADDRESS_VARIABLE} to where it listens"
    )]
    Unreachable {
        /// Its socket.
        address: PathBuf,
        /// Why it can't be reached.
        source: io::Error,
    },
    /// There may be a daemon, and this user may not ask it.
    #[error(
        "user {user} may not use containerd at {address:?}; run as root, or set {ADDRESS_VARIABLE} \
         to one of this user's own"
    )]
    Forbidden {
        /// Who we are.
        user: u32,
        /// Its socket.
        address: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The namespace can't be one.
    #[error(
        "{0:?} can't be a namespace of containerd: letters and digits, with \"-\", \"_\" or \".\" \
         between them, 76 at most; set {NAMESPACE_VARIABLE}"
    )]
    Namespace(String),
    /// containerd or the runtime below it refuses.
    #[error("containerd can't {doing}")]
    Runtime {
        /// What was tried, as in "create a task".
        doing: &'static str,
        /// Its own words.
        source: Refusal,
    },
    /// containerd serves no Kubernetes interface.
    #[error(
        "containerd's CRI plugin does not run; remove \"cri\" from \"disabled_plugins\" in its \
         configuration, or look with \"ctr plugins ls -d id==cri\" why it could not start, and restart \
         containerd"
    )]
    CriDisabled(#[source] Refusal),
    /// The image of the process that holds a pod together is not here.
    #[error(
        "no pause image {0:?} on this machine, and without it there are no pods; pull it first, or set \
         \"sandbox_image\" in containerd's configuration to one that is here"
    )]
    PauseImageMissing(String),
    /// No module has this name.
    #[error("no module {0:?}; \"list\" shows what exists")]
    ModuleNotFound(String),
    /// A module has this name already.
    #[error("a module {0:?} exists already; remove it first or take another name")]
    ModuleExists(String),
    /// Somebody else's container has this name.
    #[error(
        "a container {0:?} that is no module of ours exists in this namespace; take another name, or \
         remove it with whatever made it"
    )]
    ForeignContainer(String),
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
    /// The image is not one that can be run.
    #[error("image {image:?} can't be run: {reason}")]
    ImageInvalid {
        /// The image.
        image: String,
        /// What is wrong, and what would do.
        reason: String,
    },
    /// The image is here, for other platforms.
    #[error("image {image:?} is not here for {wanted}; it is for {found}")]
    Platform {
        /// The image.
        image: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// The disk has no room for the image.
    #[error(
        "the image needs {needed} bytes and the disk of {path:?} has {available} left; make room \
         (\"prune\" helps)"
    )]
    DiskFull {
        /// Where containerd keeps it.
        path: PathBuf,
        /// What is still to be fetched and unpacked, in bytes.
        needed: u64,
        /// What is free, in bytes.
        available: u64,
    },
    /// Whoever waits for the answer went away, so the work was given up.
    #[error("the reader of the answer went away")]
    HungUp,
    /// The request's time is over.
    #[error("{0}")]
    Timeout(String),
    /// The process that keeps a module's log and stdin died.
    #[error("the monitor of module {0:?} died at its start; the kernel log may say why")]
    MonitorDied(String),
    /// What we keep of a module in containerd is not what this plugin writes.
    #[error("the record of {name:?} is damaged; remove the module and create it again")]
    Damaged {
        /// The module.
        name: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A file of the state can't be had or written.
    #[error(transparent)]
    File(#[from] file::Error),
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
    /// containerd's answer to something tried, as in "create a task".
    pub fn refused(doing: &'static str, status: Status) -> Self {
        Error::Runtime {
            doing,
            source: Refusal {
                code: status.code(),
                words: status.message().to_owned(),
            },
        }
    }

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

    /// Whether containerd says that it does not know what it was asked about.
    pub fn is_not_found(&self) -> bool {
        self.is_refusal(tonic::Code::NotFound)
    }

    /// Whether containerd says that there is one already.
    pub fn is_already_exists(&self) -> bool {
        self.is_refusal(tonic::Code::AlreadyExists)
    }

    /// Whether containerd refuses with `code`.
    pub fn is_refusal(&self, code: tonic::Code) -> bool {
        matches!(self, Error::Runtime { source, .. } if source.code == code)
    }

    /// Whether containerd is not there just now. A socket that is made anew has its owner a moment
    /// later.
    pub fn is_away(&self) -> bool {
        matches!(self, Error::Forbidden { .. }) || self.code() == Code::RUNTIME_UNREACHABLE
    }

    /// Whether the shim went away while containerd spoke with it: what it was to do is perhaps done.
    pub fn is_shim_gone(&self) -> bool {
        match self {
            Error::Runtime { source, .. } => source.words.contains("ttrpc: closed"),
            _ => false,
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
            Error::Attach(error) => error.code(),
            Error::Network(error) => error.code(),
            Error::Registry(error) => error.code(),
            Error::Pull(error) => error.code(),
            Error::Unreachable { .. } => Code::RUNTIME_UNREACHABLE,
            Error::Forbidden { .. } => Code::PERMISSION_DENIED,
            Error::Namespace(_) => Code::RUNTIME_ERROR,
            Error::Runtime { source, .. } => source.class(),
            Error::CriDisabled(_) => Code::RUNTIME_ERROR,
            Error::PauseImageMissing(_) => PAUSE_IMAGE_MISSING,
            Error::ModuleNotFound(_) => Code::MODULE_NOT_FOUND,
            Error::ModuleExists(_) | Error::ForeignContainer(_) => Code::MODULE_EXISTS,
            Error::WrongState { .. } => Code::WRONG_STATE,
            Error::ImageNotFound(_) => Code::IMAGE_NOT_FOUND,
            Error::ImageInUse { .. } => Code::IMAGE_IN_USE,
            Error::ImageInvalid { .. } => Code::IMAGE_INVALID,
            Error::Platform { .. } => Code::PLATFORM_UNAVAILABLE,
            Error::DiskFull { .. } => Code::OUT_OF_RESOURCES,
            // Nobody is there to read it.
            Error::HungUp => Code::TIMEOUT,
            Error::Timeout(_) => Code::TIMEOUT,
            Error::MonitorDied(_) | Error::Damaged { .. } => Code::RUNTIME_ERROR,
            Error::File(error) => error.code(),
            Error::System { source, .. } => os::code(source),
        }
    }
}

impl From<Error> for v0::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Wire(error) => error,
            Error::Registry(error) => error.answer(),
            Error::PauseImageMissing(ref image) => v0::Error::new(error.code(), &error)
                .with("kind", "pause_image_missing")
                .with("image", image.as_str()),
            other => v0::Error::new(other.code(), &other),
        }
    }
}

/// containerd's own words, with its own class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its class.
    pub code: tonic::Code,
    /// Its words, and those of the runtime below it.
    pub words: String,
}

impl Refusal {
    /// The class on the wire. A daemon that goes away in the middle of a call is as unreachable as one
    /// that was never there.
    fn class(&self) -> Code {
        let has = |words: &str| self.words.contains(words);
        match self.code {
            _ if has("no space left on device") || has("disk quota exceeded") => {
                Code::OUT_OF_RESOURCES
            }
            _ if has("too many open files") || has("cannot allocate memory") => {
                Code::OUT_OF_RESOURCES
            }
            tonic::Code::Unavailable => Code::RUNTIME_UNREACHABLE,
            tonic::Code::PermissionDenied => Code::PERMISSION_DENIED,
            tonic::Code::DeadlineExceeded => Code::TIMEOUT,
            tonic::Code::ResourceExhausted => Code::OUT_OF_RESOURCES,
            _ => Code::RUNTIME_ERROR,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.words)
    }
}

impl std::error::Error for Refusal {}
