//! The network namespace of a module: made before its task and held by a mount, as `ip netns` does.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::mount::{mount_bind, unmount, UnmountFlags};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    sendto, socket_with, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
};
use rustix::thread::{move_into_link_name_space, LinkNameSpaceType, UnshareFlags};

use super::error::Error;

/// Where the namespaces are.
const DIR: &str = "/run/netns";

/// The namespace of the module with this id.
pub fn path(id: &str) -> PathBuf {
    Path::new(DIR).join(id)
}

/// Goes where `daemon` is, since what it starts can only be given what is there. For a process with one
/// thread.
///
/// # Errors
/// What the operating system refuses.
pub fn enter(daemon: i32) -> Result<(), Error> {
    for (name, kind) in [
        ("net", LinkNameSpaceType::Network),
        ("mnt", LinkNameSpaceType::Mount),
    ] {
        let theirs = format!("/proc/{daemon}/ns/{name}");
        let ours = format!("/proc/self/ns/{name}");
        let is_other = match (fs::read_link(&theirs), fs::read_link(&ours)) {
            (Ok(theirs), Ok(ours)) => theirs != ours,
            // It is out of sight, so nothing better than ours is known.
            _ => false,
        };
        if is_other {
            let path = Path::new(&theirs);
            let file = File::open(path).map_err(|source| Error::file("open", path, source))?;
            move_into_link_name_space(file.as_fd(), Some(kind))
                .map_err(|errno| Error::file("enter", path, errno))?;
        }
    }
    Ok(())
}

/// Makes a namespace whose loopback device is up. For a process with one thread.
///
/// # Errors
/// What the operating system refuses; then there is none.
pub fn make(path: &Path) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(path);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
        .map_err(|source| Error::file("make", dir, source))?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(path)
        .map_err(|source| Error::file("make", path, source))?;
    let failed = |doing, errno: rustix::io::Errno| Error::system(doing, errno);
    let own = Path::new("/proc/self/ns/net");
    let home = File::open(own).map_err(|source| Error::file("open", own, source))?;
    unshare().map_err(|errno| failed("make a network namespace", errno))?;
    let made = raise_loopback()
        .map_err(|source| Error::system("raise the loopback device", source))
        .and_then(|()| mount_bind(own, path).map_err(|errno| Error::file("mount", path, errno)));
    move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|errno| failed("return from a network namespace", errno))?;
    made
}

#[allow(
    deprecated,
    reason = "only a table of files that is left makes it unsafe, and none is left here"
)]
fn unshare() -> rustix::io::Result<()> {
    rustix::thread::unshare(UnshareFlags::NEWNET)
}

/// Removes a namespace, with the devices in it that nothing else holds; one that is not there is removed
/// already.
///
/// # Errors
/// What the operating system refuses.
pub fn remove(path: &Path) -> Result<(), Error> {
    // Several may lie upon each other. It is no mount any more where the power went.
    while unmount(path, UnmountFlags::DETACH).is_ok() {}
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", path, source))
        }
        _ => Ok(()),
    }
}

/// Raises the loopback device of this process's namespace, by one message of rtnetlink(7).
fn raise_loopback() -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST_AND_ACK: u16 = 1 | 4;
    const NLMSG_ERROR: u16 = 2;
    const IFF_UP: u32 = 1;
    // In a new namespace it is always the first.
    const LOOPBACK: i32 = 1;
    let mut message = Vec::with_capacity(32);
    // struct nlmsghdr: length, type, flags, sequence, port
    message.extend(32_u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST_AND_ACK.to_ne_bytes());
    message.extend(1_u32.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    // struct ifinfomsg: family and padding, type, index, flags, which of the flags are meant
    message.extend([0; 4]);
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    sendto(
        &socket,
        &message,
        SendFlags::empty(),
        &SocketAddrNetlink::new(0, 0),
    )?;
    let mut answer = [0; 256];
    let (length, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
    // struct nlmsgerr, after the header: a negative errno, or 0
    let kind = answer
        .get(4..6)
        .map(|it| u16::from_ne_bytes([it[0], it[1]]));
    match (kind, answer.get(16..20)) {
        (Some(NLMSG_ERROR), Some(&[a, b, c, d])) if length >= 20 => {
            match i32::from_ne_bytes([a, b, c, d]) {
                0 => Ok(()),
                errno => Err(io::Error::from_raw_os_error(-errno)),
            }
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
