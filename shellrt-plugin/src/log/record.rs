//! One record, byte by byte, and how records are found in a file.

use super::Stream;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// A record is its head, its text and a newline.
///
/// ```text
/// 2026-01-02T03:04:05.000000006Z stdout F text
/// |----- 30 bytes ------------| | 6  | 1       = 40 bytes with the three spaces
/// ```
pub(super) const HEAD: usize = 40;

/// The longest text of a record; longer pieces are split.
pub(super) const LONGEST_TEXT: usize = 16 << 10;

/// The longest record. A longer line is garbage.
pub(super) const LONGEST: usize = HEAD + LONGEST_TEXT + 1;

/// What stands in front of each line where times are shown: the time and a space.
pub(super) const STAMP: usize = 31;

/// A time as it is written. All have the same length, so they sort as bytes.
pub(super) type Time = [u8; 30];

/// The time that is `ns` nanoseconds after the epoch; one before the epoch counts as the epoch.
pub(super) fn time(ns: i64) -> Time {
    let ns = u64::try_from(ns).unwrap_or(0);
    let (seconds, nanos) = (ns / 1_000_000_000, ns % 1_000_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], second / 3600);
    digits(&mut text[14..16], second / 60 % 60);
    digits(&mut text[17..19], second % 60);
    digits(&mut text[20..29], nanos);
    text
}

/// The head of a record.
pub(super) fn head(time: &Time, stream: Stream, ended: bool) -> [u8; HEAD] {
    let mut head = match stream {
        Stream::Stdout => *b"0000-00-00T00:00:00.000000000Z stdout P ",
        Stream::Stderr => *b"0000-00-00T00:00:00.000000000Z stderr P ",
    };
    head[..time.len()].copy_from_slice(time);
    if ended {
        head[38] = b'F';
    }
    head
}

/// What the head of a record says, its time aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub stream: Stream,
    /// Whether the module wrote a newline after the text.
    pub ended: bool,
}

/// The head of `line`, which ends with its newline; `None` where it is not a whole record.
#[inline]
pub(super) fn parse(line: &[u8]) -> Option<Head> {
    let head: &[u8; HEAD] = line.first_chunk()?;
    // The bounds of each byte are compared all at once, without a branch, because this is done for
    // every record that is read.
    const LEAST: &[u8; HEAD] = b"0000-00-00T00:00:00.000000000Z stderr F ";
    const MOST: &[u8; HEAD] = b"9999-19-39T29:59:69.999999999Z stdout P ";
    let mut wrong = 0;
    for at in 0..HEAD {
        wrong |= u8::from(head[at] < LEAST[at]) | u8::from(head[at] > MOST[at]);
    }
    let stream = match &head[34..37] {
        b"out" => Stream::Stdout,
        b"err" => Stream::Stderr,
        _ => return None,
    };
    let ended = match head[38] {
        b'F' => true,
        b'P' => false,
        _ => return None,
    };
    let whole = wrong == 0 && line.len() > HEAD && line.len() <= LONGEST;
    whole.then_some(Head { stream, ended })
}

/// The time of a line that [`parse`] took for a record.
#[inline]
pub(super) fn time_of(line: &[u8]) -> Option<&Time> {
    line.first_chunk()
}

/// Walks through a file line by line, forwards, block by block.
#[derive(Debug)]
pub(super) struct Forward {
    block: Box<[u8]>,
    /// What of the block was read from the file and not yet taken.
    unread: Range<usize>,
    /// Where in the file `unread` begins.
    offset: u64,
    /// Where the line begins that is too long for a record and is being passed over.
    skipping: Option<u64>,
}

impl Forward {
    /// At the beginning of a file. A block must be longer than a record.
    pub fn new(block: usize) -> Forward {
        Forward {
            block: vec![0; block.max(2 * LONGEST)].into_boxed_slice(),
            unread: 0..0,
            offset: 0,
            skipping: None,
        }
    }

    /// Goes to `offset`, which is the beginning of a line.
    pub fn seek(&mut self, offset: u64) {
        self.unread = 0..0;
        self.offset = offset;
        self.skipping = None;
    }

    /// Where the next line begins.
    pub fn offset(&self) -> u64 {
        self.skipping.unwrap_or(self.offset)
    }

    /// The next whole line of the block, with its newline, and where in the file it begins; `None`:
    /// [`Forward::fill`] is next.
    #[inline]
    pub fn next(&mut self) -> Option<(u64, Range<usize>)> {
        let unread = &self.block[self.unread.clone()];
        let length = memchr::memchr(b'\n', unread)? + 1;
        let line = self.unread.start..self.unread.start + length;
        let offset = self.skipping.take().unwrap_or(self.offset);
        self.unread.start = line.end;
        self.offset += length as u64;
        Some((offset, line))
    }

    /// The bytes of a line that [`Forward::next`] found; they stay until the next fill.
    #[inline]
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.block[range]
    }

    /// Reads on, up to the offset `limit`; false where there is nothing (yet).
    pub fn fill(&mut self, file: &File, limit: u64) -> io::Result<bool> {
        if self.unread.len() > LONGEST {
            // This can't become a record any more. What follows its newline can.
            self.skipping.get_or_insert(self.offset);
            self.offset += self.unread.len() as u64;
            self.unread = 0..0;
        }
        self.block.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let from = self.offset + self.unread.len() as u64;
        let room = &mut self.block[self.unread.end..];
        let most = usize::try_from(limit.saturating_sub(from)).unwrap_or(usize::MAX);
        let most = most.min(room.len());
        let count = read_at(file, &mut room[..most], from)?;
        self.unread.end += count;
        Ok(count > 0)
    }

    /// Forgets the line that has no end yet, so that it is read again: a writer that starts anew may
    /// cut it off and write something else there.
    pub fn forget_unfinished(&mut self) {
        self.seek(self.offset());
    }
}

/// Walks through a file line by line, backwards, block by block.
pub(super) struct Backward<'a> {
    file: &'a File,
    from: u64,
    /// Ends with a newline once the last line was looked for.
    block: Vec<u8>,
    /// Where in the file the block begins.
    offset: u64,
    started: bool,
}

impl<'a> Backward<'a> {
    /// The lines that begin at `range.start` or later and end at `range.end` or earlier. The start
    /// is the beginning of a line; at the end there may be a line without a newline, which is left
    /// out.
    pub fn new(file: &'a File, range: Range<u64>) -> Backward<'a> {
        Backward {
            file,
            from: range.start,
            block: Vec::new(),
            offset: range.end.max(range.start),
            started: false,
        }
    }

    /// Puts the line before the one that was found last into `line`, with its newline, and returns
    /// where in the file it begins; `None` at the start of the range. Of a line that is too long for
    /// a record the middle may be missing.
    pub fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Option<u64>> {
        self.end()?;
        loop {
            // The block ends with the newline of the line that is looked for.
            let Some(text) = self.block.len().checked_sub(1) else {
                if self.load()? {
                    continue;
                }
                return Ok(None);
            };
            let begin = match memchr::memrchr(b'\n', &self.block[..text]) {
                Some(at) => at + 1,
                None if self.offset <= self.from => 0,
                None => {
                    // What is cut out of the middle of an endless line leaves it too long still.
                    let surplus = self.block.len().saturating_sub(LONGEST + 1);
                    self.block.drain(..surplus);
                    self.load()?;
                    continue;
                }
            };
            line.clear();
            line.extend_from_slice(&self.block[begin..]);
            self.block.truncate(begin);
            return Ok(Some(self.offset + begin as u64));
        }
    }

    /// Where the last line ends, however long it is; the start of the range if there is none.
    pub fn end(&mut self) -> io::Result<u64> {
        while !self.started {
            let last = memchr::memrchr(b'\n', &self.block).map_or(0, |at| at + 1);
            self.block.truncate(last);
            self.started = last > 0 || !self.load()?;
        }
        Ok(self.offset + self.block.len() as u64)
    }

    /// Puts the bytes before the block in front of it; false where there are none.
    fn load(&mut self) -> io::Result<bool> {
        const BLOCK: u64 = 64 << 10;
        let length = BLOCK.min(self.offset - self.from);
        let offset = self.offset - length;
        // At most 64 KiB, so the conversion holds.
        let mut front = vec![0; length as usize];
        let mut filled = 0;
        while filled < front.len() {
            let count = read_at(self.file, &mut front[filled..], offset + filled as u64)?;
            if count == 0 {
                // The file was cut short meanwhile; what is missing can't be a record.
                break;
            }
            filled += count;
        }
        front.extend_from_slice(&self.block);
        self.block = front;
        self.offset = offset;
        Ok(length > 0)
    }
}

/// Reads what there is at `offset`; 0 bytes at the end of the file.
fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(into, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Writes `number` into all of `text`, with leading zeros.
fn digits(text: &mut [u8], mut number: u64) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of a number of days since the epoch, in the Gregorian calendar.
fn date(days: u64) -> (u64, u64, u64) {
    // Years are counted from March on here, so that the leap day is the last of its year, and from
    // the year 0, whose March 1st is 719 468 days before the epoch.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn times_are_written_in_full() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (-1, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (1_767_323_045_000_000_006, "2026-01-02T03:04:05.000000006Z"),
            (1_709_251_199_999_999_999, "2024-02-29T23:59:59.999999999Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
        ] {
            assert_eq!(std::str::from_utf8(&time(ns)).unwrap(), text);
        }
    }

    #[test]
    fn times_sort_as_bytes() {
        let step = 86_400_000_000_000 / 3 + 1_000_000_007;
        let mut last = time(0);
        for n in 1..60_000_i64 {
            let now = time(n * step);
            assert!(last < now, "{n}");
            last = now;
        }
    }

    #[test]
    fn only_whole_records_are_records() {
        let good = b"2026-01-02T03:04:05.000000006Z stdout F text\n";
        let stdout = Head {
            stream: Stream::Stdout,
            ended: true,
        };
        assert_eq!(parse(good), Some(stdout));
        for stream in [Stream::Stdout, Stream::Stderr] {
            for ended in [true, false] {
                let mut line = head(&time(i64::MAX), stream, ended).to_vec();
                assert_eq!(parse(&line), None, "there is no newline");
                line.push(b'\n');
                assert_eq!(parse(&line), Some(Head { stream, ended }));
            }
        }
        for at in 0..HEAD {
            for byte in [0, b'\n', b'x', 0xff] {
                let mut bad = good.to_vec();
                bad[at] = byte;
                assert_eq!(parse(&bad), None, "{at} {byte}");
            }
            assert_eq!(parse(&good[at + 1..]), None, "{at}");
        }
        let mut line = good[..HEAD].to_vec();
        line.resize(LONGEST, b'x');
        assert!(parse(&line).is_some());
        line.push(b'x');
        assert!(parse(&line).is_none());
    }

    /// Both walks find the same lines, also with a line in between that is far longer than a block.
    #[test]
    fn both_walks_agree() {
        let mut file = tempfile::tempfile().unwrap();
        let mut written = Vec::new();
        for length in [0, 1, 40, 500_000, 3, LONGEST - 1, LONGEST, 70_000, 0, 0, 5] {
            written.resize(written.len() + length, b'x');
            written.push(b'\n');
        }
        let whole = written.len() as u64;
        for torn in [0, 1, 300_000] {
            written.resize(whole as usize + torn, 0);
            file.set_len(0).unwrap();
            file.write_all_at(&written, 0).unwrap();
            file.flush().unwrap();

            let mut forward = Forward::new(0);
            let mut offsets = Vec::new();
            loop {
                match forward.next() {
                    Some((offset, _)) => offsets.push(offset),
                    None if forward.fill(&file, u64::MAX).unwrap() => {}
                    None => break,
                }
            }
            assert_eq!(forward.offset(), whole);

            let mut backward = Backward::new(&file, 0..written.len() as u64);
            assert_eq!(backward.end().unwrap(), whole);
            let (mut reversed, mut line) = (Vec::new(), Vec::new());
            while let Some(offset) = backward.next(&mut line).unwrap() {
                assert_eq!(line.last(), Some(&b'\n'));
                reversed.push(offset);
            }
            reversed.reverse();
            assert_eq!(offsets, reversed);
            assert_eq!(offsets.len(), 11);
        }
    }
}
