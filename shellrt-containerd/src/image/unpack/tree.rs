//! The entries of a layer become files. The tree is the one that containerd makes of them in the
//! directory below an overlay, attribute for attribute.

use std::io::BufRead;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::entry::{Entries, Entry, Kind};
use super::failure::Failure;
use super::folder::{Folder, Folders};
use super::place::{self, parts};

/// What the name of a file begins with that takes another one away.
const HIDDEN: &[u8] = b".wh.";

/// What stands after that in the name of the file that hides all that is below a directory.
const ALL: &[u8] = b".wh..opq";

/// A directory that a layer is unpacked into.
pub(super) struct Tree {
    folders: Folders,
    /// Whether what is taken away has to be marked, because layers are below.
    marks: bool,
    /// The times that directories get when nothing is put into them any more.
    later: Vec<(Vec<u8>, Timestamps)>,
}

impl Tree {
    /// `below`: the directories of the layers below, the highest first; `None` where there is none
    /// and the directory is the whole.
    pub(super) fn new(root: OwnedFd, below: Option<Vec<OwnedFd>>) -> Result<Tree, Failure> {
        Ok(Tree {
            marks: below.is_some(),
            folders: Folders::new(root, below.unwrap_or_default())?,
            later: Vec::new(),
        })
    }

    /// Makes what one entry says.
    pub(super) fn add<R: BufRead>(
        &mut self,
        entry: &Entry,
        entries: &mut Entries<R>,
    ) -> Result<(), Failure> {
        let path = parts(&entry.name);
        // The directory itself is containerd's.
        let Some((name, above)) = path.split_last() else {
            return Ok(());
        };
        let is_of_aufs = |part: &&[u8]| part.starts_with(b".wh..wh.");
        if above.iter().any(is_of_aufs) || is_of_aufs(name) && *name != b".wh..wh..opq" {
            return Err(Failure::unfit("it has files of aufs"));
        }
        let folder = self.folders.get(above)?;
        if let Some(hidden) = name.strip_prefix(HIDDEN) {
            return self.hide(&folder, hidden, entry);
        }
        match entry.kind {
            Kind::File => self.file(&folder, name, entry, entries),
            Kind::Folder => self.folder(&folder, name, &path, entry),
            Kind::Global => self.folders.remove(&folder, name),
            Kind::Link => self.link(&folder, name, entry),
            Kind::Symlink => {
                let made = self.make(&folder, name, "make a link", || {
                    fs::symlinkat(entry.link.as_slice(), &folder.fd, *name)
                });
                made?;
                self.finish(&folder, name, entry)
            }
            Kind::Char | Kind::Block | Kind::Fifo => {
                let (kind, device) = match entry.kind {
                    Kind::Char => (FileType::CharacterDevice, entry.device),
                    Kind::Block => (FileType::BlockDevice, entry.device),
                    _ => (FileType::Fifo, (0, 0)),
                };
                let device = fs::makedev(device.0, device.1);
                let mode = Mode::from_raw_mode(entry.mode);
                let made = self.make(&folder, name, "make a device", || {
                    fs::mknodat(&folder.fd, *name, kind, mode, device)
                });
                made?;
                self.finish(&folder, name, entry)
            }
        }
    }

    /// Gives the directories their times.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        for (path, times) in std::mem::take(&mut self.later) {
            let path = parts(&path);
            let found;
            let path = match self.folders.moved {
                // What was a directory may be a link now, and containerd follows it.
                true => {
                    found = place::follow(self.folders.root(), &path)?;
                    found.iter().map(Vec::as_slice).collect()
                }
                false => path,
            };
            let Some((name, above)) = path.split_last() else {
                return Err(Failure::unfit(
                    "a directory in it became a link to the root",
                ));
            };
            let folder = self.folders.get(above)?;
            fs::utimensat(&folder.fd, *name, &times, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(Failure::system("set the times of a directory"))?;
        }
        Ok(())
    }

    /// Takes something away that the layers below have, or that is here.
    fn hide(&mut self, folder: &Folder, hidden: &[u8], entry: &Entry) -> Result<(), Failure> {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Failure::unfit("it takes away what can't be taken away"));
        }
        if !self.marks {
            return match hidden == ALL {
                true => Err(Failure::unfit("it hides what the lowest layer has itself")),
                false => self.folders.remove(folder, hidden),
            };
        }
        if hidden == ALL {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let readable = fs::openat(&folder.fd, b".".as_slice(), flags, Mode::empty());
            let readable = readable.map_err(Failure::system("open a directory"))?;
            let none = fs::XattrFlags::empty();
            return fs::fsetxattr(readable, "trusted.overlay.opaque", b"y", none)
                .map_err(Failure::system("hide what is below a directory"));
        }
        let made = fs::mknodat(
            &folder.fd,
            hidden,
            FileType::CharacterDevice,
            Mode::empty(),
            0,
        );
        made.map_err(Failure::system("mark a file as taken away"))?;
        if self.folders.owner(folder, entry.owner).is_some() {
            chown(&folder.fd, hidden, entry.owner)?;
        }
        Ok(())
    }

    fn file<R: BufRead>(
        &mut self,
        folder: &Folder,
        name: &[u8],
        entry: &Entry,
        entries: &mut Entries<R>,
    ) -> Result<(), Failure> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(entry.mode);
        let file = self.make(folder, name, "make a file", || {
            fs::openat(&folder.fd, name, flags, mode)
        })?;
        loop {
            let bytes = entries.data()?;
            if bytes.is_empty() {
                break;
            }
            let written = match rustix::io::write(&file, bytes) {
                Err(Errno::INTR) => 0,
                written => written.map_err(Failure::system("write a file"))?,
            };
            entries.consume(written);
        }
        let owner = self.folders.owner(folder, entry.owner);
        if let Some((user, group)) = owner {
            fs::fchown(&file, Some(user), Some(group))
                .map_err(Failure::system("give a file away"))?;
        }
        for (key, value) in &entry.xattrs {
            set(key, true, |none| {
                fs::fsetxattr(&file, key.as_slice(), value, none)
            })?;
        }
        if self.folders.changes_mode(folder, entry) {
            fs::fchmod(&file, mode).map_err(Failure::system("set the mode of a file"))?;
        }
        fs::futimens(&file, &times(entry)).map_err(Failure::system("set the times of a file"))
    }

    fn folder(
        &mut self,
        folder: &Folder,
        name: &[u8],
        path: &[&[u8]],
        entry: &Entry,
    ) -> Result<(), Failure> {
        let mode = Mode::from_raw_mode(entry.mode);
        let mut made = fs::mkdirat(&folder.fd, name, mode);
        let was_there = made == Err(Errno::EXIST);
        if was_there && !is_folder(folder, name)? {
            self.folders.remove(folder, name)?;
            made = fs::mkdirat(&folder.fd, name, mode);
        } else if was_there {
            made = Ok(());
            self.folders.forget();
        }
        made.map_err(Failure::system("make a directory"))?;
        if was_there || self.folders.owner(folder, entry.owner).is_some() {
            chown(&folder.fd, name, entry.owner)?;
        }
        self.xattrs(folder, name, entry)?;
        if was_there || self.folders.changes_mode(folder, entry) {
            chmod(&folder.fd, name, mode)?;
        }
        self.later.push((path.join(&b'/'), times(entry)));
        Ok(())
    }

    fn link(&mut self, folder: &Folder, name: &[u8], entry: &Entry) -> Result<(), Failure> {
        let (above, last) = match entry.link.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&entry.link[..at], &entry.link[at + 1..]),
            None => (&b""[..], &entry.link[..]),
        };
        // containerd takes such a name apart in another order than that of a file.
        let mut dots = above.split(|byte| *byte == b'/');
        if matches!(last, b"" | b"." | b"..") || dots.any(|part| part == b"..") {
            return Err(Failure::unfit("a hard link in it has dots"));
        }
        let target = self.folders.find(&parts(above))?;
        let made = self.make(folder, name, "make a hard link", || {
            fs::linkat(&target.fd, last, &folder.fd, name, AtFlags::empty())
        });
        made?;
        // The file may have got another owner or a capability, and containerd gives it all anew.
        chown(&folder.fd, name, entry.owner)?;
        self.xattrs(folder, name, entry)?;
        let stat = fs::statat(&folder.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.map_err(Failure::system("look at a file"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            chmod(&folder.fd, name, Mode::from_raw_mode(entry.mode))?;
        }
        fs::utimensat(&folder.fd, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(Failure::system("set the times of a file"))
    }

    /// Makes something in the place of what is there.
    fn make<T>(
        &mut self,
        folder: &Folder,
        name: &[u8],
        doing: &'static str,
        make: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, Failure> {
        let made = match make() {
            Err(Errno::EXIST) => {
                self.folders.remove(folder, name)?;
                make()
            }
            made => made,
        };
        made.map_err(Failure::system(doing))
    }

    /// The attributes of a device or a symbolic link that was just made.
    fn finish(&mut self, folder: &Folder, name: &[u8], entry: &Entry) -> Result<(), Failure> {
        if self.folders.owner(folder, entry.owner).is_some() {
            chown(&folder.fd, name, entry.owner)?;
        }
        self.xattrs(folder, name, entry)?;
        if entry.kind != Kind::Symlink && self.folders.changes_mode(folder, entry) {
            chmod(&folder.fd, name, Mode::from_raw_mode(entry.mode))?;
        }
        fs::utimensat(&folder.fd, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(Failure::system("set the times of a file"))
    }

    /// The extended attributes of what has no file descriptor that could take them.
    fn xattrs(&mut self, folder: &Folder, name: &[u8], entry: &Entry) -> Result<(), Failure> {
        if entry.xattrs.is_empty() {
            return Ok(());
        }
        let path = folder.path_of(name);
        let stat = fs::statat(&folder.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.map_err(Failure::system("look at a file"))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let takes_all = matches!(kind, FileType::RegularFile | FileType::Directory);
        for (key, value) in &entry.xattrs {
            if key.as_slice() == b"system.posix_acl_default" {
                self.folders.acls = true;
            }
            set(key, takes_all, |none| {
                fs::lsetxattr(path.as_slice(), key.as_slice(), value, none)
            })?;
        }
        Ok(())
    }
}

/// Sets one extended attribute, where containerd would.
fn set(
    key: &[u8],
    takes_all: bool,
    set: impl FnOnce(fs::XattrFlags) -> Result<(), Errno>,
) -> Result<(), Failure> {
    if key.starts_with(b"trusted.") {
        return Ok(());
    }
    match set(fs::XattrFlags::empty()) {
        Err(Errno::NOTSUP) => Ok(()),
        Err(Errno::PERM) if !takes_all && key.starts_with(b"user.") => Ok(()),
        set => set.map_err(Failure::system("set an extended attribute")),
    }
}

fn chown(folder: impl AsFd, name: &[u8], owner: (u32, u32)) -> Result<(), Failure> {
    let (user, group) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
    fs::chownat(
        folder,
        name,
        Some(user),
        Some(group),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .map_err(Failure::system("give a file away"))
}

/// What is there was made by us and is no link.
fn chmod(folder: impl AsFd, name: &[u8], mode: Mode) -> Result<(), Failure> {
    fs::chmodat(folder, name, mode, AtFlags::empty())
        .map_err(Failure::system("set the mode of a file"))
}

fn is_folder(folder: &Folder, name: &[u8]) -> Result<bool, Failure> {
    let stat = fs::statat(&folder.fd, name, AtFlags::SYMLINK_NOFOLLOW);
    let stat = stat.map_err(Failure::system("look at a file"))?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// The times as containerd sets them: a file was read no earlier than it was changed, and a time that
/// Go can't count in nanoseconds is that of the epoch.
fn times(entry: &Entry) -> Timestamps {
    const LAST: (i64, u32) = (i64::MAX / 1_000_000_000, (i64::MAX % 1_000_000_000) as u32);
    let bound = |time: (i64, u32)| {
        let (seconds, nanoseconds) = match (0, 0) <= time && time <= LAST {
            true => time,
            false => (0, 0),
        };
        Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds.into(),
        }
    };
    let accessed = entry.accessed.unwrap_or(entry.modified);
    Timestamps {
        last_access: bound(accessed.max(entry.modified)),
        last_modification: bound(entry.modified),
    }
}
