//! Processes: who one is, beyond reuse of its pid, and the few system calls around them that need
//! `unsafe`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::process::{PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

/// A process of this or an earlier boot. A pid alone is used again sooner or later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The process id.
    pub pid: u32,
    /// When it began, in clock ticks since the boot: field 22 of `/proc/<pid>/stat`.
    pub started: u64,
}

impl Identity {
    /// The identity of a process that exists.
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Identity {
            pid,
            started: Stat::read(pid)?.started,
        })
    }

    /// Whether the process still runs; one that ended and was not waited for does not.
    pub fn is_alive(&self) -> bool {
        Stat::read(self.pid).is_ok_and(|stat| stat.started == self.started && !stat.is_dead)
    }

    /// Sends `signal`, if the process still exists. The pidfd is opened before the start time is
    /// compared, so that the signal can't reach another process.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(pid) = i32::try_from(self.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        else {
            return Ok(());
        };
        let gone = |errno| match errno {
            rustix::io::Errno::SRCH => Ok(()),
            other => Err(io::Error::from(other)),
        };
        let process = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(rustix::io::Errno::NOSYS) => {
                // Linux before 5.3 has no pidfd; the moment between look and signal stays.
                return match Identity::of(self.pid) {
                    Ok(found) if found == *self => {
                        rustix::process::kill_process(pid, signal).or_else(gone)
                    }
                    _ => Ok(()),
                };
            }
            Err(errno) => return gone(errno),
        };
        match Identity::of(self.pid) {
            Ok(found) if found == *self => {
                rustix::process::pidfd_send_signal(&process, signal).or_else(gone)
            }
            _ => Ok(()),
        }
    }
}

/// What `/proc/<pid>/stat` says of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Whether it has ended, and only its parent has not asked how.
    pub is_dead: bool,
    /// Its parent.
    pub parent: u32,
    /// User and system time, in clock ticks.
    pub cpu_ticks: u64,
    /// When it began, in clock ticks since the boot.
    pub started: u64,
    /// Resident memory, in pages.
    pub resident_pages: u64,
}

impl Stat {
    /// Reads it.
    pub fn read(pid: u32) -> io::Result<Self> {
        let text = fs::read(format!("/proc/{pid}/stat"))?;
        Stat::parse(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The second field is the name in parentheses and may contain anything, parentheses too, so
    /// fields are counted from the last one.
    fn parse(text: &[u8]) -> Option<Self> {
        let end = text.iter().rposition(|&byte| byte == b')')?;
        let rest = std::str::from_utf8(&text[end + 1..]).ok()?;
        // The first field here is number 3 in proc(5).
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Stat {
            is_dead: ["Z", "X"].contains(fields.first()?),
            parent: u32::try_from(number(4)?).ok()?,
            cpu_ticks: number(14)? + number(15)?,
            started: number(22)?,
            resident_pages: number(24)?,
        })
    }
}

/// The kernel's id of the current boot.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// When the machine was booted, in nanoseconds since the epoch.
pub fn boot_time() -> io::Result<i64> {
    let text = fs::read_to_string("/proc/stat")?;
    let seconds = text
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse::<i64>().ok());
    seconds
        .map(|seconds| seconds * 1_000_000_000)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

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
    // Read first, close then: the descriptor of the directory itself is among them.
    let open: BTreeSet<RawFd> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for fd in open {
        if fd > 2 && !keep.contains(&fd) {
            // SAFETY: the owners of these live in the parent's part of the stack, to which this
            // process never returns, so nothing here uses or closes them again.
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

/// The name of a signal, as in "SIGKILL".
pub fn signal_name(number: i32) -> String {
    let known = [
        (libc::SIGHUP, "SIGHUP"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGQUIT, "SIGQUIT"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGKILL, "SIGKILL"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGPIPE, "SIGPIPE"),
        (libc::SIGALRM, "SIGALRM"),
        (libc::SIGTERM, "SIGTERM"),
    ];
    let name = known.iter().find(|(known, _)| *known == number);
    name.map_or_else(
        || format!("signal {number}"),
        |(_, name)| (*name).to_owned(),
    )
}

/// The name of a process; those of a module were forked and have no command line of their own.
pub fn name(pid: u32) -> String {
    let name = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("comm"));
    name.unwrap_or_default().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Identity, Stat};

    #[test]
    fn stat_with_a_hostile_name() {
        let text =
            b"7 (a) R 9 (b) S 3 7 7 0 -1 4194560 1 2 3 4 50 60 0 0 20 0 1 0 12345 1000 250 1";
        let stat = Stat::parse(text).unwrap();
        let expected = Stat {
            is_dead: false,
            parent: 3,
            cpu_ticks: 110,
            started: 12345,
            resident_pages: 250,
        };
        assert_eq!(stat, expected);
        assert_eq!(Stat::parse(b"7 (a) R 9"), None);
    }

    #[test]
    fn a_signal_reaches_only_the_process_that_is_meant() {
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let found = Identity::of(child.id()).unwrap();
        let other = Identity {
            started: found.started + 1,
            ..found.clone()
        };
        other.signal(rustix::process::Signal::KILL).unwrap();
        assert!(child.try_wait().unwrap().is_none());
        found.signal(rustix::process::Signal::KILL).unwrap();
        child.wait().unwrap();
        found.signal(rustix::process::Signal::KILL).unwrap();
    }
}
