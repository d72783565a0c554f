//! What is written to a module's stdin.

use super::write_all;
use shellrt_api::v0::Code;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

/// The input after the NUL that separates it from the request. An input that ends before is empty.
///
/// # Errors
/// [`Error::NoNul`], [`Error::Input`].
pub fn after_nul<R: Read>(mut input: R) -> Result<R, Error> {
    let mut byte = [0];
    loop {
        match input.read(&mut byte) {
            Ok(0) => return Ok(input),
            Ok(_) if byte[0] == 0 => return Ok(input),
            Ok(_) if byte[0].is_ascii_whitespace() => {}
            Ok(_) => return Err(Error::NoNul),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::Input(source)),
        }
    }
}

/// Copies `input` to the FIFO of a module's stdin until the input's end. To be called in a thread of
/// its own: it waits for the module. Until that has opened the FIFO, what was written lives only as
/// long as `fifo` does.
///
/// # Errors
/// [`Error::Input`], [`Error::Output`].
pub fn copy(mut input: impl Read, fifo: &OwnedFd) -> Result<(), Error> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(Error::Input(source)),
        };
        write_all(fifo, &buffer[..length]).map_err(|errno| Error::Output(errno.into()))?;
    }
}

/// Why a module can't be fed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something else than a NUL follows the request.
    #[error("with \"stdin\" the request must be followed by one NUL, then the input")]
    NoNul,
    /// The input can't be read.
    #[error("can't read stdin")]
    Input(#[source] io::Error),
    /// The module's stdin can't be written.
    #[error("can't write to the module")]
    Output(#[source] io::Error),
}

impl Error {
    /// The code for the wire.
    pub fn code(&self) -> Code {
        match self {
            Error::NoNul => Code::INVALID_REQUEST,
            Error::Input(source) | Error::Output(source) => crate::os::code(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_begins_after_one_nul() {
        for (input, expected) in [
            (&b"\0text"[..], Some(&b"text"[..])),
            (b" \r\n\0\0text", Some(b"\0text")),
            (b"\0", Some(b"")),
            (b"", Some(b"")),
            (b"\n", Some(b"")),
            (b"text", None),
            (b"{\0", None),
        ] {
            let found = after_nul(input);
            assert_eq!(found.as_ref().ok(), expected.as_ref(), "{input:?}");
            if let Err(error) = found {
                assert_eq!(error.code(), Code::INVALID_REQUEST);
            }
        }
    }

    /// More than a pipe holds, so that the copy has to wait for its reader.
    #[test]
    fn everything_is_copied() {
        let (mut reader, writer) = io::pipe().unwrap();
        let input: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
        let mut found = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| copy(&input[..], &OwnedFd::from(writer)).unwrap());
            reader.read_to_end(&mut found).unwrap();
        });
        assert!(found == input);
    }
}
