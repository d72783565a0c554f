//! Bytes into lines and lines into messages, and back. Pure: no process, no clock.

use bytes::{Bytes, BytesMut};
use memchr::memchr;
use serde::Deserialize;

use super::message::{Content, FromComponent, ToComponent, OPS};
use super::payload::Payload;

/// The longest line, in bytes, without its end.
pub const LONGEST_LINE: usize = 16 << 20;

/// How much of a longer line is kept for the log, in bytes.
const EXCERPT: usize = 200;

/// What a line of a component is.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A message.
    Message(Box<FromComponent>),
    /// Ordinary output, without its line's end.
    Output(Bytes),
    /// It is meant as a message, and is none: why.
    Broken(String),
}

/// Cuts what a component writes into lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line whose end has not come.
    begun: BytesMut,
    /// The line is too long, and its end has not come.
    is_skipping: bool,
}

impl Lines {
    /// Takes what has come, and gives the lines that it ends.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(end) = memchr(b'\n', bytes) {
            self.begin(&bytes[..end], &mut lines);
            bytes = &bytes[end + 1..];
            if !std::mem::take(&mut self.is_skipping) {
                lines.extend(parse(self.begun.split().freeze()));
            }
        }
        self.begin(bytes, &mut lines);
        lines
    }

    /// The output has ended: gives the last line, where its end is missing.
    pub fn finish(&mut self) -> Option<Line> {
        parse(self.begun.split().freeze())
    }

    fn begin(&mut self, bytes: &[u8], lines: &mut Vec<Line>) {
        if self.is_skipping {
            return;
        }
        if self.begun.len() + bytes.len() <= LONGEST_LINE {
            self.begun.extend_from_slice(bytes);
            return;
        }
        self.is_skipping = true;
        let start = String::from_utf8_lossy(&self.begun[..self.begun.len().min(EXCERPT)]);
        lines.push(Line::Broken(format!(
            "a line is longer than {LONGEST_LINE} bytes; it begins with {start:?}"
        )));
        self.begun = BytesMut::new();
    }
}

/// What comes most often, so that it is read without a detour: a reply that is nothing but a text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainReply {
    op: ReplyOp,
    id: u64,
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReplyOp {
    Reply,
}

impl From<PlainReply> for FromComponent {
    fn from(reply: PlainReply) -> Self {
        let PlainReply {
            op: ReplyOp::Reply,
            id,
            data,
        } = reply;
        let data = Payload(data.into());
        FromComponent::Reply {
            id,
            content: Content {
                data,
                ..Content::default()
            },
        }
    }
}

/// The `op` of any object.
#[derive(Deserialize)]
struct Op {
    op: String,
}

/// Reads a line. An empty one is nothing.
fn parse(line: Bytes) -> Option<Line> {
    let line = match line.strip_suffix(b"\r") {
        Some(shorter) => line.slice_ref(shorter),
        None => line,
    };
    if line.is_empty() {
        return None;
    }
    if line.trim_ascii_start().first() != Some(&b'{') {
        return Some(Line::Output(line));
    }
    if let Ok(reply) = serde_json::from_slice::<PlainReply>(&line) {
        return Some(Line::Message(Box::new(reply.into())));
    }
    let error = match serde_json::from_slice(&line) {
        Ok(message) => return Some(Line::Message(Box::new(message))),
        Err(error) => error,
    };
    Some(match serde_json::from_slice::<Op>(&line) {
        Ok(Op { op }) if OPS.contains(&op.as_str()) => {
            Line::Broken(format!("a line with the op {op:?} is wrong: {error}"))
        }
        Ok(_) | Err(_) => Line::Output(line),
    })
}

/// The line of a message, with its end.
///
/// # Errors
/// Its length, where it is longer than [`LONGEST_LINE`].
pub fn write(message: &ToComponent) -> Result<Bytes, usize> {
    let mut line = Vec::with_capacity(256);
    // All maps have texts as keys, and a vector takes everything.
    let written = serde_json::to_writer(&mut line, message);
    debug_assert!(written.is_ok(), "{written:?}");
    if line.len() > LONGEST_LINE {
        return Err(line.len());
    }
    line.push(b'\n');
    Ok(line.into())
}
