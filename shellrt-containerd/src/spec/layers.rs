//! Files of an image, read where the snapshotter keeps its layers, without mounting anything: this
//! process need not be where containerd's mounts are seen.
//!
//! What is found is what overlayfs would show: the topmost layer wins, directories are merged, a
//! character device 0/0 hides what is below it, and so does a directory that is marked opaque. A
//! symbolic link is followed as in the container; no path leaves the layers.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

/// The directories of a snapshot, topmost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layers(
    /// The directories.
    pub Vec<PathBuf>,
);

/// How often a symbolic link is followed, as in the kernel.
const MAX_LINKS: u32 = 40;

/// How large a file may be that is read. No table of users is that large.
const MAX_SIZE: u64 = 4 << 20;

impl Layers {
    /// From a mount that the snapshotter gives: an `overlay` or a `bind`. `None` for others, whose
    /// files can't be seen without mounting them.
    pub fn of_mount(kind: &str, source: &str, options: &[String]) -> Option<Self> {
        match kind {
            "bind" => Some(Layers(vec![PathBuf::from(source)])),
            "overlay" => {
                let value = |name: &str| options.iter().find_map(|o| o.strip_prefix(name));
                let upper = value("upperdir=").map(unescape);
                let lower = value("lowerdir=").map(split).unwrap_or_default();
                Some(Layers(upper.into_iter().chain(lower).collect()))
            }
            _ => None,
        }
    }

    /// The content of the file at `path`, which is absolute in the container; `None` where there is
    /// no such file.
    ///
    /// # Errors
    /// The layers can't be read, or the file is too large for what it should be.
    pub fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open(path)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        file.take(MAX_SIZE + 1).read_to_end(&mut content)?;
        if content.len() as u64 > MAX_SIZE {
            let reason = format!("{path:?} of the image is larger than {MAX_SIZE} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(Some(content))
    }

    /// The directory at `path`, which is absolute in the container, in all layers that have it, the
    /// topmost first; `None` where there is none.
    ///
    /// # Errors
    /// The layers can't be read.
    pub fn directory(&self, path: &str) -> io::Result<Option<Vec<OwnedFd>>> {
        Ok(match self.find(path)? {
            Entry::Directory(layers) => Some(layers),
            _ => None,
        })
    }

    fn open(&self, path: &str) -> io::Result<Option<File>> {
        Ok(match self.find(path)? {
            Entry::File(file) => Some(file),
            _ => None,
        })
    }

    fn find(&self, path: &str) -> io::Result<Entry> {
        let root = self.root()?;
        // From the root to where we are; each is one directory in all its layers.
        let mut place: Vec<Vec<OwnedFd>> = Vec::new();
        let mut rest: VecDeque<String> = parts(path);
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                place.pop();
                continue;
            }
            match entry(place.last().unwrap_or(&root), &name)? {
                Entry::None => return Ok(Entry::None),
                Entry::Directory(layers) => place.push(layers),
                Entry::File(file) if rest.is_empty() => return Ok(Entry::File(file)),
                Entry::File(_) => return Ok(Entry::None),
                Entry::Link(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Ok(Entry::None);
                    }
                    if target.starts_with('/') {
                        place.clear();
                    }
                    for part in parts(&target).into_iter().rev() {
                        rest.push_front(part);
                    }
                }
            }
        }
        Ok(place.pop().map_or(Entry::None, Entry::Directory))
    }

    fn root(&self) -> io::Result<Vec<OwnedFd>> {
        let directories = self.0.iter().map(|path| {
            rustix::fs::open(path, DIRECTORY, Mode::empty())
                .map_err(|error| io::Error::other(format!("{path:?}: {}", io::Error::from(error))))
        });
        directories.collect()
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// What a name stands for in a directory.
enum Entry {
    None,
    Directory(Vec<OwnedFd>),
    File(File),
    Link(String),
}

/// Looks a name up in one directory, given in all its layers from the top.
fn entry(directory: &[OwnedFd], name: &str) -> io::Result<Entry> {
    let mut found = Vec::new();
    for layer in directory {
        let stat = match rustix::fs::statat(layer, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let next = rustix::fs::openat(layer, name, DIRECTORY, Mode::empty())?;
                let hides = is_opaque(&next);
                found.push(next);
                if hides {
                    break;
                }
            }
            // Below a directory another kind of file is hidden, and so is all below that.
            _ if !found.is_empty() => break,
            FileType::RegularFile => {
                // A running container can put a pipe in its place at any time.
                let safe = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let flags = OFlags::RDONLY | safe;
                let file = rustix::fs::openat(layer, name, flags, Mode::empty())?;
                return Ok(Entry::File(File::from(file)));
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(layer, name, Vec::new())?;
                return Ok(Entry::Link(target.to_string_lossy().into_owned()));
            }
            // A character device 0/0 says that there is nothing. Other special files hold no text.
            _ => return Ok(Entry::None),
        }
    }
    Ok(if found.is_empty() {
        Entry::None
    } else {
        Entry::Directory(found)
    })
}

/// Whether a directory hides what lower layers have in it. Without root the mark has another name.
pub fn is_opaque(directory: &OwnedFd) -> bool {
    ["trusted.overlay.opaque", "user.overlay.opaque"]
        .into_iter()
        .any(|name| {
            let mut value = [0_u8; 1];
            let length = rustix::fs::fgetxattr(directory, name, &mut value[..]);
            length == Ok(1) && value == *b"y"
        })
}

fn parts(path: &str) -> VecDeque<String> {
    let parts = path.split('/');
    parts
        .filter(|part| !part.is_empty() && *part != ".")
        .map(str::to_owned)
        .collect()
}

/// Splits the value of `lowerdir`; a colon in a path has a backslash before it.
fn split(value: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (index, c) in value.char_indices() {
        if c == ':' && !escaped {
            paths.push(unescape(&value[start..index]));
            start = index + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    paths.push(unescape(&value[start..]));
    // Two colons begin layers that hold only data.
    paths.retain(|path| path != Path::new(""));
    paths
}

fn unescape(path: &str) -> PathBuf {
    let mut plain = String::new();
    let mut characters = path.chars();
    while let Some(c) = characters.next() {
        plain.push(if c == '\\' {
            characters.next().unwrap_or(c)
        } else {
            c
        });
    }
    PathBuf::from(plain)
}
