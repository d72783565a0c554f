//! What processes use, from procfs.

use crate::process::Stat;
use shellrt_api::v0::top::Process;
use std::fs;

/// One line of `top`: the process `pid`, of which `stat` was read, with its command line.
pub fn describe(pid: u32, stat: &Stat, command: String) -> Process {
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    Process {
        pid,
        ppid: stat.parent,
        command,
        cpu_ns: stat.cpu_ticks * (1_000_000_000 / ticks_per_second),
        memory_bytes: stat.resident_pages * rustix::param::page_size() as u64,
    }
}

/// What a process read from disks and wrote to them, in bytes, where the kernel tells.
pub fn block_bytes(pid: u32) -> (Option<u64>, Option<u64>) {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    (field("read_bytes:"), field("write_bytes:"))
}

/// What was received and sent over the interfaces of the network that the process is in, in bytes;
/// the loopback does not count. `None` where the kernel does not tell, or the process is gone.
pub fn network_bytes(pid: u32) -> Option<(u64, u64)> {
    sum(&fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?)
}

/// The sum over /proc/<pid>/net/dev.
fn sum(text: &str) -> Option<(u64, u64)> {
    // The first two lines are headings.
    text.lines()
        .skip(2)
        .try_fold((0u64, 0u64), |(rx, tx), line| {
            // The name of an alias has a colon of its own.
            let (name, numbers) = line.rsplit_once(':')?;
            if name.trim() == "lo" {
                return Some((rx, tx));
            }
            // Eight numbers of what was received, then eight of what was sent; bytes are the first.
            let mut numbers = numbers.split_ascii_whitespace();
            let received = numbers.next()?.parse().ok()?;
            let sent = numbers.nth(7)?.parse().ok()?;
            Some((rx.saturating_add(received), tx.saturating_add(sent)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux writes it: the first number may follow the name without a blank.
    #[test]
    fn all_interfaces_but_the_loopback_count() {
        let headings = "Inter-|   Receive                            |  Transmit\n \
             face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets \
             errs drop fifo colls carrier compressed\n";
        let text = format!(
            "{headings}    lo: 7 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n  \
             eth0:1000 2 3 4 5 6 7 8 20 10 11 12 13 14 15 16\n\
             eth0:1: 4 0 0 0 0 0 0 0 5 0 0 0 0 0 0 0\n"
        );
        assert_eq!(sum(&text), Some((1004, 25)));
        assert_eq!(sum(headings), Some((0, 0)));
        assert_eq!(sum(&format!("{headings}  eth0: 1 2\n")), None);
        assert!(network_bytes(std::process::id()).is_some());
        assert_eq!(network_bytes(0), None);
    }

    #[test]
    fn what_this_process_uses() {
        let pid = std::process::id();
        let stat = Stat::read(pid).unwrap();
        let process = describe(pid, &stat, "test".to_owned());
        assert_eq!(process.ppid, std::os::unix::process::parent_id());
        assert_eq!(process.command, "test");
        // procfs tells the same in kibibytes.
        let text = fs::read_to_string("/proc/self/status").unwrap();
        let field = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = field.unwrap().trim().trim_end_matches(" kB");
        let resident = kibibytes.parse::<u64>().unwrap() * 1024;
        assert!(process.memory_bytes.abs_diff(resident) < resident / 2);
        let (read, written) = block_bytes(pid);
        assert!(read.is_some() && written.is_some());
        assert_eq!(block_bytes(0), (None, None));
    }
}
