//! What can be wrong with a program, and why a run could not begin.

use std::io;
use std::path::PathBuf;

use shellrt_api::v0::config::Bytes;
use shellrt_api::v0::Code;

/// What the engine said, with its own chain of causes.
pub type EngineError = Box<dyn std::error::Error + Send + Sync>;

/// Why some bytes can't be made into a program that runs here.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Neither the header of a module nor that of a component.
    #[error("this is {what}, not a webassembly program; build for wasm32-wasip1 or wasm32-wasip2")]
    NotWasm {
        /// What the first bytes look like.
        what: &'static str,
    },
    /// Code that was compiled outside: it could do anything, so it is never loaded.
    #[error("this is {what}, and native code from outside is never loaded; use the .wasm that it was compiled from")]
    Native {
        /// What the first bytes look like.
        what: &'static str,
    },
    /// The bytes begin as they should and then don't hold together.
    #[error("the webassembly program is damaged")]
    Malformed(#[source] wasmparser::BinaryReaderError),
    /// A module that is a library.
    #[error("the program is a reactor: it exports \"_initialize\" and no \"_start\"; build it as a command")]
    Reactor,
    /// A module with no place to begin.
    #[error("the program does not export the function \"_start\"; build it as a command for wasm32-wasip1")]
    NoStart,
    /// A component with no place to begin.
    #[error("the component exports neither \"wasi:cli/run\" nor \"wasi:http/incoming-handler\" but {exports}; build it for wasi:cli/command or wasi:http/proxy 0.2")]
    NoEntry {
        /// What it does export, for people.
        exports: String,
    },
    /// A component of a WASI version that this engine does not run.
    #[error("the component is made for {name:?}, and wasi {version} is not supported yet; build it for wasi 0.2")]
    UnsupportedWasi {
        /// The import or export that says so.
        name: String,
        /// The version, as in "0.3".
        version: String,
    },
    /// Imports that nothing here provides.
    #[error("the program needs what is not there: {}", names.join(", "))]
    MissingImports {
        /// All of them.
        names: Vec<String>,
    },
    /// An EDGELESS function without all that it must export.
    #[error("the program is an edgeless function and does not export {}", names.join(", "))]
    MissingExports {
        /// All of them.
        names: Vec<String>,
    },
    /// The exports of an EDGELESS function have the right names and the wrong types.
    #[error("the program's exports do not fit what calls them")]
    WrongExports(#[source] EngineError),
    /// The imports have the right names and the wrong types.
    #[error("the program's imports do not fit what is there")]
    WrongImports(#[source] EngineError),
    /// The engine could not compile it.
    #[error("the program can't be compiled")]
    Compile(#[source] EngineError),
    /// The program is larger than the limit.
    #[error("the program has {size} bytes, and at most {limit} are compiled here; \"SHELLRT_WASM_MAX_PROGRAM\" raises the limit")]
    TooLarge {
        /// The program's size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The compiler ran into its memory limit, or the machine has no more.
    #[error("there is not enough memory to compile the program; \"SHELLRT_WASM_COMPILE_MEMORY\" sets how much the compiler may use")]
    CompileMemory(#[source] Option<EngineError>),
    /// The deadline came before the compiler was done.
    #[error("compiling the program took too long; repeat the request with more time")]
    CompileTimeout,
    /// The compiler's process ended in a way that it should not.
    #[error("the compiler broke over the program: {how}")]
    CompilerDied {
        /// Its exit status and last words.
        how: String,
    },
    /// The compiler's process found what is wrong with the program; the words are its.
    #[error("{message}")]
    Refused {
        /// The code of the error over there.
        code: Code,
        /// Its message.
        message: String,
        /// Its causes.
        #[source]
        cause: Option<Cause>,
    },
    /// A file of the program could not be read or written.
    #[error("can't {doing} {path:?}")]
    File {
        /// What was tried, as in "read".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The compiler's process could not be started or talked to.
    #[error("can't {doing} the compiler's process")]
    Child {
        /// What was tried, as in "start".
        doing: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A limit in the environment is no size.
    #[error("the environment variable {name:?} is wrong")]
    Environment {
        /// The variable.
        name: &'static str,
        /// Why it can't be read.
        #[source]
        source: <Bytes as std::str::FromStr>::Err,
    },
    /// The engine can't be set up at all.
    #[error("the webassembly engine can't be set up on this machine")]
    Engine(#[source] EngineError),
}

impl ProgramError {
    /// The code that goes over the wire.
    pub fn code(&self) -> Code {
        match self {
            ProgramError::NotWasm { .. }
            | ProgramError::Native { .. }
            | ProgramError::Malformed(_)
            | ProgramError::Reactor
            | ProgramError::NoStart
            | ProgramError::NoEntry { .. }
            | ProgramError::UnsupportedWasi { .. }
            | ProgramError::MissingImports { .. }
            | ProgramError::MissingExports { .. }
            | ProgramError::WrongExports(_)
            | ProgramError::WrongImports(_)
            | ProgramError::Compile(_)
            | ProgramError::TooLarge { .. }
            | ProgramError::CompilerDied { .. } => Code::IMAGE_INVALID,
            ProgramError::CompileMemory(_) => Code::OUT_OF_RESOURCES,
            ProgramError::CompileTimeout => Code::TIMEOUT,
            ProgramError::Refused { code, .. } => *code,
            ProgramError::File { source, .. } | ProgramError::Child { source, .. } => {
                io_code(source)
            }
            ProgramError::Environment { .. } | ProgramError::Engine(_) => Code::RUNTIME_ERROR,
        }
    }
}

/// A chain of causes that came from another process as text.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Cause {
    message: String,
    #[source]
    cause: Option<Box<Cause>>,
}

impl Cause {
    /// The chain for `messages`, outermost first; `None` where there are none.
    pub fn chain(messages: Vec<String>) -> Option<Cause> {
        let mut chain = None;
        for message in messages.into_iter().rev() {
            chain = Some(Cause {
                message,
                cause: chain.map(Box::new),
            });
        }
        chain
    }
}

/// Why a run could not begin. The program has not executed anything that anybody outside could see.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The compiled file was made by another engine, for other features, or for another processor:
    /// compile it again.
    #[error("the compiled program no longer fits the engine or the processor")]
    Stale(#[source] EngineError),
    /// The compiled file can't be read.
    #[error("can't read the compiled program {path:?}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The source of a mount can't be opened.
    #[error("can't open the mount's source {source_path:?}; make the directory or change the module's mounts")]
    Mount {
        /// The directory on the host.
        source_path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The config does not fit the program; `create` should have said so.
    #[error("the module's config does not fit its program: {0}")]
    Config(#[source] shellrt_api::v0::Error),
    /// The address to serve at can't be used.
    #[error("can't listen on {address:?}")]
    Listen {
        /// As the config has it.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The program's memory at its start is more than `mem_limit`.
    #[error("the program needs {needed} bytes of memory to start, and its mem_limit is {limit}; raise the limit")]
    MemoryLimit {
        /// What it would take, in bytes.
        needed: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The operating system gave no memory.
    #[error("there is no memory to start the program in; each linear memory reserves 4 GiB of address space, so see \"ulimit -v\"")]
    OutOfMemory(#[source] EngineError),
    /// The engine could not make the program ready.
    #[error("the program can't be started")]
    Instantiate(#[source] EngineError),
    /// The engine can't be set up at all.
    #[error("the webassembly engine can't be set up on this machine")]
    Engine(#[source] EngineError),
    /// The runtime for files, sockets and timers can't be set up.
    #[error("can't set up the event loop")]
    EventLoop(#[source] io::Error),
    /// Whoever waits for the start could not be told.
    #[error("can't report that the program is ready")]
    Ready(#[source] io::Error),
}

impl StartError {
    /// The code that goes over the wire.
    pub fn code(&self) -> Code {
        match self {
            StartError::Stale(_) | StartError::Instantiate(_) | StartError::Engine(_) => {
                Code::RUNTIME_ERROR
            }
            StartError::Unreadable { source, .. }
            | StartError::Mount { source, .. }
            | StartError::Listen { source, .. }
            | StartError::EventLoop(source)
            | StartError::Ready(source) => io_code(source),
            StartError::Config(error) => error.code,
            StartError::MemoryLimit { .. } => Code::INVALID_CONFIG,
            StartError::OutOfMemory(_) => Code::OUT_OF_RESOURCES,
        }
    }
}

/// Whether the system refused the engine memory.
pub(super) fn is_out_of_memory(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| {
        let by_system = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error);
        let by_call = cause
            .downcast_ref::<rustix::io::Errno>()
            .map(|errno| errno.raw_os_error());
        by_system.or(by_call) == Some(libc::ENOMEM) || cause.is::<wasmtime::OutOfMemory>()
    })
}

/// The code for what the operating system said.
fn io_code(error: &io::Error) -> Code {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Code::PERMISSION_DENIED
        }
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::OutOfMemory
        | io::ErrorKind::AddrInUse => Code::OUT_OF_RESOURCES,
        // EMFILE, ENFILE and EAGAIN (no more processes) have no kind of their own.
        _ if matches!(
            error.raw_os_error(),
            Some(libc::EMFILE | libc::ENFILE | libc::EAGAIN)
        ) =>
        {
            Code::OUT_OF_RESOURCES
        }
        _ => Code::RUNTIME_ERROR,
    }
}
