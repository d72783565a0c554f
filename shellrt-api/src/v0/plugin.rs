//! The plugin's end of the wire: one request in, one answer out.
//!
//! ```no_run
//! use shellrt_api::v0::{self, plugin, Code, Error, Request, Response};
//!
//! fn main() -> std::process::ExitCode {
//!     plugin::serve(&["version"], |_call, request| match request {
//!         Request::Version(v0::version::Request {}) => {
//!             let info = "nothing 1.0".to_owned();
//!             Ok(Response::Version(v0::version::Response { info, ..Default::default() }).into())
//!         }
//!         other => Err(plugin::unsupported(&other)),
//!     })
//! }
//! ```

use std::io::{self, BufRead, BufReader, Read, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::{Code, Error, Request, Response, VERSION};

/// How large a request may be, in bytes.
pub const MAX_REQUEST: usize = 16 << 20;

/// How deep a request may be nested; serde_json's own limit.
const MAX_DEPTH: usize = 127;

/// Serves the one request on stdin and answers it on stdout: reads it, checks its version, decodes
/// it, calls `handle`, writes the answer and then the stream if there is one. A `_type` that is not
/// among `messages` is error 3, whatever its fields are; a panic in `handle` becomes error 21.
///
/// Return what it returns from `main`: 0 where the answer says ok, 1 where it says err, 2 where no
/// answer could be written.
pub fn serve(
    messages: &[&str],
    handle: impl FnOnce(Call, Request) -> Result<Reply, Error>,
) -> ExitCode {
    serve_then(messages, handle, || ())
}

/// As [`serve`], and calls `answered` as soon as the answer's object has been written, before its
/// stream.
pub fn serve_then(
    messages: &[&str],
    handle: impl FnOnce(Call, Request) -> Result<Reply, Error>,
    answered: impl FnOnce(),
) -> ExitCode {
    let input = BufReader::new(io::stdin());
    let output = &mut io::stdout().lock();
    ExitCode::from(exchange(messages, input, output, handle, answered))
}

/// What a handler gets beside the request.
pub struct Call {
    /// When the request must have been answered, from its `_deadline_ms`.
    pub deadline: Option<Instant>,
    /// What follows the request object on stdin; only `attach` reads it.
    pub input: Box<dyn Read + Send>,
}

/// What a handler answers.
pub struct Reply {
    response: Response,
    stream: Option<Box<dyn Read>>,
}

impl Reply {
    /// `response`, then one NUL, then what `stream` yields until its end. What was read is written
    /// and flushed before the next read.
    pub fn stream(response: Response, stream: impl Read + 'static) -> Self {
        Reply {
            response,
            stream: Some(Box::new(stream)),
        }
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Reply {
            response,
            stream: None,
        }
    }
}

/// The error for a message that a plugin does not serve.
pub fn unsupported(request: &Request) -> Error {
    let kind = serde_json::to_value(request).ok();
    let kind = kind
        .as_ref()
        .and_then(|object| object.get("_type"))
        .and_then(Value::as_str);
    not_served(kind.unwrap_or_default())
}

fn not_served(kind: &str) -> Error {
    let message = format!("this plugin does not serve {kind:?}; \"version\" lists what it serves");
    Error::message(Code::UNSUPPORTED_MESSAGE, message)
}

/// One exchange over any pair of streams; the result is the process's exit status.
fn exchange<R, W>(
    messages: &[&str],
    mut input: R,
    output: &mut W,
    handle: impl FnOnce(Call, Request) -> Result<Reply, Error>,
    answered: impl FnOnce(),
) -> u8
where
    R: BufRead + Send + 'static,
    W: Write,
{
    let mut version = VERSION.to_owned();
    let read = read_request(messages, &mut input, &mut version);
    let result = read.and_then(|(deadline, request)| {
        let call = Call {
            deadline,
            input: Box::new(input),
        };
        catch_unwind(AssertUnwindSafe(|| handle(call, request))).unwrap_or_else(|_| {
            let message = "the plugin panicked; this is a bug, its stderr says more";
            Err(Error::message(Code::INTERNAL, message))
        })
    });
    match result {
        Ok(Reply { response, stream }) => {
            if write_object(output, &version, "ok", &response, stream.is_some()).is_err() {
                return 2;
            }
            answered();
            if let Some(mut stream) = stream {
                // A reader that went away is no failure, and the object has said ok already.
                let _ = catch_unwind(AssertUnwindSafe(|| copy(&mut *stream, output)));
            }
            0
        }
        Err(error) => {
            let written = write_object(output, &version, "err", &error, false);
            answered();
            if written.is_ok() {
                1
            } else {
                2
            }
        }
    }
}

/// Reads and checks the envelope, then the request. `version` becomes the request's as soon as that
/// is known to be spoken here.
fn read_request<R: BufRead>(
    messages: &[&str],
    input: &mut R,
    version: &mut String,
) -> Result<(Option<Instant>, Request), Error> {
    let bytes = read_object(input)?;
    let received = Instant::now();
    let object: Value = serde_json::from_slice(&bytes)
        .map_err(|error| invalid(format!("the request is not JSON: {error}")))?;
    match object.get("_version") {
        None => {
            return Err(invalid(
                "the request has no \"_version\"; this plugin speaks 0.1.0",
            ))
        }
        Some(Value::String(spoken)) if is_spoken(spoken) => version.clone_from(spoken),
        Some(other) => {
            let message = format!("version {other} is not spoken here; use \"{VERSION}\"");
            let error = Error::message(Code::INCOMPATIBLE_VERSION, message);
            return Err(error.with("supported", vec![VERSION]));
        }
    }
    let deadline = match object.get("_deadline_ms") {
        None | Some(Value::Null) => None,
        Some(limit) => {
            let limit = limit.as_u64().ok_or_else(|| {
                invalid("\"_deadline_ms\" must be a whole number of milliseconds, 0 or more")
            })?;
            // A deadline beyond what the clock can say is none.
            received.checked_add(Duration::from_millis(limit))
        }
    };
    if let Some(kind) = object.get("_type").and_then(Value::as_str) {
        if !messages.contains(&kind) {
            return Err(not_served(kind));
        }
    }
    let request = Request::decode(&object)?;
    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
        return Err(Error::message(
            Code::TIMEOUT,
            "the deadline is over; nothing was done",
        ));
    }
    Ok((deadline, request))
}

/// Whether `version` is semver-compatible with ours: 0.1.z, with z as semver writes numbers.
pub(super) fn is_spoken(version: &str) -> bool {
    version.strip_prefix("0.1.").is_some_and(|patch| {
        patch.bytes().all(|byte| byte.is_ascii_digit())
            && patch.parse::<u64>().is_ok()
            && (patch == "0" || !patch.starts_with('0'))
    })
}

/// Reads one JSON object and not a byte more, so that what follows it stays in `input`; returns as
/// soon as its last brace is there. Only braces, brackets and strings are looked at.
fn read_object<R: BufRead>(input: &mut R) -> Result<Vec<u8>, Error> {
    let mut object = Vec::new();
    let mut scan = Scan::default();
    loop {
        let chunk = match input.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(invalid(format!("stdin can't be read: {error}"))),
        };
        if chunk.is_empty() {
            return Err(invalid(match object.iter().all(u8::is_ascii_whitespace) {
                true => "there is no request on stdin; write one JSON object",
                false => "the request is cut short: stdin ended inside the object",
            }));
        }
        let length = chunk.len();
        let end = scan.feed(chunk)?;
        object.extend_from_slice(&chunk[..end.unwrap_or(length)]);
        input.consume(end.unwrap_or(length));
        if object.len() > MAX_REQUEST {
            return Err(invalid("the request is larger than 16 MiB"));
        }
        if end.is_some() {
            return Ok(object);
        }
    }
}

/// How far the scan of an object has come.
#[derive(Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Goes over the next bytes; says how many of them belong to the object once it is complete.
    fn feed(&mut self, chunk: &[u8]) -> Result<Option<usize>, Error> {
        for (index, &byte) in chunk.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'{' => self.depth += 1,
                _ if self.depth == 0 && !byte.is_ascii_whitespace() => {
                    return Err(invalid(
                        "the request is not a JSON object: it must begin with \"{\"",
                    ));
                }
                b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(Some(index + 1));
                    }
                }
                b'"' => self.in_string = true,
                _ => {}
            }
            if self.depth > MAX_DEPTH {
                return Err(invalid("the request is nested more than 127 levels deep"));
            }
        }
        Ok(None)
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::message(Code::INVALID_REQUEST, message)
}

/// The answer as it goes over the wire.
#[derive(Serialize)]
struct Envelope<'a, T> {
    _version: &'a str,
    _status: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

/// Writes the answer's object, and the NUL where a stream follows, in one piece.
fn write_object<W: Write, T: Serialize>(
    output: &mut W,
    version: &str,
    status: &str,
    body: &T,
    stream: bool,
) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(&Envelope {
        _version: version,
        _status: status,
        body,
    })?;
    if stream {
        bytes.push(0);
    }
    output.write_all(&bytes)?;
    output.flush()
}

/// As `io::copy`, but flushes after every read and ends at the first error of either side.
fn copy<W: Write>(stream: &mut dyn Read, output: &mut W) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => output.write_all(&buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        output.flush()?;
    }
}

#[cfg(test)]
#[path = "plugin_tests.rs"]
mod tests;
