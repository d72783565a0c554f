//! Processes: who one is, beyond reuse of its pid, and what procfs says of it.

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

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
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is none.
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

    /// A descriptor that can be read when the process has ended; `None` where it is gone already, and
    /// where the kernel has no such descriptors (Linux before 5.3).
    ///
    /// # Errors
    /// What the operating system refuses: too many descriptors.
    pub fn watch(&self) -> io::Result<Option<OwnedFd>> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let opened = pid.map(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()));
        match opened {
            // Opened before the look, so it is of the process that is looked at.
            Some(Ok(process)) => Ok(self.is_alive().then_some(process)),
            None | Some(Err(Errno::SRCH | Errno::NOSYS)) => Ok(None),
            Some(Err(errno)) => Err(errno.into()),
        }
    }

    /// Sends `signal`, if the process still exists. The pidfd is opened before the start time is
    /// compared, so that the signal can't reach another process.
    ///
    /// # Errors
    /// What the operating system refuses; a process that is gone is none.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(());
        };
        let gone = |errno| match errno {
            Errno::SRCH => Ok(()),
            other => Err(io::Error::from(other)),
        };
        let process = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(Errno::NOSYS) => {
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
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is no such process.
    pub fn read(pid: u32) -> io::Result<Self> {
        // The kernel gives the whole line to one read that has room for it, and makes it anew for
        // each.
        let mut text = [0; 1024];
        let length = File::open(format!("/proc/{pid}/stat"))?.read(&mut text)?;
        Stat::parse(&text[..length]).ok_or_else(|| io::ErrorKind::InvalidData.into())
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

/// Starts this program once more with `arguments`, on its own: nobody reads it or waits for it.
///
/// # Errors
/// What the operating system refuses.
pub fn start_on_its_own(arguments: &[&str]) -> io::Result<()> {
    let mut again = Command::new("/proc/self/exe");
    again
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    again.spawn().map(drop)
}

/// The kernel's id of the current boot.
///
/// # Errors
/// Without procfs.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// When the machine was booted, in nanoseconds since the epoch.
///
/// # Errors
/// Without procfs.
pub fn boot_time() -> io::Result<i64> {
    let text = fs::read_to_string("/proc/stat")?;
    let seconds = text
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse::<i64>().ok());
    seconds
        .map(|seconds| seconds * 1_000_000_000)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The name of a signal, as in "SIGKILL"; "signal 40" for a rare one.
pub fn signal_name(number: i32) -> String {
    let known = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
    ];
    let name = known.iter().find(|(known, _)| known.as_raw() == number);
    name.map_or_else(
        || format!("signal {number}"),
        |(_, name)| (*name).to_owned(),
    )
}

/// The name of a process; one that was forked and not executed has no command line of its own.
/// Empty where it is gone.
pub fn name(pid: u32) -> String {
    let name = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("comm"));
    name.unwrap_or_default().trim_end().to_owned()
}

/// The command line of a process, its arguments with blanks between them; the process's name where
/// it has none. Empty where it is gone.
pub fn command_line(pid: u32) -> String {
    let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = text.strip_suffix(b"\0").unwrap_or(&text);
    if text.is_empty() {
        return name(pid);
    }
    String::from_utf8_lossy(text).replace('\0', " ")
}

#[cfg(test)]
mod tests {
    use super::{command_line, name, signal_name, Identity, Stat};
    use rustix::event::{poll, PollFd, PollFlags, Timespec};
    use rustix::process::Signal;
    use std::io::{Read, Write};
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

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
    fn signals_have_the_numbers_of_signal_7() {
        assert_eq!(signal_name(1), "SIGHUP");
        assert_eq!(signal_name(9), "SIGKILL");
        assert_eq!(signal_name(15), "SIGTERM");
        assert_eq!(signal_name(40), "signal 40");
    }

    /// A program that answers each line with the same line, and has answered one.
    struct Cat {
        process: Child,
        input: ChildStdin,
        output: ChildStdout,
    }

    impl Cat {
        fn new() -> Cat {
            let mut process = Command::new("cat")
                .args(["-", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let input = process.stdin.take().unwrap();
            let output = process.stdout.take().unwrap();
            let mut cat = Cat {
                process,
                input,
                output,
            };
            // Until then the process may still be a copy of this one.
            assert!(cat.answers());
            cat
        }

        fn answers(&mut self) -> bool {
            let written = self.input.write_all(b"\n");
            written
                .and_then(|()| self.output.read_exact(&mut [0]))
                .is_ok()
        }
    }

    #[test]
    fn a_process_has_a_name_and_a_command_line() {
        let mut cat = Cat::new();
        let pid = cat.process.id();
        assert_eq!(name(pid), "cat");
        assert_eq!(command_line(pid), "cat - -");
        cat.process.kill().unwrap();
        // One that ended has no arguments any more, but still a name.
        while !Stat::read(pid).unwrap().is_dead {
            std::thread::yield_now();
        }
        assert_eq!(command_line(pid), "cat");
        cat.process.wait().unwrap();
        assert_eq!(command_line(pid), "");
    }

    #[test]
    fn a_signal_reaches_only_the_process_that_is_meant() {
        let mut cat = Cat::new();
        let found = Identity::of(cat.process.id()).unwrap();
        let other = Identity {
            started: found.started + 1,
            ..found.clone()
        };
        other.signal(Signal::KILL).unwrap();
        assert!(!other.is_alive());
        assert!(cat.answers());
        assert!(found.is_alive());
        assert!(other.watch().unwrap().is_none());
        let watched = found.watch().unwrap().unwrap();
        let ended = |limit| {
            let mut fds = [PollFd::new(&watched, PollFlags::IN)];
            let limit = Timespec {
                tv_sec: limit,
                tv_nsec: 0,
            };
            poll(&mut fds, Some(&limit)).unwrap() == 1
        };
        assert!(!ended(0));
        found.signal(Signal::KILL).unwrap();
        assert!(ended(30));
        assert!(found.watch().unwrap().is_none());
        cat.process.wait().unwrap();
        assert!(!found.is_alive());
        found.signal(Signal::KILL).unwrap();
    }
}
