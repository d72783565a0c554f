//! Paths of a layer, and the directories that they lead to: never out of the layer's own, whatever
//! links and dots there are on the way.
//!
//! Links and dots mean what they mean to containerd: dots are taken away by the letters of the path,
//! and a link is followed inside the layer's directory. What comes out of that has no link any more,
//! and the kernel is asked to follow none.

use std::collections::VecDeque;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::failure::Failure;

/// How many links one path may have, as for containerd.
const LINKS_MAX: u32 = 255;

/// The parts of a path without dots; it never leads above its beginning.
pub(super) fn parts(path: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts
}

/// Opens what is at a path that has neither links nor dots.
pub(super) fn open(root: impl AsFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// The path that `path` leads to when its links are followed. Parts that are not there stay.
///
/// # Errors
/// [`Failure::Unfit`] where links go in a circle, [`Failure::System`] where something on the way is no
/// directory.
pub(super) fn follow(root: &OwnedFd, path: &[&[u8]]) -> Result<Vec<Vec<u8>>, Failure> {
    let mut open_parts: VecDeque<Vec<u8>> = path.iter().map(|part| part.to_vec()).collect();
    let mut known: Vec<Vec<u8>> = Vec::new();
    let mut links = 0;
    while let Some(part) = open_parts.pop_front() {
        known.push(part);
        let Some(target) = link(root, &known.join(&b'/'))? else {
            continue;
        };
        links += 1;
        if links > LINKS_MAX {
            return Err(Failure::unfit("links in it go in a circle"));
        }
        known.pop();
        if target.starts_with(b"/") {
            known.clear();
        }
        let joined = [known.join(&b'/'), target].join(&b'/');
        // What the link says may have links of its own.
        for part in parts(&joined).into_iter().rev() {
            open_parts.push_front(part.to_vec());
        }
        known.clear();
    }
    Ok(known)
}

/// What the link at a path says; `None` where there is none.
fn link(root: &OwnedFd, path: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let found = match open(root, path, OFlags::PATH | OFlags::NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        found => found.map_err(Failure::system("follow a path"))?,
    };
    let stat = fs::fstat(&found).map_err(Failure::system("follow a path"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Ok(None);
    }
    let target = fs::readlinkat(&found, b"".as_slice(), Vec::new());
    let target = target.map_err(Failure::system("read a link"))?;
    Ok(Some(target.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn dots_never_lead_out() {
        let joined = |path: &str| {
            let parts = parts(path.as_bytes());
            String::from_utf8(parts.join(&b'/')).unwrap()
        };
        for (path, clean) in [
            ("a/b", "a/b"),
            ("./a//b/", "a/b"),
            ("/a", "a"),
            ("../../a", "a"),
            ("a/../../b", "b"),
            ("..", ""),
            ("/", ""),
        ] {
            assert_eq!(joined(path), clean, "{path}");
        }
    }

    #[test]
    fn links_are_followed_inside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        for (link, target) in [
            ("out", "../../../../etc"),
            ("absolute", "/a/b"),
            ("a/up", "../a/b"),
            ("chain", "a/up"),
            ("circle", "circle"),
            ("gone", "not/there"),
        ] {
            symlink(target, folder.path().join(link)).unwrap();
        }
        let root = OwnedFd::from(std::fs::File::open(folder.path()).unwrap());
        let followed = |path: &str| {
            let followed = follow(&root, &parts(path.as_bytes()));
            followed.map(|parts| String::from_utf8(parts.join(&b'/')).unwrap())
        };
        for (path, real) in [
            ("a/b", "a/b"),
            ("out/passwd", "etc/passwd"),
            ("absolute/c", "a/b/c"),
            ("chain/c", "a/b/c"),
            ("gone/c", "not/there/c"),
        ] {
            assert_eq!(followed(path).unwrap(), real, "{path}");
        }
        assert!(followed("circle/c").is_err());
        // The kernel follows none of them.
        for path in ["out", "absolute", "chain"] {
            let opened = open(&root, path.as_bytes(), OFlags::PATH | OFlags::DIRECTORY);
            assert_eq!(opened.unwrap_err(), Errno::LOOP, "{path}");
        }
        let above = open(&root, b"../", OFlags::PATH);
        assert_eq!(above.unwrap_err(), Errno::XDEV);
    }
}
