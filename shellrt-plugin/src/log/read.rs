//! Reading what is there.

use super::files::Directory;
use super::lines::Forward;
use super::record::{self, STAMP};
use super::select::{self, Part};
use super::texts;
use super::{Error, Query};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

/// The bytes of a module's log as it is when it is opened; a blocking [`Read`].
///
/// Whatever is written, rotated or deleted meanwhile changes nothing, and what is no record is left
/// out. Reading 64 KiB or more at a time is fastest.
#[derive(Debug)]
pub struct Reader {
    records: Records,
}

impl Reader {
    /// Finds what `query` asks for in the log in `dir`; a directory without a log is an empty one.
    ///
    /// `since` and `until` cost a search in each file. `tail` costs as much as the lines that it
    /// finds, except that all of the other stream is walked through where only one is asked for and
    /// has not so many lines.
    ///
    /// # Errors
    /// [`Error::Open`] where the directory is missing or can't be read.
    pub fn open(dir: &Path, query: Query) -> Result<Reader, Error> {
        let open = || Records::open(&Directory::open(dir)?, query, false);
        let records = open().map_err(|source| Error::open(dir, source))?;
        Ok(Reader { records })
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.records.read(out)? {
                Progress::Bytes(count) => return Ok(count),
                Progress::Passed => {}
                Progress::End => return Ok(0),
            }
        }
    }
}

/// Records on their way to bytes.
#[derive(Debug)]
pub(super) struct Records {
    query: Query,
    /// What is left to read, the current file first.
    parts: VecDeque<Part>,
    lines: Forward,
    /// What of the current record did not fit into the caller's buffer.
    pending: Pending,
    /// For each stream, whether its last record was a piece of a line that goes on.
    unfinished: [bool; 2],
    /// The times of `query` where records must be checked one by one, because they are yet to come.
    bounds: Option<Bounds>,
    /// Whether a record was found that is too late.
    late: bool,
}

/// A record on its way.
#[derive(Debug)]
struct Pending {
    /// The time and a space.
    stamp: [u8; STAMP],
    /// What of the stamp is still to be given.
    left: Range<usize>,
    /// What of the text is still to be given, as a place in the block of the lines.
    text: Range<usize>,
}

#[derive(Debug)]
struct Bounds {
    since: Option<record::Time>,
    until: Option<record::Time>,
}

/// What came of a try to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// So many bytes were put into the buffer.
    Bytes(usize),
    /// Some of the file was read, but nothing that is asked for; there is more.
    Passed,
    /// There is nothing more, at the moment or at all.
    End,
}

impl Records {
    pub fn open(dir: &Directory, query: Query, follow: bool) -> io::Result<Records> {
        // All that is worked on at a time fits into the processor's cache.
        const SIZE: usize = 128 << 10;
        let parts = select::select(dir.snapshot()?, &query, follow)?;
        let bounds = Bounds {
            since: query.since.map(record::time),
            until: query.until.map(record::time),
        };
        let checked = follow && (bounds.since.is_some() || bounds.until.is_some());
        let mut records = Records {
            query,
            parts: parts.into(),
            lines: Forward::new(SIZE),
            pending: Pending {
                stamp: [b' '; STAMP],
                left: 0..0,
                text: 0..0,
            },
            unfinished: [false; 2],
            bounds: checked.then_some(bounds),
            late: query.until.is_some_and(|until| until < 0),
        };
        records.go_to_front();
        Ok(records)
    }

    /// Fills `out` as far as one block of the file goes.
    pub fn read(&mut self, out: &mut [u8]) -> io::Result<Progress> {
        let count = self.take(out);
        if count > 0 || out.is_empty() {
            return Ok(Progress::Bytes(count));
        }
        if self.late {
            return Ok(Progress::End);
        }
        let Some(part) = self.parts.front() else {
            return Ok(Progress::End);
        };
        if self.lines.fill(&part.file, part.range.end)? {
            return Ok(Progress::Passed);
        }
        if self.parts.len() > 1 {
            self.parts.pop_front();
            self.go_to_front();
            return Ok(Progress::Passed);
        }
        self.lines.forget_unfinished();
        Ok(Progress::End)
    }

    /// The file that is being read, the newest of those that were there.
    pub fn current(&self) -> Option<&File> {
        self.parts.front().map(|part| &part.file)
    }

    /// Goes on with `file`, which was begun after the current one.
    pub fn go_on_with(&mut self, file: File) {
        self.parts = VecDeque::from([select::whole(file, self.query.streams)]);
        self.go_to_front();
    }

    /// Goes on at the beginning of the current file if somebody emptied it.
    pub fn notice_emptied(&mut self) -> io::Result<()> {
        if let Some(part) = self.parts.front_mut() {
            let size = u64::try_from(rustix::fs::fstat(&part.file)?.st_size).unwrap_or(0);
            if size < self.lines.offset() {
                part.range.start = 0;
                part.from = select::start(self.query.streams, 0);
                self.go_to_front();
            }
        }
        Ok(())
    }

    /// Whether a record was found that is later than `until`: all that follow are, too.
    pub fn is_late(&self) -> bool {
        self.late
    }

    fn go_to_front(&mut self) {
        if let Some(part) = self.parts.front() {
            self.lines.seek(part.range.start);
        }
    }

    /// Whether the texts of all records from `offset` on are to be given as they are, and of which
    /// streams; `from` is the part's.
    fn are_plain(&self, from: &[u64; 2], offset: u64) -> Option<[bool; 2]> {
        let plain = !self.query.timestamps && self.bounds.is_none();
        let begun = from.iter().all(|from| *from <= offset || *from == u64::MAX);
        (plain && begun).then(|| from.map(|from| from != u64::MAX))
    }

    /// Fills `out` with what is in the block.
    fn take(&mut self, out: &mut [u8]) -> usize {
        let mut filled = give(&self.lines, &mut self.pending, out);
        let Some(&Part { from, .. }) = self.parts.front() else {
            return filled;
        };
        while filled < out.len() && !self.late {
            if let Some(wanted) = self.are_plain(&from, self.lines.offset()) {
                let copied = texts::copy(self.lines.unread(), &mut out[filled..], wanted);
                if copied.taken > 0 {
                    self.lines.pass(copied.taken);
                }
                filled += copied.filled;
                if filled == out.len() {
                    break;
                }
            }
            let Some((offset, line)) = self.lines.next() else {
                break;
            };
            let bytes = self.lines.bytes(line.clone());
            let Some(head) = record::parse(bytes) else {
                continue;
            };
            let stream = select::index(head.stream);
            if offset < from[stream] {
                continue;
            }
            if let Some(bounds) = &self.bounds {
                let time = record::time_of(bytes);
                if bounds.until.is_some() && time > bounds.until {
                    self.late = true;
                    break;
                }
                if time < bounds.since {
                    continue;
                }
            }
            let goes_on = std::mem::replace(&mut self.unfinished[stream], !head.ended);
            if self.query.timestamps && !goes_on {
                if let Some(time) = record::time_of(bytes) {
                    self.pending.stamp[..time.len()].copy_from_slice(&time);
                    self.pending.left = 0..STAMP;
                }
            }
            // The newline of an `F` record is the module's, the one of a `P` record is not.
            self.pending.text = line.start + head.text..line.end - usize::from(!head.ended);
            filled += give(&self.lines, &mut self.pending, &mut out[filled..]);
        }
        filled
    }
}

/// Copies as much of `pending` into `out` as it takes, and leaves the rest.
#[inline]
fn give(lines: &Forward, pending: &mut Pending, out: &mut [u8]) -> usize {
    let mut filled = 0;
    let Pending { stamp, left, text } = pending;
    if left.start < left.end {
        filled = left.len().min(out.len());
        out[..filled].copy_from_slice(&stamp[left.start..left.start + filled]);
        left.start += filled;
    }
    let count = text.len().min(out.len() - filled);
    let bytes = lines.bytes(text.start..text.start + count);
    out[filled..filled + count].copy_from_slice(bytes);
    text.start += count;
    filled + count
}
