//! Appending records and rotating files.

use super::files::Directory;
use super::lines::Backward;
use super::record::{self, HEAD, LONGEST_TEXT};
use super::{Error, Stream};
use rustix::io::Errno;
use shellrt_api::v0::config;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Appends to the log of one module. There must be one writer at a time per directory: whoever runs
/// the module has it.
///
/// Nothing is held back: when [`Writer::write`] returns, all of it is in the file. The last line of
/// a file is torn only if the machine, the process or the disk gave up in the middle of a write.
#[derive(Debug)]
pub struct Writer {
    dir: Directory,
    options: Options,
    /// `None` after a rotation that could not make a new file; the next write tries again.
    file: Option<File>,
    /// How long the file is.
    size: u64,
    /// How many bytes at the end of the file are no whole record and could not be cut off.
    torn: u64,
    /// The time of the file's last record: times don't go back within a file, so that readers can
    /// search for them, even when the clock is set back.
    last: record::Time,
    /// The records that the next system call writes; empty between two calls of `write`.
    batch: Vec<u8>,
    /// How many of the module's bytes are in the batch.
    batched: usize,
    /// How many files were begun since the last `sync`.
    unsynced: u32,
}

impl Writer {
    /// Opens the log in the existing directory `dir`, makes it if there is none (for its owner
    /// alone), cuts off a torn end, and deletes files beyond `options.max_files`.
    ///
    /// # Errors
    /// [`Error::MaxSize`] and [`Error::MaxFiles`] for options that make no sense, and
    /// [`Error::Open`] for what the operating system refuses.
    pub fn open(dir: &Path, options: Options) -> Result<Writer, Error> {
        options.check()?;
        let failed = |source| Error::open(dir, source);
        let dir = Directory::open(dir).map_err(failed)?;
        dir.trim(options.max_files).map_err(failed)?;
        let mut writer = Writer {
            dir,
            options,
            file: None,
            size: 0,
            torn: 0,
            last: record::time(0),
            batch: Vec::new(),
            batched: 0,
            unsynced: 0,
        };
        writer.open_file().map_err(failed)?;
        Ok(writer)
    }

    /// Records `bytes` before it returns, whatever they are: an end without a newline is recorded
    /// too, and nothing is added to it.
    ///
    /// All records of one call have the time of the call. A record is never divided between two
    /// system calls, but one system call may write many records, and the file may be rotated
    /// between two of them.
    ///
    /// # Errors
    /// [`Error::Write`] says how many of the bytes were recorded; the rest is not, not even in part.
    /// The next call works again once there is space.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Error> {
        let mut written = 0;
        self.record(stream, bytes, &mut written).map_err(|source| {
            self.batch.clear();
            self.batched = 0;
            Error::Write {
                path: self.dir.path().to_owned(),
                written,
                source,
            }
        })
    }

    /// Waits until what was written so far is on the disk, rotated files included.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn sync(&mut self) -> Result<(), Error> {
        self.sync_files()
            .map_err(|source| Error::open(self.dir.path(), source))
    }

    fn record(&mut self, stream: Stream, bytes: &[u8], written: &mut usize) -> io::Result<()> {
        // A system call for each record would cost more than all the rest, and so would a buffer
        // that does not fit into the processor's cache.
        const BATCH: usize = 128 << 10;
        let now = now();
        let mut heads = self.heads(&now, stream)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let window = &rest[..rest.len().min(LONGEST_TEXT + 1)];
            let (taken, ended) = match memchr::memchr(b'\n', window) {
                Some(at) => (at + 1, true),
                None => (window.len().min(LONGEST_TEXT), false),
            };
            let length = HEAD + taken + usize::from(!ended);
            let size = self.size + (self.batch.len() + length) as u64;
            // A file has at least one record, however small it is meant to be.
            let has_records = self.size > 0 || !self.batch.is_empty();
            if size > self.options.max_size && has_records {
                self.flush(written)?;
                self.rotate()?;
                heads = self.heads(&now, stream)?;
            }
            self.batch.extend_from_slice(&heads[usize::from(ended)]);
            self.batch.extend_from_slice(&rest[..taken]);
            if !ended {
                self.batch.push(b'\n');
            }
            self.batched += taken;
            rest = &rest[taken..];
            if self.batch.len() >= BATCH {
                self.flush(written)?;
            }
        }
        self.flush(written)
    }

    /// The heads of a `P` and an `F` record that are written now.
    fn heads(&mut self, now: &record::Time, stream: Stream) -> io::Result<[[u8; HEAD]; 2]> {
        self.file()?;
        self.last = self.last.max(*now);
        Ok([false, true].map(|ended| record::head(&self.last, stream, ended)))
    }

    /// Writes the batch, adds to `written` how many of the module's bytes are in the file now, and
    /// empties the batch. After an error the file ends with a whole record.
    fn flush(&mut self, written: &mut usize) -> io::Result<()> {
        let mut batch = std::mem::take(&mut self.batch);
        let mut done = 0;
        let mut result = Ok(());
        while done < batch.len() && result.is_ok() {
            result = self.append(&batch[done..]).map(|count| done += count);
        }
        *written += match result {
            Ok(()) => self.batched,
            Err(_) => texts(&batch[..done]),
        };
        batch.clear();
        self.batch = batch;
        self.batched = 0;
        result
    }

    /// Writes some of `records` and returns the length of those that are in the file: one at least.
    fn append(&mut self, records: &[u8]) -> io::Result<usize> {
        let file = self.file()?;
        let count = rustix::io::retry_on_intr(|| rustix::io::write(file, records))?;
        if count == records.len() {
            self.size += count as u64;
            return Ok(count);
        }
        // The disk is full. The record that was divided goes away again.
        let whole = memchr::memrchr(b'\n', &records[..count]).map_or(0, |at| at + 1);
        self.size += whole as u64;
        self.torn = (count - whole) as u64;
        self.cut_torn()?;
        if whole == 0 {
            return Err(Errno::NOSPC.into());
        }
        // The caller goes on with the rest, and hears what the matter is.
        Ok(whole)
    }

    /// The file to append to, which ends with a whole record.
    fn file(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            self.open_file()?;
        }
        self.cut_torn()?;
        // Without an error `open_file` leaves a file, so this error is not seen.
        self.file.as_ref().ok_or_else(|| Errno::BADF.into())
    }

    /// Opens the file being written, cuts off its torn end and finds the time of its last record.
    fn open_file(&mut self) -> io::Result<()> {
        let file = self.dir.append()?;
        let end = rustix::fs::fstat(&file)?.st_size;
        // A file's size is not negative.
        let end = u64::try_from(end).unwrap_or(0);
        // After the last newline there is half a record, or zeros where the power was lost before
        // the data reached the disk.
        let size = Backward::new(&file, 0..end).end()?;
        if size < end {
            rustix::fs::ftruncate(&file, size)?;
        }
        self.last = last_time(&file, size)?;
        self.size = size;
        self.torn = 0;
        self.unsynced += 1;
        self.file = Some(file);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.dir.rotate(self.options.max_files)?;
        self.file = None;
        self.open_file()
    }

    /// Cuts off what a write that failed left behind. The file's own length counts, not ours: if
    /// somebody emptied the file, ours would fill it up with zeros.
    fn cut_torn(&mut self) -> io::Result<()> {
        if let (Some(file), 1..) = (&self.file, self.torn) {
            let end = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
            rustix::fs::ftruncate(file, end.saturating_sub(self.torn))?;
            self.torn = 0;
        }
        Ok(())
    }

    fn sync_files(&mut self) -> io::Result<()> {
        for number in 1..=self.unsynced.min(self.options.max_files - 1) {
            if let Some(file) = self.dir.file(number)? {
                rustix::fs::fdatasync(&file)?;
            }
        }
        rustix::fs::fdatasync(self.file()?)?;
        if self.unsynced > 0 {
            self.dir.sync()?;
        }
        self.unsynced = 0;
        Ok(())
    }
}

/// How much of a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How large one file may become, in bytes; default 10 MiB. A file has one record at least,
    /// which is up to 16 KiB and 41 bytes long.
    pub max_size: u64,
    /// How many files there may be, the one being written included; default 3. With 1, a full file
    /// is replaced by an empty one.
    pub max_files: u32,
}

impl Options {
    /// The most files that a log may have: a reader opens them all at once.
    pub const MOST_FILES: u32 = 500;

    /// Whether a log can be kept so; for a `create` that must refuse what can't.
    ///
    /// # Errors
    /// [`Error::MaxSize`] and [`Error::MaxFiles`].
    pub fn check(&self) -> Result<(), Error> {
        if self.max_size == 0 {
            return Err(Error::MaxSize);
        }
        if !(1..=Options::MOST_FILES).contains(&self.max_files) {
            return Err(Error::MaxFiles(self.max_files));
        }
        Ok(())
    }
}

impl From<&config::Log> for Options {
    fn from(log: &config::Log) -> Options {
        Options {
            max_size: log.max_size.0,
            max_files: log.max_files,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_size: 10 << 20,
            max_files: 3,
        }
    }
}

/// How many of the module's bytes are in `records`, which are whole.
fn texts(records: &[u8]) -> usize {
    let mut rest = records;
    let mut count = 0;
    while let Some(at) = memchr::memchr(b'\n', rest) {
        // The flag is the last but one byte of the head.
        let ended = rest.get(HEAD - 2) == Some(&b'F');
        count += (at + usize::from(ended)).saturating_sub(HEAD);
        rest = &rest[at + 1..];
    }
    count
}

/// The time of the last record in a file of `size` bytes; the epoch if there is none.
fn last_time(file: &File, size: u64) -> io::Result<record::Time> {
    // A file with so much garbage at its end is none that we wrote.
    const FAR: u64 = 1 << 20;
    let mut lines = Backward::new(file, 0..size);
    let mut line = Vec::new();
    while let Some(offset) = lines.next(&mut line)? {
        if record::parse(&line).is_some() {
            if let Some(time) = record::time_of(&line) {
                return Ok(time);
            }
        }
        if offset + FAR < size {
            break;
        }
    }
    Ok(record::time(0))
}

fn now() -> record::Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before the epoch shows the epoch.
    let ns = since.map_or(0, |since| since.as_nanos());
    record::time(i64::try_from(ns).unwrap_or(i64::MAX))
}
