//! Why a module can't be joined to its network.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use shellrt_api::v0::Code;
use shellrt_plugin::{file, lock, os};

/// Why a module can't be joined to its network, or is not off it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network was there when the module was created.
    #[error(
        "there is no network {name:?} in {dir:?} any more; put it back, or create the module anew \
         with another one"
    )]
    Gone {
        /// The network.
        name: String,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// A network's file is not what CNI asks for.
    #[error("{path:?} is no configuration of a network: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No private network is left that nothing else on this machine uses.
    #[error("all private networks are in use here; write one into {0:?} yourself")]
    NoSubnet(PathBuf),
    /// A plugin is not installed.
    #[error(
        "the CNI plugin {plugin:?} is not in {dirs}; install it, or set CNI_PATH to where it is"
    )]
    NoPlugin {
        /// Its name.
        plugin: String,
        /// Where it was looked for.
        dirs: String,
    },
    /// A plugin says no.
    #[error("the CNI plugin {plugin:?} of the network {network:?} has failed")]
    Refused {
        /// The plugin.
        plugin: String,
        /// The network.
        network: String,
        /// Its own words.
        source: Words,
    },
    /// A plugin says nothing.
    #[error("the CNI plugin {plugin:?} of the network {network:?} gave no answer in {seconds} s")]
    Slow {
        /// The plugin.
        plugin: String,
        /// The network.
        network: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Somebody has a port of the machine.
    #[error("{address} can't be published: {reason}")]
    Port {
        /// The address, the port and the protocol.
        address: String,
        /// Who has it, or why else.
        reason: String,
    },
    /// A name stands for the machine, and the network has no way to it.
    #[error("the network {0:?} has no gateway that \"host-gateway\" could be")]
    NoGateway(String),
    /// Whoever asked for it is gone.
    #[error("nobody waits for the network any more")]
    Abandoned,
    /// A lock can't be had.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// A file can't be had or written.
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
    /// The operating system refuses something with a file.
    pub fn file(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
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
            Error::Gone { .. }
            | Error::Damaged { .. }
            | Error::NoSubnet(_)
            | Error::NoPlugin { .. }
            | Error::Refused { .. }
            | Error::Port { .. }
            | Error::NoGateway(_) => Code::RUNTIME_ERROR,
            Error::Slow { .. } | Error::Abandoned => Code::TIMEOUT,
            Error::Lock(error) => error.code(),
            Error::File(error) => error.code(),
            Error::System { source, .. } => os::code(source),
        }
    }
}

/// The words of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(pub String);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Words {}
