//! The files of a log: `log`, `log.1`, `log.2`, ... in one directory.
//!
//! Readers take no lock, so files are renamed while they look. What they rely on: a file's number
//! only ever grows, a newer file always has a smaller number than an older one, and a rename is
//! atomic. Whoever goes through the numbers upwards therefore meets every file that is not deleted
//! meanwhile; some of them twice.

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The directory of a log. It stays the same one when it is renamed, and when the process changes
/// its working directory.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    pub fn open(path: &Path) -> io::Result<Directory> {
        let path = std::path::absolute(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::empty())?;
        Ok(Directory { fd, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was deleted or moved away, perhaps with another one in its place.
    pub fn is_gone(&self) -> bool {
        let Ok(ours) = rustix::fs::fstat(&self.fd) else {
            return true;
        };
        match rustix::fs::stat(&self.path) {
            Ok(now) => (now.st_dev, now.st_ino) != (ours.st_dev, ours.st_ino),
            Err(Errno::NOENT | Errno::NOTDIR) => true,
            // Not to be found out at the moment.
            Err(_) => false,
        }
    }

    /// Opens file number `number` for reading; `None` where there is none.
    pub fn file(&self, number: u32) -> io::Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = rustix::io::retry_on_intr(|| {
            rustix::fs::openat(&self.fd, name(number).as_str(), flags, Mode::empty())
        });
        match opened {
            Ok(fd) => Ok(Some(File::from(fd))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens the file being written for appending, and makes it if there is none.
    pub fn append(&self) -> io::Result<File> {
        // Reading is for the look at its end.
        let flags = OFlags::RDWR
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::CLOEXEC
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK;
        let mode = Mode::RUSR | Mode::WUSR;
        let open = || rustix::fs::openat(&self.fd, name(0).as_str(), flags, mode);
        Ok(File::from(rustix::io::retry_on_intr(open)?))
    }

    /// Makes room for a new file: renames the files, so that none is number 0 any more, and keeps
    /// `max_files - 1` of them.
    pub fn rotate(&self, max_files: u32) -> io::Result<()> {
        let last = max_files.saturating_sub(1);
        if last == 0 {
            return self.delete(0);
        }
        // A rotation that was cut off left a gap. Filling it loses nothing, however often that
        // happens.
        let mut gap = 1;
        while gap < last && self.exists(gap)? {
            gap += 1;
        }
        for number in (0..gap).rev() {
            let (from, to) = (name(number), name(number + 1));
            match rustix::fs::renameat(&self.fd, from.as_str(), &self.fd, to.as_str()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Deletes the files beyond `max_files`, which an earlier writer was allowed to keep.
    pub fn trim(&self, max_files: u32) -> io::Result<()> {
        for number in self.numbers()? {
            if number >= max_files {
                self.delete(number)?;
            }
        }
        Ok(())
    }

    /// Writes to the disk which files there are.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// Whether `file` is the one being written.
    pub fn is_current(&self, file: &File) -> io::Result<bool> {
        match rustix::fs::statat(&self.fd, name(0).as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(current) => Ok((current.st_dev, current.st_ino) == identity(file)?),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens all files as they were at one moment, the newest first.
    pub fn snapshot(&self) -> io::Result<Vec<File>> {
        // Under the fastest rotation (a file of one record each) a few rounds are enough.
        const ROUNDS: u32 = 1000;
        for _ in 0..ROUNDS {
            let mut files: Vec<(Identity, File)> = Vec::new();
            self.each_upwards(|file| {
                let identity = identity(&file)?;
                if !files.iter().any(|(seen, _)| *seen == identity) {
                    files.push((identity, file));
                }
                Ok(true)
            })?;
            // If the newest file still is the newest, no rotation was completed meanwhile, so there
            // is no file that we missed at number 0 and met further up, out of order.
            let mut newest = None;
            self.each_upwards(|file| {
                newest = Some(identity(&file)?);
                Ok(false)
            })?;
            if newest == files.first().map(|(identity, _)| *identity) {
                return Ok(files.into_iter().map(|(_, file)| file).collect());
            }
        }
        let busy = "the log is rotated faster than it can be opened; use a larger max_size";
        Err(io::Error::new(io::ErrorKind::ResourceBusy, busy))
    }

    /// Opens the file that was begun after `file`, or the oldest if `file` is `None` or deleted;
    /// `None` where there is none that is newer.
    pub fn newer_than(&self, file: Option<&File>) -> io::Result<Option<File>> {
        // We hold `file` open, so its number of an inode can't be given to another one.
        let ours = file.map(identity).transpose()?;
        let mut before = None;
        // The next file is the last one below ours: it is not missed, as said above, and nothing
        // can come to stand between it and ours.
        self.each_upwards(|file| {
            if Some(identity(&file)?) == ours {
                return Ok(false);
            }
            before = Some(file);
            Ok(true)
        })?;
        Ok(before)
    }

    /// Opens the files upwards from number 0 and hands them over until told to stop.
    fn each_upwards(&self, mut each: impl FnMut(File) -> io::Result<bool>) -> io::Result<()> {
        // Numbers grow while we look, so the search goes on beyond the largest that was listed.
        const BEYOND: u32 = 4;
        let largest = self.numbers()?.into_iter().max().unwrap_or(0);
        let mut missing_beyond = 0;
        for number in 0.. {
            let Some(file) = self.file(number)? else {
                missing_beyond += u32::from(number > largest);
                if missing_beyond == BEYOND {
                    break;
                }
                continue;
            };
            if !each(file)? {
                break;
            }
        }
        Ok(())
    }

    /// The numbers of the files, in no order; while files are renamed some may be left out.
    fn numbers(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        let entries = match Dir::read_from(&self.fd) {
            Ok(entries) => entries,
            // The directory was deleted.
            Err(Errno::NOENT) => return Ok(numbers),
            Err(errno) => return Err(errno.into()),
        };
        for entry in entries {
            match entry {
                Ok(entry) => numbers.extend(number(entry.file_name().to_bytes())),
                Err(Errno::NOENT) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(numbers)
    }

    fn exists(&self, number: u32) -> io::Result<bool> {
        match rustix::fs::statat(&self.fd, name(number).as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn delete(&self, number: u32) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name(number).as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// What tells one file from another while both are open.
type Identity = (u64, u64);

fn identity(file: &File) -> io::Result<Identity> {
    let stat = rustix::fs::fstat(file.as_fd())?;
    Ok((stat.st_dev, stat.st_ino))
}

/// The name of file number `number`; 0 is the one being written.
fn name(number: u32) -> String {
    match number {
        0 => "log".to_owned(),
        _ => format!("log.{number}"),
    }
}

/// The number of the file called `name`; `None` where that is none of a log's.
fn number(file: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(file).ok()?;
    if text == "log" {
        return Some(0);
    }
    let number = text.strip_prefix("log.")?.parse().ok()?;
    // `log.0`, `log.+1` and `log.01` are not ours.
    (number != 0 && name(number) == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn texts(dir: &Directory) -> Vec<String> {
        let read = |mut file: File| {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            text
        };
        dir.snapshot().unwrap().into_iter().map(read).collect()
    }

    #[test]
    fn rotation_keeps_the_newest() {
        for max_files in 1..6_u32 {
            let temporary = tempfile::tempdir().unwrap();
            let dir = Directory::open(temporary.path()).unwrap();
            for n in 0..8 {
                dir.rotate(max_files).unwrap();
                std::fs::write(temporary.path().join("log"), n.to_string()).unwrap();
            }
            let expected: Vec<_> = (0..8).rev().take(max_files as usize).collect();
            let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(texts(&dir), expected);
        }
    }

    #[test]
    fn a_gap_is_filled_and_foreign_files_are_left_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = Directory::open(temporary.path()).unwrap();
        for name in ["log", "log.2", "log.3", "log.0", "log.01", "log.x", "logs"] {
            std::fs::write(temporary.path().join(name), name).unwrap();
        }
        assert_eq!(texts(&dir), ["log", "log.2", "log.3"]);
        dir.rotate(4).unwrap();
        assert_eq!(texts(&dir), ["log", "log.2", "log.3"]);
        assert!(!temporary.path().join("log").exists());
        dir.trim(3).unwrap();
        assert_eq!(texts(&dir), ["log", "log.2"]);
        for name in ["log.0", "log.01", "log.x", "logs"] {
            assert!(temporary.path().join(name).exists());
        }
    }

    /// One file after the other, while a thread rotates without a pause: none is skipped that still
    /// exists, none comes twice.
    #[test]
    fn the_next_file_is_the_next() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = Directory::open(temporary.path()).unwrap();
        let path = temporary.path().to_owned();
        const FILES: u32 = 1000;
        // So many files are kept that none is deleted before it was seen.
        let rotate = move || {
            let dir = Directory::open(&path).unwrap();
            for n in 0..FILES {
                if n >= 20 {
                    dir.rotate(20).unwrap();
                } else if n > 0 {
                    dir.rotate(n + 1).unwrap();
                }
                let temporary = path.join("new");
                std::fs::write(&temporary, n.to_string()).unwrap();
                std::fs::rename(&temporary, path.join("log")).unwrap();
            }
        };
        let rotating = std::thread::spawn(rotate);
        let (mut last, mut current, mut skipped) = (None, None, 0);
        while last != Some(FILES - 1) {
            let Some(mut next) = dir.newer_than(current.as_ref()).unwrap() else {
                continue;
            };
            let mut text = String::new();
            next.read_to_string(&mut text).unwrap();
            let number: u32 = text.parse().unwrap();
            let deleted =
                current.is_some_and(|file| rustix::fs::fstat(&file).unwrap().st_nlink == 0);
            let expected = last.map_or(0, |last| last + 1);
            assert!(number == expected || (number > expected && (deleted || last.is_none())));
            skipped += number - expected;
            (last, current) = (Some(number), Some(next));

            let snapshot = texts(&dir);
            let numbers: Vec<u32> = snapshot.iter().map(|text| text.parse().unwrap()).collect();
            assert!(
                numbers.windows(2).all(|pair| pair[0] == pair[1] + 1),
                "{numbers:?}"
            );
        }
        rotating.join().unwrap();
        assert!(skipped < FILES);
    }
}
