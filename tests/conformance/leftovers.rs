//! Processes that still belong to a trial's directory: its path stands in their environment, their
//! arguments, their working directory or their open files.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};

/// Waits until no process belongs to `folder`. Those that are left are killed, and told with their
/// command lines.
pub fn none(folder: &Path, within: Duration) -> Result<(), String> {
    let deadline = Instant::now() + within;
    loop {
        let left = of(folder);
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
            continue;
        }
        let mut told =
            format!("processes are left over {within:?} after the last module was removed:");
        for pid in left {
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

/// The ids of the processes that belong to `folder`, our own aside.
fn of(folder: &Path) -> Vec<i32> {
    let own = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            u32::try_from(*pid) != Ok(own) && belongs(*pid, folder.as_os_str().as_bytes())
        })
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
