//! The lines that go in and out, and what waits meanwhile.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;

use memchr::memchr;
use rustix::fs::OFlags;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::output::Sink;
use super::guest::{Answer, Ids};
use super::message::{Line, Message, Op};

/// The longest line, in bytes, without its end.
const LONGEST: usize = 16 << 20;

/// How much is read at once, in bytes: what a pipe holds.
const CHUNK: usize = 64 << 10;

/// How many names that are no UUIDs are remembered.
const MOST_NAMES: usize = 1024;

/// Lines that come in. They are waited for: the function has nothing else to do.
pub(super) struct Lines {
    input: Option<OwnedFd>,
    chunk: Vec<u8>,
    /// What was read and not taken yet begins at `taken`; up to `searched` it has no end of a line.
    read: Vec<u8>,
    taken: usize,
    searched: usize,
}

impl Lines {
    /// Reads from a pipe, or nothing.
    pub fn new(input: Option<OwnedFd>) -> io::Result<Lines> {
        if let Some(input) = &input {
            let flags = rustix::fs::fcntl_getfl(input)?;
            rustix::fs::fcntl_setfl(input, flags - OFlags::NONBLOCK)?;
        }
        Ok(Lines {
            input,
            chunk: vec![0; CHUNK],
            read: Vec::new(),
            taken: 0,
            searched: 0,
        })
    }

    /// The next message; `None` at the end. What is none is left out.
    fn next(&mut self) -> Option<Message> {
        loop {
            let Some(length) = memchr(b'\n', &self.read[self.searched..]) else {
                self.fill()?;
                continue;
            };
            let end = self.searched + length;
            let message = serde_json::from_slice(&self.read[self.taken..end]);
            self.taken = end + 1;
            self.searched = self.taken;
            if let Ok(message) = message {
                return Some(message);
            }
        }
    }

    /// Reads more; `None` at the end.
    fn fill(&mut self) -> Option<()> {
        self.read.drain(..self.taken);
        self.taken = 0;
        self.searched = self.read.len();
        loop {
            match rustix::io::read(self.input.as_ref()?, &mut self.chunk[..]) {
                Ok(0) => return None,
                Ok(length) => {
                    self.read.extend_from_slice(&self.chunk[..length]);
                    return Some(());
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    log::error!("can't read the function's stdin: {error}");
                    return None;
                }
            }
        }
    }
}

/// What goes on between the function and whom it is attached to.
pub(super) struct Talk {
    lines: Lines,
    output: Sink,
    /// What has come while the function waited for an answer.
    waiting: VecDeque<Message>,
    last_id: u64,
    own: Ids,
    names: BTreeMap<[u8; 16], String>,
}

impl Talk {
    pub fn new(lines: Lines, output: Sink) -> Talk {
        Talk {
            lines,
            output,
            waiting: VecDeque::new(),
            last_id: 0,
            own: ([0; 16], [0; 16]),
            names: BTreeMap::new(),
        }
    }

    /// The next message; `None` at the end of stdin.
    pub fn next(&mut self) -> Option<Message> {
        self.waiting.pop_front().or_else(|| self.lines.next())
    }

    /// Writes a line. One that is too long is left out, and the log says so.
    pub fn say(&self, line: &Line) -> wasmtime::Result<()> {
        if !self.has_said(line)? {
            log::error!("a message of the function is too long and is lost");
        }
        Ok(())
    }

    /// Writes a line; false where it is too long.
    fn has_said(&self, line: &Line) -> wasmtime::Result<bool> {
        let mut bytes = serde_json::to_vec(line)?;
        if bytes.len() > LONGEST {
            return Ok(false);
        }
        bytes.push(b'\n');
        self.output.pass(&bytes)?;
        Ok(true)
    }

    /// Says that a message is wrong.
    pub fn complain(&self, message: &Message, why: &str) -> wasmtime::Result<()> {
        let id = message.id.as_ref().filter(|_| message.op == Op::Call);
        self.say(&Line {
            id: id.map(Cow::Borrowed),
            message: Some(why),
            ..Line::new("error")
        })
    }

    /// Asks, and waits for the answer. `None` where the function has to end instead.
    pub fn ask(&mut self, line: Line) -> wasmtime::Result<Option<Answer>> {
        self.last_id += 1;
        let id = Value::from(self.last_id);
        let line = Line {
            id: Some(Cow::Borrowed(&id)),
            ..line
        };
        if !self.has_said(&line)? {
            log::error!("a call of the function is too long and is refused");
            return Ok(Some(Answer::Error));
        }
        while let Some(mut message) = self.lines.next() {
            let is_answer = message.id.as_ref() == Some(&id);
            match message.op {
                Op::Reply if is_answer => {
                    let data = message.take_data().map(Answer::Reply);
                    return Ok(Some(data.unwrap_or(Answer::Error)));
                }
                Op::NoReply if is_answer => return Ok(Some(Answer::NoReply)),
                Op::Error if is_answer => return Ok(Some(Answer::Error)),
                Op::Stop => return Ok(None),
                Op::Cancel => self.cancel(message.id.as_ref())?,
                Op::Init | Op::Cast | Op::Call => self.waiting.push_back(message),
                // The answer to a call that is given up, or something that is for others.
                Op::Reply | Op::NoReply | Op::Error | Op::Other => {}
            }
        }
        Ok(None)
    }

    /// A call that waits is not wanted any more.
    fn cancel(&mut self, id: Option<&Value>) -> wasmtime::Result<()> {
        let is_it = |message: &Message| message.op == Op::Call && message.id.as_ref() == id;
        if self.waiting.iter().any(is_it) {
            self.waiting.retain(|message| !is_it(message));
            self.say(&Line {
                id: id.map(Cow::Borrowed),
                message: Some("it was cancelled"),
                ..Line::new("error")
            })?;
        }
        Ok(())
    }

    /// Who the function is.
    pub fn named(&mut self, names: [&str; 2]) {
        self.own = self.ids(names);
    }

    /// Who the function is.
    pub fn own_ids(&self) -> Ids {
        self.own
    }

    /// The ids of an instance, as the function knows them, by the names of node and function.
    pub fn ids(&mut self, [node, function]: [&str; 2]) -> Ids {
        (self.id(node), self.id(function))
    }

    /// A UUID's bytes. What is none has a digest instead, and is remembered, so that the function can
    /// answer to it.
    fn id(&mut self, name: &str) -> [u8; 16] {
        if let Some(id) = uuid(name) {
            return id;
        }
        if name.is_empty() {
            return [0; 16];
        }
        let mut id = [0; 16];
        id.copy_from_slice(&Sha256::digest(name.as_bytes())[..16]);
        if self.names.len() >= MOST_NAMES {
            self.names.clear();
        }
        self.names.insert(id, name.to_owned());
        id
    }

    /// The name that an id of the function's means.
    pub fn name(&self, id: [u8; 16]) -> String {
        if let Some(name) = self.names.get(&id) {
            return name.clone();
        }
        let mut name = String::with_capacity(36);
        for (index, byte) in id.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                name.push('-');
            }
            name.push_str(&format!("{byte:02x}"));
        }
        name
    }
}

/// The bytes of a UUID in its usual form.
fn uuid(name: &str) -> Option<[u8; 16]> {
    let mut digits = 0;
    let mut number: u128 = 0;
    for (index, byte) in name.bytes().enumerate() {
        if matches!(index, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = char::from(byte).to_digit(16)?;
        number = number << 4 | u128::from(digit);
        digits += 1;
    }
    (digits == 32).then(|| number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_its_bytes() {
        let id = uuid("fda6ce79-46df-4f96-a0d2-456f720f606c").unwrap();
        assert_eq!(id[..4], [0xfd, 0xa6, 0xce, 0x79]);
        assert_eq!(id[15], 0x6c);
        for name in [
            "",
            "n",
            "fda6ce7946df4f96a0d2456f720f606c",
            "fda6ce79-46df-4f96-a0d2-456f720f606g",
            "fda6ce79-46df-4f96-a0d2+456f720f606c",
            "fda6ce79-46df-4f96-a0d2-456f720f606c0",
        ] {
            assert_eq!(uuid(name), None, "{name}");
        }
    }
}
