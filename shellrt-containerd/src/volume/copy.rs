//! A directory of an image, merged from its layers, copied as it is: owners, modes, times, links,
//! devices, extended attributes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use crate::spec::layers::is_opaque;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Copies what `layers`, one directory in all its layers from the top, has together into the directory
/// `to`, and gives that the owner and the mode of the topmost.
///
/// # Errors
/// What the operating system refuses.
pub fn tree(layers: &[OwnedFd], to: &Path) -> io::Result<()> {
    let to = rustix::fs::open(to, DIRECTORY, Mode::empty())?;
    merge(layers, &to)
}

fn merge(layers: &[OwnedFd], to: &OwnedFd) -> io::Result<()> {
    for (name, place) in names(layers)? {
        let layer = &layers[place];
        let stat = rustix::fs::statat(layer, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let below = below(&layers[place..], &name)?;
                rustix::fs::mkdirat(to, name.as_os_str(), Mode::RWXU)?;
                let next = rustix::fs::openat(to, name.as_os_str(), DIRECTORY, Mode::empty())?;
                merge(&below, &next)?;
            }
            FileType::RegularFile => file(layer, &name, to, &stat)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(layer, name.as_os_str(), Vec::new())?;
                rustix::fs::symlinkat(target, to, name.as_os_str())?;
                own(to, &name, &stat)?;
            }
            // A socket without its program is nothing.
            FileType::Socket => {}
            kind => {
                let mode = Mode::from_raw_mode(stat.st_mode);
                rustix::fs::mknodat(to, name.as_os_str(), kind, mode, stat.st_rdev)?;
                own(to, &name, &stat)?;
                // The process's own mask took some of it away.
                rustix::fs::chmodat(to, name.as_os_str(), mode, AtFlags::empty())?;
            }
        }
    }
    let Some(top) = layers.first() else {
        return Ok(());
    };
    let stat = rustix::fs::fstat(top)?;
    attributes(top, to)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(to, Some(uid), Some(gid))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode))?;
    rustix::fs::futimens(to, &times(&stat))?;
    Ok(())
}

/// The names in a directory, each with the topmost layer that has it; those that are hidden are left
/// out.
fn names(layers: &[OwnedFd]) -> io::Result<BTreeMap<OsString, usize>> {
    let mut found = BTreeMap::new();
    for (place, layer) in layers.iter().enumerate() {
        for entry in Dir::read_from(layer)? {
            let entry = entry?;
            let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
            if name.as_bytes() != b"." && name.as_bytes() != b".." {
                found.entry(name).or_insert(place);
            }
        }
    }
    let mut seen = BTreeMap::new();
    for (name, place) in found {
        let stat = rustix::fs::statat(&layers[place], name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW)?;
        let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
        // A character device 0/0 says that there is nothing.
        if !(is_device && stat.st_rdev == 0) {
            seen.insert(name, place);
        }
    }
    Ok(seen)
}

/// The directory `name` in all layers that have it, down to the first that hides what is below.
fn below(layers: &[OwnedFd], name: &OsString) -> io::Result<Vec<OwnedFd>> {
    let mut found = Vec::new();
    for layer in layers {
        match rustix::fs::openat(layer, name.as_os_str(), DIRECTORY, Mode::empty()) {
            Ok(next) => {
                let hides = is_opaque(&next);
                found.push(next);
                if hides {
                    break;
                }
            }
            Err(Errno::NOENT) => {}
            // Another kind of file hides what is below it too.
            Err(Errno::NOTDIR | Errno::LOOP) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

fn file(layer: &OwnedFd, name: &OsString, to: &OwnedFd, stat: &Stat) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut from = File::from(rustix::fs::openat(
        layer,
        name.as_os_str(),
        flags,
        Mode::empty(),
    )?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut copy = File::from(rustix::fs::openat(to, name.as_os_str(), flags, Mode::RUSR)?);
    io::copy(&mut from, &mut copy)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    // A change of the owner takes capabilities and set-uid bits away, so these come after it.
    rustix::fs::fchown(&copy, Some(uid), Some(gid))?;
    attributes(&from, &copy)?;
    rustix::fs::fchmod(&copy, Mode::from_raw_mode(stat.st_mode))?;
    rustix::fs::futimens(&copy, &times(stat))?;
    copy.sync_data()
}

/// Copies extended attributes, but those of the overlay itself.
fn attributes(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    let mut list = vec![0_u8; 64 << 10];
    let length = match rustix::fs::flistxattr(&from, &mut list[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for name in list[..length].split(|&byte| byte == 0) {
        let is_overlay =
            name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
        if name.is_empty() || is_overlay {
            continue;
        }
        let mut value = vec![0_u8; 64 << 10];
        let size = rustix::fs::fgetxattr(&from, name, &mut value[..])?;
        match rustix::fs::fsetxattr(&to, name, &value[..size], XattrFlags::empty()) {
            // The file system of the volume may not have them.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn own(to: &OwnedFd, name: &OsString, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::chownat(
        to,
        name.as_os_str(),
        Some(uid),
        Some(gid),
        flags,
    )?)
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or_default(),
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};

    use crate::spec::Layers;

    /// What overlayfs would show of two layers.
    #[test]
    fn layers_are_merged_and_hidden_files_stay_hidden() {
        if !rustix::process::geteuid().is_root() {
            println!("ignored: needs root to make a whiteout");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (lower, upper) = (dir.path().join("lower"), dir.path().join("upper"));
        for layer in [&lower, &upper] {
            fs::create_dir_all(layer.join("data/sub")).unwrap();
            fs::create_dir_all(layer.join("data/opaque")).unwrap();
        }
        fs::write(lower.join("data/old"), "lower").unwrap();
        fs::write(upper.join("data/old"), "upper").unwrap();
        fs::write(lower.join("data/gone"), "lower").unwrap();
        fs::write(lower.join("data/sub/kept"), "kept").unwrap();
        fs::write(lower.join("data/opaque/hidden"), "lower").unwrap();
        symlink("/etc/passwd", upper.join("data/link")).unwrap();
        fs::set_permissions(upper.join("data/old"), fs::Permissions::from_mode(0o4750)).unwrap();
        std::os::unix::fs::chown(upper.join("data/sub"), Some(7), Some(8)).unwrap();
        let whiteout = rustix::fs::FileType::CharacterDevice;
        let path = upper.join("data/gone");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            whiteout,
            rustix::fs::Mode::empty(),
            0,
        )
        .unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        let opaque = upper.join("data/opaque");
        rustix::fs::setxattr(&opaque, "trusted.overlay.opaque", b"y", flags).unwrap();

        let layers = Layers(vec![upper, lower]);
        let volume = dir.path().join("volume");
        super::super::fill(&volume, "/data", Some(&layers)).unwrap();
        let read = |name: &str| fs::read_to_string(volume.join(name)).ok();
        assert_eq!(read("old").as_deref(), Some("upper"));
        assert_eq!(read("gone"), None);
        assert_eq!(read("sub/kept").as_deref(), Some("kept"));
        assert_eq!(read("opaque/hidden"), None);
        assert_eq!(
            fs::read_link(volume.join("link")).unwrap().to_str(),
            Some("/etc/passwd")
        );
        assert_eq!(
            fs::metadata(volume.join("old")).unwrap().mode() & 0o7777,
            0o4750
        );
        let sub = fs::metadata(volume.join("sub")).unwrap();
        assert_eq!((sub.uid(), sub.gid()), (7, 8));
        // One that is there is left as it is.
        fs::write(volume.join("old"), "own").unwrap();
        super::super::fill(&volume, "/data", Some(&layers)).unwrap();
        assert_eq!(read("old").as_deref(), Some("own"));
    }
}
