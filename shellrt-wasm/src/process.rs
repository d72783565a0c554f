//! Forked processes: the few system calls around them that need `unsafe`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::process::Signal;

/// Which side of a fork this is.
pub enum Fork {
    /// The caller, with the pid of its new child.
    Parent(rustix::process::Pid),
    /// The new process.
    Child,
}

/// Forks. Only for a process with one thread: the child of one with more could wait for ever for a
/// lock that a thread held which it does not have.
pub fn fork() -> io::Result<Fork> {
    debug_assert!(
        matches!(threads(), Ok(1) | Err(_)),
        "a fork beside other threads"
    );
    // SAFETY: with a single thread the child is a whole copy, and may do all that the parent may.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => match rustix::process::Pid::from_raw(pid) {
            Some(pid) => Ok(Fork::Parent(pid)),
            None => Err(io::ErrorKind::InvalidData.into()),
        },
    }
}

fn threads() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/task")?.count())
}

/// Ends this process at once: a forked copy must not run what the original registered for its exit.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: it has no preconditions and does not return.
    unsafe { libc::_exit(status) }
}

/// Makes a forked child a process of its own: no terminal, no directory, no stdio, and no descriptor
/// of its parent's but `keep`. One forgotten end of a pipe would let the plugin's caller wait for
/// ever, and one forgotten lock everybody.
pub fn detach(name: &str, keep: &[RawFd]) -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::chdir("/")?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let null = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    drop(null);
    set_name(name);
    close_all_but(keep)
}

/// Closes every descriptor but stdio and `keep`. Whoever owns one of them must be forgotten, not
/// dropped.
pub fn close_all_but(keep: &[RawFd]) -> io::Result<()> {
    let mut kept: Vec<u32> = keep
        .iter()
        .filter_map(|&fd| u32::try_from(fd).ok())
        .collect();
    kept.sort_unstable();
    let mut first = 3;
    for last in kept.into_iter().filter(|&fd| fd >= 3).chain([u32::MAX]) {
        // Nothing lies between two that are side by side, and the last bound is no descriptor.
        if first < last {
            close_range(first, last - 1)?;
        }
        first = last.saturating_add(1);
    }
    Ok(())
}

/// Closes the descriptors from `first` to `last`, open or not.
fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: the owners of these live in the parent's part of the stack, to which this process never
    // returns, so nothing here uses or closes them again.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => return Ok(()),
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) => {}
        _ => return Err(io::Error::last_os_error()),
    }
    // Linux before 5.9. Read first, close then: the descriptor of the directory is among them.
    let open: BTreeSet<u32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for &fd in open.range(first..=last) {
        if let Ok(fd) = RawFd::try_from(fd) {
            // SAFETY: as above.
            unsafe { libc::close(fd) };
        }
    }
    Ok(())
}

/// Sets what `ps` shows for a process that was forked and not executed; 15 bytes of it.
pub fn set_name(name: &str) {
    let short: Vec<u8> = name.bytes().filter(|&byte| byte != 0).take(15).collect();
    if let Ok(name) = std::ffi::CString::new(short) {
        // A name is a courtesy: without it everything works.
        let _ = rustix::thread::set_name(&name);
    }
}

/// Blocks `signals` for this process and returns a descriptor that reads them.
pub fn signal_fd(signals: &[Signal]) -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by `sigemptyset` before it is used, and the descriptor that
    // `signalfd` returns is new and owned by nobody else.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, signal.as_raw());
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        match libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// The number of the next signal from a descriptor of [`signal_fd`].
pub fn next_signal(signals: &OwnedFd) -> Option<i32> {
    let mut info = [0; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(signals, &mut info) {
        // The signal's number is the first field.
        Ok(length) if length == info.len() => {
            Some(i32::from_ne_bytes([info[0], info[1], info[2], info[3]]))
        }
        _ => None,
    }
}

/// Gives a forked child the default signal mask again.
pub fn unblock_signals() -> io::Result<()> {
    // SAFETY: the set is initialised by `sigemptyset` before it is used.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&mut set);
        match libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut()) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
