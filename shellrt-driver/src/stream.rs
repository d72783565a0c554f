//! What follows an answer: bytes for stdout as they come, and bytes from stdin.

use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::{process, thread};

use rustix::event::{poll, PollFd, PollFlags};
use shellrt_api::v0::client::{self, Input, Stream};
use shellrt_api::v0::events::Event;

use crate::call::Call;
use crate::failure::Failure;
use crate::output::{self, text};

/// Prints the stream as it is.
pub fn copy(call: &Call, mut stream: Stream) -> Result<(), Failure> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return call.check_time(),
            Ok(length) => output::write(&buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(client::Error::Io(error).into()),
        }
    }
}

/// Prints the events, one per line, as they come.
pub fn print_events(call: &Call, stream: Stream) -> Result<(), Failure> {
    let mut lines = Lines::new(stream);
    while let Some(line) = lines.next()? {
        let event: Event = serde_json::from_slice(&line)
            .map_err(|error| malformed_line("an event", &error, &line))?;
        if call.is_json() {
            output::write(&line)?;
        } else {
            output::write_line(&text::event(&event))?;
        }
    }
    call.check_time()
}

/// The lines of a stream as they came, each with its line end.
pub struct Lines(BufReader<Stream>);

impl Lines {
    pub fn new(stream: Stream) -> Self {
        Lines(BufReader::new(stream))
    }

    /// The next line; `None` at the end. A last line without its end gets one.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut line = Vec::new();
        self.0
            .read_until(b'\n', &mut line)
            .map_err(client::Error::Io)?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        Ok(Some(line))
    }
}

/// The failure for a line that is not what it should be.
pub fn malformed_line(what: &str, error: &serde_json::Error, line: &[u8]) -> Failure {
    Failure::Client(client::Error::Malformed {
        reason: format!("a line of the stream is not {what}: {error}"),
        answer: String::from_utf8_lossy(line).trim_end().to_owned(),
        stderr: String::new(),
    })
}

/// Copies stdin to the module in the background, and closes it at the end of file.
pub fn feed(mut input: Input) {
    thread::spawn(move || {
        // A module that does not read any more still writes, so that is no failure; what else goes
        // wrong here shows in the output, which ends with the plugin.
        let _ = io::copy(&mut io::stdin().lock(), &mut input);
    });
}

pub fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Ends this process as soon as nobody reads its stdout, also while there is nothing to write:
/// `logs --follow | head -n 1` must not wait for a second line. The plugin notices it at its own
/// stdout.
pub fn watch_reader() {
    thread::spawn(|| {
        let stdout = io::stdout();
        loop {
            // With no events asked for, only the other end's going away wakes this up.
            let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
            match poll(&mut polled, None) {
                Ok(_)
                    if polled[0]
                        .revents()
                        .intersects(PollFlags::ERR | PollFlags::HUP) =>
                {
                    process::exit(0)
                }
                Err(rustix::io::Errno::INTR) => {}
                // There is nothing to watch, and a write will tell.
                Ok(_) | Err(_) => return,
            }
        }
    });
}
