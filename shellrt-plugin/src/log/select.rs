//! What of the files a query asks for: found by searching for times and by walking backwards, not by
//! reading everything.

use super::lines::{Backward, Forward};
use super::record::{self, Time};
use super::{Query, Stream, Streams};
use std::fs::File;
use std::io;
use std::ops::Range;

/// What is to be read of one file.
#[derive(Debug)]
pub(super) struct Part {
    pub file: File,
    /// From the beginning of a line to the end of one; [`u64::MAX`]: as far as the file will go.
    pub range: Range<u64>,
    /// Where in the file the records of each stream begin that are asked for, by [`index`];
    /// [`u64::MAX`]: none are.
    pub from: [u64; 2],
}

/// The place of `stream` in an array of two.
#[inline]
pub(super) fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

/// What `query` asks for of `files`, which are in order, the newest first; the result has the oldest
/// first. Where the newest file is followed, its part has no end and is there in any case.
pub(super) fn select(files: Vec<File>, query: &Query, follow: bool) -> io::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for file in files.into_iter().rev() {
        let range = within(&file, query)?;
        let from = start(query.streams, range.start);
        parts.push(Part { file, range, from });
    }
    if let Some(lines) = query.tail {
        keep_tail(&mut parts, query.streams, lines)?;
    }
    for part in &mut parts {
        let first = part.from.into_iter().min().unwrap_or(u64::MAX);
        part.range.start = first.clamp(part.range.start, part.range.end);
    }
    let newest = parts.pop();
    parts.retain(|part| !part.range.is_empty());
    if let Some(mut newest) = newest {
        if follow {
            newest.range.end = u64::MAX;
        }
        parts.push(newest);
    }
    Ok(parts)
}

/// The part that is the whole of a file which was begun after the others were selected.
pub(super) fn whole(file: File, streams: Streams) -> Part {
    Part {
        file,
        range: 0..u64::MAX,
        from: start(streams, 0),
    }
}

/// `offset` for the streams that are chosen.
pub(super) fn start(streams: Streams, offset: u64) -> [u64; 2] {
    [Stream::Stdout, Stream::Stderr].map(|stream| match streams.contains(stream) {
        true => offset,
        false => u64::MAX,
    })
}

/// Where in `file` the lines are that `since` and `until` leave. A line at the end that is not
/// whole, because it is being written or was torn, is not among them.
fn within(file: &File, query: &Query) -> io::Result<Range<u64>> {
    // A file's size is not negative.
    let size = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
    let size = Backward::new(file, 0..size).end()?;
    let from = match query.since {
        Some(since) => first_at(file, size, &record::time(since))?,
        None => 0,
    };
    // What is not later than `until` is what is earlier than the nanosecond after it.
    let to = match query.until.map(|until| until.checked_add(1)) {
        Some(Some(after)) => first_at(file, size, &record::time(after))?,
        Some(None) | None => size,
    };
    Ok(from..to.max(from))
}

/// Where the first record of a file of `size` bytes begins whose time is `time` or later; where the
/// last line ends if there is none.
fn first_at(file: &File, size: u64, time: &Time) -> io::Result<u64> {
    // Fewer bytes than this are read through.
    const NEAR: u64 = 64 << 10;
    // Each step of the search reads as much.
    const STEP: usize = 16 << 10;
    let mut lines = Forward::new(STEP);
    // All records before `low`, the beginning of a line, are earlier. `high` is only a hint where
    // to look, and so it does not matter that the line that begins just there is not looked at.
    let (mut low, mut high) = (0, size);
    while high - low > NEAR {
        let middle = low + (high - low) / 2;
        lines.seek(middle);
        // The rest of the line that this is in the middle of.
        next(&mut lines, file, high)?;
        match next_record(&mut lines, file, high)? {
            Some((_, range)) if !is_at(lines.bytes(range.clone()), time) => {
                low = lines.offset();
            }
            _ => high = middle,
        }
    }
    lines.seek(low);
    while let Some((offset, range)) = next_record(&mut lines, file, size)? {
        if is_at(lines.bytes(range), time) {
            return Ok(offset);
        }
    }
    Ok(lines.offset())
}

/// Whether the time of a record is `time` or later.
fn is_at(line: &[u8], time: &Time) -> bool {
    record::time_of(line).is_some_and(|found| found >= *time)
}

/// The next line that is a record, and where it begins, before `limit`.
fn next_record(
    lines: &mut Forward,
    file: &File,
    limit: u64,
) -> io::Result<Option<(u64, Range<usize>)>> {
    while let Some((offset, range)) = next(lines, file, limit)? {
        if record::parse(lines.bytes(range.clone())).is_some() {
            return Ok(Some((offset, range)));
        }
    }
    Ok(None)
}

fn next(lines: &mut Forward, file: &File, limit: u64) -> io::Result<Option<(u64, Range<usize>)>> {
    loop {
        if let Some(line) = lines.next() {
            return Ok(Some(line));
        }
        if !lines.fill(file, limit)? {
            return Ok(None);
        }
    }
}

/// Narrows `parts` down to the last so many lines of the chosen streams.
///
/// Lines are ordered by their ends. Each stream has a beginning of its own, because a line of one
/// may have begun before lines of the other that are not among the last.
fn keep_tail(parts: &mut [Part], streams: Streams, lines: u32) -> io::Result<()> {
    let last = parts.len().saturating_sub(1);
    let mut tail = Tail::new(lines, streams);
    let mut line = Vec::new();
    'parts: for (number, part) in parts.iter().enumerate().rev() {
        let mut backward = Backward::new(&part.file, part.range.clone());
        while !tail.is_complete() {
            let Some(offset) = backward.next(&mut line)? else {
                continue 'parts;
            };
            tail.take(number, offset, &line);
        }
        break;
    }
    for (number, part) in parts.iter_mut().enumerate() {
        for (from, begin) in part.from.iter_mut().zip(tail.begin) {
            // A stream without a line among the last begins with what is to come.
            let (first, offset) = begin.unwrap_or((last, part.range.end));
            *from = match number.cmp(&first) {
                _ if *from == u64::MAX => u64::MAX,
                std::cmp::Ordering::Less => u64::MAX,
                std::cmp::Ordering::Equal => offset,
                std::cmp::Ordering::Greater => *from,
            };
        }
    }
    Ok(())
}

/// The last lines, gathered from the end.
struct Tail {
    /// How many lines may still be added.
    left: u32,
    streams: Streams,
    /// The number of the part and the offset at which the stream's first line begins, as far as it
    /// is known.
    begin: [Option<(usize, u64)>; 2],
    /// Whether the line at `begin` is known to begin there.
    complete: [bool; 2],
    /// How many bytes were passed since the last record that was added.
    passed: usize,
}

impl Tail {
    fn new(left: u32, streams: Streams) -> Tail {
        Tail {
            left,
            streams,
            begin: [None; 2],
            complete: [!streams.stdout, !streams.stderr],
            passed: 0,
        }
    }

    /// Whether nothing before the records that were taken can belong to the last lines.
    fn is_complete(&self) -> bool {
        // The beginning of a line that the other stream interrupted is looked for so far and no
        // further: there may be gigabytes of the other stream before it, and mostly the line begins
        // where it seems to.
        const PATIENCE: usize = 1 << 20;
        let complete = |at: usize| self.complete[at] || self.begin[at].is_none();
        self.left == 0 && (complete(0) && complete(1) || self.passed > PATIENCE)
    }

    /// Adds the record in `line`, the last one of those before what was added so far.
    fn take(&mut self, part: usize, offset: u64, line: &[u8]) {
        self.passed += line.len();
        let Some(head) = record::parse(line) else {
            return;
        };
        let at = index(head.stream);
        if self.complete[at] || !self.streams.contains(head.stream) {
            return;
        }
        // It ends a line, or it is the last piece of one that was never ended.
        if head.ended || self.begin[at].is_none() {
            if self.left == 0 {
                self.complete[at] = true;
                return;
            }
            self.left -= 1;
        }
        self.begin[at] = Some((part, offset));
        self.passed = 0;
    }
}
