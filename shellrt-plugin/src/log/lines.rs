//! Walking through a file line by line, in both directions, whatever is in it.

use super::record::LONGEST_LINE;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

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
            block: vec![0; block.max(2 * LONGEST_LINE)].into_boxed_slice(),
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
        if self.unread.len() > LONGEST_LINE {
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
                    let surplus = self.block.len().saturating_sub(LONGEST_LINE + 1);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Both walks find the same lines, also with a line in between that is far longer than a block.
    #[test]
    fn both_walks_agree() {
        let mut file = tempfile::tempfile().unwrap();
        let mut written = Vec::new();
        for length in [
            0,
            1,
            40,
            500_000,
            3,
            LONGEST_LINE - 1,
            LONGEST_LINE,
            70_000,
            0,
            0,
            5,
        ] {
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
