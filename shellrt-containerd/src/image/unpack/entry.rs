//! The entries of a tar, with the extended headers that belong to each, as Go's `archive/tar` gives
//! them to containerd. What stands there otherwise, damage included, is left to containerd.

use std::io::BufRead;

use super::failure::Failure;
use super::header::{text, Header, BLOCK};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Symlink,
    /// A further name of a file.
    Link,
    Char,
    Block,
    Fifo,
    /// Extended headers for all that follows, which containerd ignores.
    Global,
}

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    /// What a link refers to.
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) device: (u32, u32),
    /// In seconds and nanoseconds since the epoch.
    pub(super) modified: (i64, u32),
    pub(super) accessed: Option<(i64, u32)>,
    /// Extended attributes, the last of each name.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The longest extended header or long name, in bytes, as in Go.
const SPECIAL_MAX: u64 = 1 << 20;

/// A tar that is read from its beginning to its end.
pub(super) struct Entries<R> {
    source: R,
    /// What has not been read of the entry that was given out last.
    rest: u64,
    /// What fills its last block.
    padding: u64,
    /// How many bytes of entries were used.
    taken: u64,
}

impl<R: BufRead> Entries<R> {
    pub(super) fn new(source: R) -> Entries<R> {
        Entries {
            source,
            rest: 0,
            padding: 0,
            taken: 0,
        }
    }

    /// How many bytes of entries were used.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// The next entry; `None` at the end of the archive.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Failure> {
        let mut extended = Extended::default();
        let (mut long_name, mut long_link) = (Vec::new(), Vec::new());
        loop {
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            match header.kind {
                b'x' => extended = Extended::parse(&self.special()?)?,
                b'g' => {
                    // They count for this one as well.
                    let extended = Extended::parse(&self.special()?)?;
                    return entry(Kind::Global, header, extended).map(Some);
                }
                b'L' => long_name = text(&self.special()?).to_vec(),
                b'K' => long_link = text(&self.special()?).to_vec(),
                kind => {
                    // A long name of GNU's comes before one of POSIX's.
                    if !long_name.is_empty() {
                        extended.name = Some(long_name);
                    }
                    if !long_link.is_empty() {
                        extended.link = Some(long_link);
                    }
                    let name = extended.name.as_ref().unwrap_or(&header.name);
                    let kind = kind_of(kind, name)?;
                    let size = match kind {
                        Kind::File => extended.size.unwrap_or(header.size),
                        _ => 0,
                    };
                    self.expect(size);
                    return entry(kind, header, extended).map(Some);
                }
            }
        }
    }

    /// The next bytes of the entry that was given out last, some of them; empty at their end.
    /// [`consume`](Entries::consume) says how many were used.
    pub(super) fn data(&mut self) -> Result<&[u8], Failure> {
        if self.rest == 0 {
            return Ok(b"");
        }
        let bytes = self.source.fill_buf().map_err(reading)?;
        if bytes.is_empty() {
            return Err(cut_off());
        }
        // What does not fit a usize is more than there is.
        let most = usize::try_from(self.rest).unwrap_or(usize::MAX);
        Ok(&bytes[..bytes.len().min(most)])
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.source.consume(count);
        self.rest -= count as u64;
        self.taken += count as u64;
    }

    /// Reads what stands behind the archive.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        loop {
            let count = self.source.fill_buf().map_err(reading)?.len();
            if count == 0 {
                return Ok(());
            }
            self.source.consume(count);
        }
    }

    fn expect(&mut self, size: u64) {
        self.rest = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    /// The next header; `None` at the end, which is two blocks of zeros or no more blocks.
    fn header(&mut self) -> Result<Option<Header>, Failure> {
        self.skip()?;
        let Some(block) = self.block()? else {
            return Ok(None);
        };
        if block == [0; BLOCK] {
            return match self.block()? {
                Some(second) if second != [0; BLOCK] => {
                    Err(Failure::unfit("there is a gap in the archive"))
                }
                _ => Ok(None),
            };
        }
        let header = Header::parse(&block)?;
        self.expect(header.size);
        Ok(Some(header))
    }

    /// Skips what was not read of an entry. The last one's padding may be missing.
    fn skip(&mut self) -> Result<(), Failure> {
        loop {
            let count = self.data()?.len();
            if count == 0 {
                break;
            }
            self.consume(count);
        }
        let mut padding = [0; BLOCK];
        // It is less than a block.
        let padding = &mut padding[..self.padding as usize];
        let mut filled = 0;
        while filled < padding.len() {
            match self.source.read(&mut padding[filled..]).map_err(reading)? {
                0 => break,
                count => filled += count,
            }
        }
        self.padding = 0;
        Ok(())
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Failure> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.source.read(&mut block[filled..]).map_err(reading)? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(cut_off()),
                count => filled += count,
            }
        }
        Ok(Some(block))
    }

    /// The whole data of an extended header or a long name.
    fn special(&mut self) -> Result<Vec<u8>, Failure> {
        if self.rest > SPECIAL_MAX {
            return Err(Failure::unfit("an extended header is too long"));
        }
        let mut bytes = Vec::new();
        loop {
            let piece = self.data()?;
            if piece.is_empty() {
                return Ok(bytes);
            }
            bytes.extend_from_slice(piece);
            let count = piece.len();
            self.consume(count);
        }
    }
}

/// What POSIX's extended headers say of one entry.
#[derive(Debug, Default)]
struct Extended {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    user: Option<i64>,
    group: Option<i64>,
    modified: Option<(i64, u32)>,
    accessed: Option<(i64, u32)>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Extended {
    fn parse(mut bytes: &[u8]) -> Result<Extended, Failure> {
        let damaged = || Failure::unfit("an extended header is damaged");
        let mut extended = Extended::default();
        while !bytes.is_empty() {
            // "<length> <key>=<value>\n", and the length is that of all of it.
            let space = bytes.iter().position(|byte| *byte == b' ');
            let space = space.ok_or_else(damaged)?;
            let length: usize = decimal(&bytes[..space]).ok_or_else(damaged)?;
            if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
                return Err(damaged());
            }
            let record = &bytes[space + 1..length - 1];
            bytes = &bytes[length..];
            let equals = record.iter().position(|byte| *byte == b'=');
            let (key, value) = record.split_at(equals.ok_or_else(damaged)?);
            extended.take(key, &value[1..]).ok_or_else(damaged)??;
        }
        Ok(extended)
    }

    /// Takes one record; `None` where it is damaged. An empty value leaves what the header says.
    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<Result<(), Failure>> {
        if key.is_empty() || key.contains(&0) {
            return None;
        }
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            self.xattrs.retain(|(other, _)| other != name);
            self.xattrs.push((name.to_vec(), value.to_vec()));
            return Some(Ok(()));
        }
        if key.starts_with(b"GNU.sparse.") {
            return Some(Err(Failure::unfit("a file in it has holes")));
        }
        let is_text = matches!(key, b"path" | b"linkpath" | b"uname" | b"gname");
        if is_text && value.contains(&0) {
            return None;
        }
        if value.is_empty() {
            // The last of two records counts, and says nothing here.
            match key {
                b"path" => self.name = None,
                b"linkpath" => self.link = None,
                b"size" => self.size = None,
                b"uid" => self.user = None,
                b"gid" => self.group = None,
                b"mtime" => self.modified = None,
                b"atime" => self.accessed = None,
                _ => {}
            }
            return Some(Ok(()));
        }
        match key {
            b"path" => self.name = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.user = Some(decimal(value)?),
            b"gid" => self.group = Some(decimal(value)?),
            b"mtime" => self.modified = Some(time(value)?),
            b"atime" => self.accessed = Some(time(value)?),
            b"ctime" => drop(time(value)?),
            _ => {}
        }
        Some(Ok(()))
    }
}

fn kind_of(kind: u8, name: &[u8]) -> Result<Kind, Failure> {
    Ok(match kind {
        b'0' => Kind::File,
        // The oldest archives know a directory by the end of its name.
        0 if name.ends_with(b"/") => Kind::Folder,
        0 => Kind::File,
        b'1' => Kind::Link,
        b'2' => Kind::Symlink,
        b'3' => Kind::Char,
        b'4' => Kind::Block,
        b'5' => Kind::Folder,
        b'6' => Kind::Fifo,
        other => {
            let kind = char::from(other);
            return Err(Failure::unfit(format!("it has an entry of type {kind:?}")));
        }
    })
}

fn entry(kind: Kind, header: Header, extended: Extended) -> Result<Entry, Failure> {
    // The last one means "unchanged" to the kernel.
    let id = |id: i64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
    let strange = || Failure::unfit("an owner or a device in it has no such number here");
    let device = |number: i64| u32::try_from(number).map_err(|_| strange());
    let user = id(extended.user.unwrap_or(header.owner.0)).ok_or_else(strange)?;
    let group = id(extended.group.unwrap_or(header.owner.1)).ok_or_else(strange)?;
    Ok(Entry {
        kind,
        name: extended.name.unwrap_or(header.name),
        link: extended.link.unwrap_or(header.link),
        mode: header.mode,
        owner: (user, group),
        device: match kind {
            Kind::Char | Kind::Block => (device(header.device.0)?, device(header.device.1)?),
            _ => (0, 0),
        },
        modified: extended.modified.unwrap_or(header.modified),
        accessed: extended.accessed.or(header.accessed),
        xattrs: extended.xattrs,
    })
}

fn decimal<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A time as "seconds" or "seconds.fraction". What is before the epoch is only known to be so.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = seconds.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    match seconds.starts_with('-') && nanoseconds > 0 {
        true => Some((whole - 1, 1_000_000_000 - nanoseconds)),
        false => Some((whole, nanoseconds)),
    }
}

fn reading(source: std::io::Error) -> Failure {
    Failure::System {
        doing: "read a layer",
        source,
    }
}

fn cut_off() -> Failure {
    Failure::unfit("the archive is cut off")
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
