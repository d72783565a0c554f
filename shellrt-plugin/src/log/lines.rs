//! Walking through a file line by line, in both directions, whatever is in it.

use super::record::LONGEST_LINE;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Walks through a file line by line, forwards, block by block.
#[derive(Debug)]
pub(super) struct Forward {
    block: Block,
    /// Where in the file the unread bytes of the block begin.
    offset: u64,
    /// Where the line begins that is too long for a record and is being passed over.
    skipping: Option<u64>,
}

impl Forward {
    /// At the beginning of a file, of which it reads `size` bytes at once.
    pub fn new(size: usize) -> Forward {
        Forward {
            block: Block::new(size),
            offset: 0,
            skipping: None,
        }
    }

    /// Goes to `offset`, which is the beginning of a line.
    pub fn seek(&mut self, offset: u64) {
        self.block.unread = 0..0;
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
        let unread = self.block.unread.clone();
        let length = memchr::memchr(b'\n', self.bytes(unread.clone()))? + 1;
        let offset = self.skipping.unwrap_or(self.offset);
        self.pass(length);
        Some((offset, unread.start..unread.start + length))
    }

    /// What of the block is unread, where that begins with a line.
    pub fn unread(&self) -> &[u8] {
        match self.skipping {
            Some(_) => &[],
            None => self.bytes(self.block.unread.clone()),
        }
    }

    /// Goes on behind the next `length` bytes of the block, which are whole lines.
    #[inline]
    pub fn pass(&mut self, length: usize) {
        self.skipping = None;
        self.block.unread.start += length;
        self.offset += length as u64;
    }

    /// The bytes of a line that [`Forward::next`] found; they stay until the next fill.
    #[inline]
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.block.bytes[range]
    }

    /// Reads on, up to the offset `limit`; false where there is nothing (yet).
    pub fn fill(&mut self, file: &File, limit: u64) -> io::Result<bool> {
        if self.block.unread.len() > LONGEST_LINE {
            // This can't become a record any more. What follows its newline can.
            self.skipping.get_or_insert(self.offset);
            self.offset += self.block.unread.len() as u64;
            self.block.unread = 0..0;
        }
        let from = self.offset + self.block.unread.len() as u64;
        let most = usize::try_from(limit.saturating_sub(from)).unwrap_or(usize::MAX);
        let count = self.block.fill(|room| {
            let most = most.min(room.len());
            read_at(file, &mut room[..most], from)
        })?;
        Ok(count > 0)
    }

    /// Forgets the line that has no end yet, so that it is read again: a writer that starts anew may
    /// cut it off and write something else there.
    pub fn forget_unfinished(&mut self) {
        self.seek(self.offset());
    }
}

/// Some bytes of a file, one after the other.
#[derive(Debug)]
struct Block {
    bytes: Box<[u8]>,
    /// Where a read puts its bytes: at the beginning of a page, to which the kernel copies fastest,
    /// and with room for an unfinished line in front.
    page: usize,
    /// How much one read takes, in bytes.
    size: usize,
    /// What was read from the file and not yet taken.
    unread: Range<usize>,
}

impl Block {
    /// An empty block for reads of `size` bytes.
    pub fn new(size: usize) -> Block {
        const PAGE: usize = 4096;
        // Whatever the allocator answers, a page begins within the first page behind the line.
        let bytes = vec![0; LONGEST_LINE + (PAGE - 1) + size].into_boxed_slice();
        let first = bytes.as_ptr().addr() + LONGEST_LINE;
        Block {
            page: LONGEST_LINE + first.next_multiple_of(PAGE) - first,
            size,
            bytes,
            unread: 0..0,
        }
    }

    /// Adds to what is unread, which is no longer than [`LONGEST_LINE`], what `read` puts into the
    /// room that it is given; returns how much that is.
    pub fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        let start = self.page - self.unread.len();
        self.bytes.copy_within(self.unread.clone(), start);
        self.unread = start..self.page;
        let count = read(&mut self.bytes[self.page..][..self.size])?;
        self.unread.end += count;
        Ok(count)
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
    /// How much is read at once.
    step: u64,
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
            step: 0,
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
        // Mostly the last few lines are all that is looked at.
        const FIRST: u64 = 4 << 10;
        const MOST: u64 = 64 << 10;
        let length = self.step.clamp(FIRST, MOST).min(self.offset - self.from);
        self.step = length * 4;
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

            let mut forward = Forward::new(1000);
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
