//! What the wire calls an error of the operating system.

use shellrt_api::v0::Code;
use std::io::{self, ErrorKind};

/// The code for an error of the operating system that says nothing about the request: a full disk
/// or no file descriptors is [`Code::OUT_OF_RESOURCES`], a refusal [`Code::PERMISSION_DENIED`], a
/// timeout [`Code::TIMEOUT`], and what should not happen at all [`Code::INTERNAL`].
pub fn code(error: &io::Error) -> Code {
    // The standard library has no kinds for these.
    let out_of_descriptors = [
        rustix::io::Errno::MFILE,
        rustix::io::Errno::NFILE,
        rustix::io::Errno::NOLCK,
    ];
    if let Some(errno) = rustix::io::Errno::from_io_error(error) {
        if out_of_descriptors.contains(&errno) {
            return Code::OUT_OF_RESOURCES;
        }
    }
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Code::PERMISSION_DENIED,
        ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::FileTooLarge
        | ErrorKind::OutOfMemory => Code::OUT_OF_RESOURCES,
        ErrorKind::TimedOut => Code::TIMEOUT,
        // `ErrorKind` is not exhaustive, so there must be an arm for the rest.
        _ => Code::INTERNAL,
    }
}
