//! Processes that still belong to a trial's directory: its path stands in their environment, their
//! arguments, their working directory or their open files.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};

/// A process: its id, and when it was started, because ids are used again.
pub type Process = (i32, u64);

/// Waits until no process belongs to `folder` but those that are `expected`. Those that are left are
/// killed, and told with their command lines.
pub fn none(
    folder: &Path,
    expected: impl Fn(&Process) -> bool,
    within: Duration,
) -> Result<(), String> {
    let deadline = Instant::now() + within;
    loop {
        let mut left = of(folder);
        left.retain(|process| !expected(process));
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
            continue;
        }
        let mut told = format!("processes are left over after {within:?}:");
        for (pid, _) in left {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            told.push_str(&format!("\n  {pid} {line}"));
            if let Some(pid) = Pid::from_raw(pid) {
                // It may have ended by itself by now.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        return Err(told);
    }
}

/// The processes that belong to `folder`, our own aside.
pub fn of(folder: &Path) -> BTreeSet<Process> {
    let own = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else {
        return BTreeSet::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            u32::try_from(*pid) != Ok(own) && belongs(*pid, folder.as_os_str().as_bytes())
        })
        .filter_map(|pid| Some((pid, started(pid)?)))
        .collect()
}

/// When a process was started, in ticks since the boot: the 22nd field, where the second is a name in
/// parentheses that may have anything in it.
fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

/// The mounts below `folder`.
pub fn mounts(folder: &Path) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    points
        .filter(|point| Path::new(point).starts_with(folder))
        .map(str::to_owned)
        .collect()
}

fn belongs(pid: i32, folder: &[u8]) -> bool {
    let root = format!("/proc/{pid}");
    let has = |bytes: &[u8]| bytes.windows(folder.len()).any(|window| window == folder);
    let file_has = |name: &str| fs::read(format!("{root}/{name}")).is_ok_and(|text| has(&text));
    let link_has =
        |path: &Path| fs::read_link(path).is_ok_and(|target| has(target.as_os_str().as_bytes()));
    if file_has("environ") || file_has("cmdline") || link_has(Path::new(&format!("{root}/cwd"))) {
        return true;
    }
    let Ok(open) = fs::read_dir(format!("{root}/fd")) else {
        return false;
    };
    open.flatten().any(|file| link_has(&file.path()))
}
