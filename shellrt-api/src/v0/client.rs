//! The client's end of the wire: starts a plugin, asks one thing, reads the answer.
//!
//! ```no_run
//! use shellrt_api::v0::{client::Plugin, status};
//!
//! let plugin = Plugin::new("shellrt-wasm");
//! let web = plugin.call(&status::Request { name: "web".to_owned() })?;
//! println!("{:?}: {}", web.status, web.status_description);
//! # Ok::<(), shellrt_api::v0::client::Error>(())
//! ```

mod error;
mod process;

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::marker::PhantomData;
#[cfg(unix)]
use std::os::fd::AsFd;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::{Map, Value};

pub use self::error::Error;
use self::process::{Handle, Process};
use super::{img_pull, plugin, Message, VERSION};

/// A plugin's executable, and how to call it. Every call starts it once.
#[derive(Debug, Clone)]
pub struct Plugin {
    program: OsString,
    env: Vec<(OsString, OsString)>,
    deadline: Option<Duration>,
    timeout: Option<Duration>,
    pass_stderr: bool,
}

impl Plugin {
    /// The plugin `program`: a path, or a name on `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref().to_owned();
        Plugin {
            program,
            env: Vec::new(),
            deadline: None,
            timeout: None,
            pass_stderr: false,
        }
    }

    /// Sets a variable in the plugin's environment, beside this process's own.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// How long the plugin may take for the whole request (`_deadline_ms`): then it undoes what it
    /// began and answers error 20. Default: without end.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How long a plugin may run before it is killed, its stream included: for a plugin that hangs.
    /// Default: without end.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Also writes what the plugin writes to stderr, its log, to this process's own stderr. Default:
    /// only the end of it is kept, for errors.
    #[must_use]
    pub fn pass_stderr(mut self) -> Self {
        self.pass_stderr = true;
        self
    }

    /// Asks, and waits for the answer. A stream that follows it is thrown away.
    ///
    /// # Errors
    /// [`Error::Plugin`] where the plugin says no, everything else where there is no valid answer.
    pub fn call<M: Message>(&self, request: &M) -> Result<M::Response, Error> {
        let (object, _) = self.exchange(&self.payload(request)?)?;
        decode(object)
    }

    /// Asks, and returns the answer with the stream that follows it.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn open<M: Message>(&self, request: &M) -> Result<(M::Response, Stream), Error> {
        let (object, stream) = self.exchange(&self.payload(request)?)?;
        Ok((decode(object)?, stream))
    }

    /// As [`open`](Self::open), with an [`Input`] for the bytes that follow the request: for
    /// `attach` with `stdin`.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn open_with_input<M: Message>(
        &self,
        request: &M,
    ) -> Result<(M::Response, Input, Stream), Error> {
        let mut payload = self.payload(request)?;
        payload.push(0);
        let mut process = self.start()?;
        let input = process.write(&payload).map_err(Error::Io)?;
        let (object, stream) = self.answer(process)?;
        Ok((decode(object)?, Input(input), stream))
    }

    /// Pulls an image and hears how it goes on; the last line is the result and not passed on.
    ///
    /// # Errors
    /// As [`call`](Self::call); [`Error::CutOff`] where the stream ended without a result. A plugin
    /// that knows no progress is heard all the same.
    pub fn pull(
        &self,
        request: &img_pull::Request,
        mut progress: impl FnMut(img_pull::Progress),
    ) -> Result<img_pull::Response, Error> {
        let request = img_pull::Request {
            progress: true,
            ..request.clone()
        };
        let (response, stream) = self.open(&request)?;
        if !stream.is_open() {
            // A plugin that does not know `progress` answers when it is done.
            return Ok(response);
        }
        for line in stream.lines() {
            match line? {
                img_pull::Progress::Done(response) => return Ok(response),
                img_pull::Progress::Error(error) => return Err(Error::Plugin(error)),
                other => progress(other),
            }
        }
        Err(Error::CutOff)
    }

    /// The request as it goes over the wire.
    ///
    /// # Errors
    /// [`Error::Request`] where it can't be written as JSON.
    pub fn payload<M: Message>(&self, request: &M) -> Result<Vec<u8>, Error> {
        let envelope = Envelope {
            _version: VERSION,
            _type: M::TYPE,
            _deadline_ms: self
                .deadline
                .map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
            body: request,
        };
        serde_json::to_vec(&envelope).map_err(Error::Request)
    }

    /// Sends `payload` as it is, and returns the answer's whole object with its stream.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn exchange(&self, payload: &[u8]) -> Result<(Map<String, Value>, Stream), Error> {
        let mut process = self.start()?;
        drop(process.write(payload).map_err(Error::Io)?);
        self.answer(process)
    }

    fn start(&self) -> Result<Process, Error> {
        Process::start(&self.program, &self.env, self.timeout, self.pass_stderr).map_err(|source| {
            Error::Start {
                program: self.program.clone(),
                source,
            }
        })
    }

    /// Reads the object up to the first NUL or the end of file.
    fn answer(&self, mut process: Process) -> Result<(Map<String, Value>, Stream), Error> {
        let mut bytes = Vec::new();
        let read = process.stdout().read_until(0, &mut bytes);
        let is_stream = bytes.last() == Some(&0);
        if is_stream {
            bytes.pop();
        } else {
            process.finish();
        }
        if let Err(source) = read {
            return Err(Error::Io(source));
        }
        if process.timed_out() {
            return Err(Error::TimedOut {
                after: self.timeout.unwrap_or_default(),
            });
        }
        if bytes.is_empty() {
            return Err(Error::NoAnswer {
                end: process.end(),
                stderr: process.stderr(),
            });
        }
        let object = checked(&bytes, is_stream).map_err(|reason| Error::Malformed {
            reason,
            answer: String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).into_owned(),
            stderr: process.stderr(),
        })?;
        if object.get("_status").and_then(Value::as_str) == Some("err") {
            return Err(Error::Plugin(decode(object)?));
        }
        Ok((
            object,
            Stream {
                process,
                open: is_stream,
            },
        ))
    }
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    _version: &'a str,
    _type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    _deadline_ms: Option<u64>,
    #[serde(flatten)]
    body: &'a T,
}

/// Parses the answer and checks its envelope.
fn checked(bytes: &[u8], is_stream: bool) -> Result<Map<String, Value>, String> {
    let object: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    match object.get("_version").and_then(Value::as_str) {
        Some(version) if plugin::is_spoken(version) => {}
        Some(version) => return Err(format!("it has version {version:?}, not {VERSION:?}")),
        None => return Err("it has no \"_version\"".to_owned()),
    }
    match object.get("_status").and_then(Value::as_str) {
        Some("ok") => Ok(object),
        Some("err") if is_stream => Err("it is an error followed by a stream".to_owned()),
        Some("err") => Ok(object),
        _ => Err("its \"_status\" is neither \"ok\" nor \"err\"".to_owned()),
    }
}

fn decode<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, Error> {
    let value = Value::Object(object);
    super::decode::typed(&value).map_err(|(path, reason)| Error::Malformed {
        reason: format!("{path}: {reason}"),
        answer: value.to_string(),
        stderr: String::new(),
    })
}

/// The bytes that follow an answer. Dropping it ends the plugin.
pub struct Stream {
    process: Process,
    open: bool,
}

impl Stream {
    /// The stream as JSON lines: [`img_pull::Progress`] or [`events::Event`](super::events::Event).
    pub fn lines<T: DeserializeOwned>(self) -> Lines<T> {
        Lines {
            stream: BufReader::new(self),
            line: PhantomData,
        }
    }

    /// Whether a stream follows the answer at all.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The pipe that the stream comes by, for an event loop that reads it itself, and what was read from it
    /// already. Nothing where there is no stream, or it was read to its end.
    #[cfg(unix)]
    pub fn pipe(&self) -> Option<(std::os::fd::BorrowedFd<'_>, &[u8])> {
        let open = self.process.buffered().filter(|_| self.open);
        open.map(|stdout| (stdout.get_ref().as_fd(), stdout.buffer()))
    }

    /// What ends the plugin while another thread reads its stream, which then is at its end.
    pub fn ender(&self) -> Ender {
        Ender(self.process.handle())
    }
}

/// Ends a plugin whose stream another thread reads.
#[derive(Clone)]
pub struct Ender(Handle);

impl Ender {
    /// Kills the plugin; one that has ended is left alone.
    pub fn end(&self) {
        self.0.kill();
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.open {
            return Ok(0);
        }
        let length = self.process.stdout().read(buffer)?;
        if length == 0 && !buffer.is_empty() {
            self.open = false;
            self.process.finish();
            if self.process.timed_out() {
                let after = self.process.timeout().unwrap_or_default();
                let error = Error::TimedOut { after };
                return Err(io::Error::new(io::ErrorKind::TimedOut, error));
            }
        }
        Ok(length)
    }
}

/// A stream of JSON lines, decoded one by one.
pub struct Lines<T> {
    stream: BufReader<Stream>,
    line: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Iterator for Lines<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        match self.stream.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => Some(
                serde_json::from_slice(&line).map_err(|error| Error::Malformed {
                    reason: error.to_string(),
                    answer: String::from_utf8_lossy(&line).into_owned(),
                    stderr: String::new(),
                }),
            ),
            Err(source) => Some(Err(Error::Io(source))),
        }
    }
}

/// What goes to a module's stdin. Dropping it is the end of file.
pub struct Input(std::process::ChildStdin);

/// The pipe, for an event loop that writes to it itself.
#[cfg(unix)]
impl From<Input> for std::os::fd::OwnedFd {
    fn from(input: Input) -> Self {
        input.0.into()
    }
}

impl Write for Input {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
