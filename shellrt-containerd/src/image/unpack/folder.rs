//! The directories of a layer that is being unpacked: open while they are in use, made where the layer
//! leaves them out, and what their files get from them without being asked.

use std::collections::HashMap;
use std::rc::Rc;

use rustix::fd::OwnedFd;
use rustix::fs::{self, AtFlags, Dir, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::entry::Entry;
use super::failure::Failure;
use super::place;

/// How many directories are kept open.
const OPEN_MAX: usize = 128;

/// The mode of a directory that the layer leaves out.
const MADE: u32 = 0o755;

/// The attribute with which a directory gives its files more than their mode.
const DEFAULT_ACL: &str = "system.posix_acl_default";

/// An open directory.
pub(super) struct Folder {
    pub(super) fd: OwnedFd,
    /// Whether what is made in it belongs to our own group.
    is_plain: bool,
}

impl Folder {
    fn new(fd: OwnedFd, group: Gid) -> Result<Folder, Failure> {
        let stat = fs::fstat(&fd).map_err(Failure::system("look at a directory"))?;
        let passes_on = Mode::from_raw_mode(stat.st_mode).contains(Mode::SGID);
        Ok(Folder {
            is_plain: !passes_on && stat.st_gid == group.as_raw(),
            fd,
        })
    }

    /// A path to something in it, for calls that take no directory.
    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        use rustix::fd::AsRawFd;
        let folder = format!("/proc/self/fd/{}/", self.fd.as_raw_fd());
        [folder.as_bytes(), name].concat()
    }
}

/// All directories of a layer.
pub(super) struct Folders {
    root: Rc<Folder>,
    /// Those of the layers below, the highest first.
    below: Vec<OwnedFd>,
    open: HashMap<Vec<u8>, Rc<Folder>>,
    user: Uid,
    group: Gid,
    /// The bits that new files lack.
    masked: u32,
    /// Whether directories may give their files access control lists.
    pub(super) acls: bool,
    /// Whether anything was taken away, so that a path may lead elsewhere now.
    pub(super) moved: bool,
}

impl Folders {
    pub(super) fn new(root: OwnedFd, below: Vec<OwnedFd>) -> Result<Folders, Failure> {
        let group = rustix::process::getegid();
        let acls = match fs::fgetxattr(&root, DEFAULT_ACL, &mut [0u8; 0]) {
            Ok(_) => true,
            Err(Errno::NODATA | Errno::NOTSUP) => false,
            Err(errno) => return Err(Failure::system("look at a directory")(errno)),
        };
        Ok(Folders {
            root: Rc::new(Folder::new(root, group)?),
            below,
            open: HashMap::new(),
            user: rustix::process::geteuid(),
            group,
            masked: masked(),
            acls,
            moved: false,
        })
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root.fd
    }

    /// The directory at a path, which is made where it is not there.
    pub(super) fn get(&mut self, path: &[&[u8]]) -> Result<Rc<Folder>, Failure> {
        if path.is_empty() {
            return Ok(self.root.clone());
        }
        let key = path.join(&b'/');
        if let Some(folder) = self.open.get(&key) {
            return Ok(folder.clone());
        }
        let folder = match self.open(&key) {
            Err(Errno::LOOP) => {
                let real = place::follow(&self.root.fd, path)?;
                let real: Vec<&[u8]> = real.iter().map(Vec::as_slice).collect();
                self.get(&real)?
            }
            // What of it is there has no link in it.
            Err(Errno::NOENT) => self.make(path)?,
            opened => self.folder(opened.map_err(Failure::system("open a directory"))?)?,
        };
        self.keep(key, folder.clone());
        Ok(folder)
    }

    /// The directory at a path.
    ///
    /// # Errors
    /// [`Failure::System`] where it is not there.
    pub(super) fn find(&mut self, path: &[&[u8]]) -> Result<Rc<Folder>, Failure> {
        let key = path.join(&b'/');
        if let Some(folder) = self.open.get(&key) {
            return Ok(folder.clone());
        }
        let opened = match self.open(&key) {
            Err(Errno::LOOP) => {
                let real = place::follow(&self.root.fd, path)?;
                self.open(&real.join(&b'/'))
            }
            opened => opened,
        };
        let folder = self.folder(opened.map_err(Failure::system("open a directory"))?)?;
        self.keep(key, folder.clone());
        Ok(folder)
    }

    /// Closes what is open, because it is not what it was.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    /// Removes what is in a directory under this name, with all that is in it.
    pub(super) fn remove(&mut self, folder: &Folder, name: &[u8]) -> Result<(), Failure> {
        match remove(&folder.fd, name) {
            Ok(()) => {
                self.forget();
                self.moved = true;
                Ok(())
            }
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Failure::system("remove a file")(errno)),
        }
    }

    /// Whom a new file must be given to; `None` where it belongs to them already.
    pub(super) fn owner(&self, folder: &Folder, owner: (u32, u32)) -> Option<(Uid, Gid)> {
        let (user, group) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
        let is_ours = user == self.user && group == self.group && self.is_plain(folder);
        (!is_ours).then_some((user, group))
    }

    /// Whether a new file has perhaps not the mode that it was made with.
    pub(super) fn changes_mode(&self, folder: &Folder, entry: &Entry) -> bool {
        let is_of_system = |(key, _): &(Vec<u8>, Vec<u8>)| key.starts_with(b"system.");
        // A new owner, and what is written, take the first two bits away.
        entry.mode & (0o6000 | self.masked) != 0
            || !self.is_plain(folder)
            || entry.xattrs.iter().any(is_of_system)
    }

    fn is_plain(&self, folder: &Folder) -> bool {
        folder.is_plain && !self.acls
    }

    fn open(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        place::open(&self.root.fd, path, OFlags::PATH | OFlags::DIRECTORY)
    }

    fn folder(&self, fd: OwnedFd) -> Result<Rc<Folder>, Failure> {
        Ok(Rc::new(Folder::new(fd, self.group)?))
    }

    fn keep(&mut self, key: Vec<u8>, folder: Rc<Folder>) {
        if self.open.len() >= OPEN_MAX {
            self.open.clear();
        }
        self.open.insert(key, folder);
    }

    /// Makes the directory at a path without links, and those above it.
    fn make(&mut self, path: &[&[u8]]) -> Result<Rc<Folder>, Failure> {
        let Some((name, above)) = path.split_last() else {
            return Ok(self.root.clone());
        };
        let above = self.get(above)?;
        let mode = Mode::from_raw_mode(MADE);
        fs::mkdirat(&above.fd, *name, mode).map_err(Failure::system("make a directory"))?;
        if self.masked & MADE != 0 || !self.is_plain(&above) {
            fs::chmodat(&above.fd, *name, mode, AtFlags::empty())
                .map_err(Failure::system("set the mode of a directory"))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = fs::openat(&above.fd, *name, flags, Mode::empty());
        let made = made.map_err(Failure::system("open a directory"))?;
        if let Some((lower, stat)) = self.lower(path)? {
            copy(&lower, &stat, &made)?;
            self.acls |= fs::fgetxattr(&made, DEFAULT_ACL, &mut [0u8; 0]).is_ok();
        }
        self.folder(made)
    }

    /// The directory that the layers below have at this path.
    fn lower(&self, path: &[&[u8]]) -> Result<Option<(OwnedFd, Stat)>, Failure> {
        let whole = path.join(&b'/');
        for below in &self.below {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let opened = match place::open(below, &whole, flags) {
                Err(Errno::NOENT) => continue,
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    let real = place::follow(below, path)?.join(&b'/');
                    match place::open(below, &real, OFlags::PATH | OFlags::NOFOLLOW) {
                        Err(Errno::NOENT) => continue,
                        found => drop(found.map_err(Failure::system("open a directory below"))?),
                    }
                    match place::open(below, &real, flags) {
                        Err(Errno::NOTDIR) => return Ok(None),
                        opened => opened,
                    }
                }
                opened => opened,
            };
            let opened = opened.map_err(Failure::system("open a directory below"))?;
            let stat = fs::fstat(&opened).map_err(Failure::system("look at a directory below"))?;
            return Ok(Some((opened, stat)));
        }
        Ok(None)
    }
}

/// Gives a directory the attributes that one of the layers below has.
fn copy(from: &OwnedFd, stat: &Stat, to: &OwnedFd) -> Result<(), Failure> {
    let copying = || Failure::system("copy the attributes of a directory");
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    let now = fs::fstat(to).map_err(copying())?;
    if (now.st_uid, now.st_gid) != (stat.st_uid, stat.st_gid) {
        fs::fchown(to, Some(user), Some(group)).map_err(copying())?;
    }
    if now.st_mode != stat.st_mode {
        fs::fchmod(to, Mode::from_raw_mode(stat.st_mode)).map_err(copying())?;
    }
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds.cast_signed(),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    fs::futimens(to, &times).map_err(copying())?;
    let mut names = [0; 4096];
    let length = match fs::flistxattr(from, &mut names[..]) {
        Err(Errno::NOTSUP | Errno::NODATA) => 0,
        length => length.map_err(copying())?,
    };
    let names = names[..length].split(|byte| *byte == 0);
    for name in names.filter(|name| !name.is_empty() && !name.starts_with(b"trusted.")) {
        // No value is longer.
        let mut value = vec![0; 64 << 10];
        let length = match fs::fgetxattr(from, name, &mut value[..]) {
            Err(Errno::NOTSUP | Errno::NODATA) => continue,
            length => length.map_err(copying())?,
        };
        match fs::fsetxattr(to, name, &value[..length], fs::XattrFlags::CREATE) {
            Err(Errno::NOTSUP | Errno::NODATA | Errno::EXIST) => {}
            set => set.map_err(copying())?,
        }
    }
    Ok(())
}

/// Removes something with all that is in it, and follows no link.
fn remove(folder: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    match fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        removed => return removed,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = fs::openat(folder, name, flags, Mode::empty())?;
    for entry in Dir::read_from(&inner)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            remove(&inner, name)?;
        }
    }
    fs::unlinkat(folder, name, AtFlags::REMOVEDIR)
}

/// The bits of this process's umask; all where it is not to be seen.
fn masked() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        .unwrap_or(0o7777)
}
