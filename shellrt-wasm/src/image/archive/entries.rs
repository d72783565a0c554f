//! The entries of a tar, read as a stream with bounded memory.
//!
//! The headers are the crate `tar`'s business. The walk is not, because that crate reads a long name
//! whole into memory, however many bytes a hostile tar says it has.

use std::io::{self, Read};

use tar::{EntryType, Header};

/// The longest name, link target or extended header, in bytes.
const LONGEST: u64 = 1 << 20;

const BLOCK: u64 = 512;

/// A tar.
pub(super) struct Entries<R> {
    tar: R,
    /// How much of the current entry's body is still to be read.
    left: u64,
    /// How much fills its last block.
    padding: u64,
}

/// An entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its path, as the tar has it.
    pub(super) name: Vec<u8>,
    /// What it is.
    pub(super) kind: Kind,
    /// The length of its body in bytes.
    pub(super) size: u64,
}

/// What an entry is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    /// With its target.
    Symlink(Vec<u8>),
    /// With its target.
    Hardlink(Vec<u8>),
    /// A device, a sparse file, or something new.
    Other,
}

/// The body of the current entry.
pub(super) struct Body<'a, R>(&'a mut Entries<R>);

impl<R: Read> Read for Body<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.tar.by_ref().take(self.0.left).read(buffer)?;
        if count == 0 && self.0.left > 0 && !buffer.is_empty() {
            return Err(cut_short());
        }
        self.0.left -= count as u64;
        Ok(count)
    }
}

impl<R: Read> Entries<R> {
    pub(super) fn new(tar: R) -> Entries<R> {
        Entries {
            tar,
            left: 0,
            padding: 0,
        }
    }

    /// The next entry; what is left of the one before is passed over. `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut extended = Extended::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let size = header.entry_size()?;
            self.open(size)?;
            match header.entry_type() {
                EntryType::GNULongName => extended.name = Some(self.text()?),
                EntryType::GNULongLink => extended.link = Some(self.text()?),
                EntryType::XHeader => extended.read(&self.text()?)?,
                // What holds for all entries is nothing that matters here.
                EntryType::XGlobalHeader => {}
                kind => {
                    let size = extended.size.unwrap_or(size);
                    self.open(size)?;
                    return Ok(Some(extended.entry(&header, kind, size)));
                }
            }
        }
    }

    /// The body of the entry that came last.
    pub(super) fn body(&mut self) -> Body<'_, R> {
        Body(self)
    }

    fn open(&mut self, size: u64) -> io::Result<()> {
        self.left = size;
        self.padding = size.checked_next_multiple_of(BLOCK).ok_or_else(cut_short)? - size;
        Ok(())
    }

    /// `None` at the end, which is a block of zeros or the end of the file.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut header = Header::new_old();
        let mut filled = 0;
        while filled < header.as_bytes().len() {
            match self.tar.read(&mut header.as_mut_bytes()[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(cut_short()),
                count => filled += count,
            }
        }
        let bytes = header.as_bytes();
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // The sum over the header with its own field as spaces.
        let field = 148..156;
        let sum = bytes
            .iter()
            .enumerate()
            .map(|(at, byte)| match field.contains(&at) {
                true => u32::from(b' '),
                false => u32::from(*byte),
            });
        // A field that is no number is no sum either.
        match header.cksum().ok() == Some(sum.sum::<u32>()) {
            true => Ok(Some(header)),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is no tar, or a damaged one",
            )),
        }
    }

    /// The whole body of an entry that says something of the next one.
    fn text(&mut self) -> io::Result<Vec<u8>> {
        if self.left > LONGEST {
            let message = "an extended header in the tar is longer than 1 MiB";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let mut text = Vec::new();
        self.body().read_to_end(&mut text)?;
        Ok(text)
    }

    fn skip(&mut self) -> io::Result<()> {
        let left = self.left.saturating_add(self.padding);
        let skipped = io::copy(&mut self.tar.by_ref().take(left), &mut io::sink())?;
        // The last padding may be missing.
        match skipped >= self.left {
            true => (self.left, self.padding) = (0, 0),
            false => return Err(cut_short()),
        }
        Ok(())
    }
}

/// What came before an entry and is about it.
#[derive(Default)]
struct Extended {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    is_sparse: bool,
}

impl Extended {
    /// Reads an extended header of POSIX: records of "length key=value".
    fn read(&mut self, mut records: &[u8]) -> io::Result<()> {
        let broken = || {
            let message = "an extended header in the tar can't be read";
            io::Error::new(io::ErrorKind::InvalidData, message)
        };
        while !records.is_empty() {
            let space = records
                .iter()
                .position(|byte| *byte == b' ')
                .ok_or_else(broken)?;
            let (digits, _) = records.split_at(space);
            let length = std::str::from_utf8(digits)
                .ok()
                .and_then(|text| text.parse().ok());
            let length: usize = length.ok_or_else(broken)?;
            let record = records.get(space + 1..length).ok_or_else(broken)?;
            let record = record.strip_suffix(b"\n").ok_or_else(broken)?;
            let equals = record
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or_else(broken)?;
            let value = &record[equals + 1..];
            match &record[..equals] {
                b"path" => self.name = Some(value.to_owned()),
                b"linkpath" => self.link = Some(value.to_owned()),
                b"size" => {
                    let size = std::str::from_utf8(value)
                        .ok()
                        .and_then(|text| text.parse().ok());
                    self.size = Some(size.ok_or_else(broken)?);
                }
                key if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
                _ => {}
            }
            records = &records[length..];
        }
        Ok(())
    }

    fn entry(self, header: &Header, kind: EntryType, size: u64) -> Entry {
        let until_nul = |mut text: Vec<u8>| {
            let end = text.iter().position(|byte| *byte == 0);
            text.truncate(end.unwrap_or(text.len()));
            text
        };
        let name = self
            .name
            .map_or_else(|| header.path_bytes().into_owned(), until_nul);
        let link = || {
            let own = || header.link_name_bytes().unwrap_or_default().into_owned();
            self.link.map_or_else(own, until_nul)
        };
        let kind = match kind {
            EntryType::Regular | EntryType::Continuous if self.is_sparse => Kind::Other,
            // Before POSIX a directory was a file with a slash.
            EntryType::Regular if name.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(link()),
            EntryType::Link => Kind::Hardlink(link()),
            _ => Kind::Other,
        };
        Entry { name, kind, size }
    }
}

fn cut_short() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the tar is cut short, or unpacks to too much",
    )
}
