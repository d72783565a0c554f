//! How much memory processes take at most.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The megabytes that a command takes at most while it runs to its end.
///
/// # Panics
/// Where it fails.
pub fn peak_of(command: &mut Command, input: &str) -> f64 {
    use std::io::Write;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let mut peak: f64 = 0.0;
    // The kernel keeps the highest mark, so only the last moment can be missed.
    loop {
        peak = peak.max(field(child.id(), "VmHWM:").unwrap_or_default());
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{command:?}: {status}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The megabytes by which a running process grows at most while `work` is done.
pub fn growth_of<T>(pid: u32, work: impl FnOnce() -> T) -> (f64, T) {
    // The highest mark becomes what it takes now.
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("root");
    let before = field(pid, "VmRSS:").expect("a process");
    let done = work();
    let peak = field(pid, "VmHWM:").expect("a process");
    (peak - before, done)
}

/// The megabytes of all processes with `mark` in their environment, shared pages counted in parts, and how
/// many processes that are.
pub fn shares_of(mark: &str) -> (f64, usize) {
    sum_of(mark, "Pss:")
}

/// The same without what lies in files, which the kernel can drop and read again.
pub fn own_shares_of(mark: &str) -> f64 {
    sum_of(mark, "Pss_Anon:").0
}

fn sum_of(mark: &str, name: &str) -> (f64, usize) {
    let processes = tests::plugin::processes_with(mark);
    let shares = processes.iter().filter_map(|(pid, _)| {
        let path = format!("/proc/{pid}/smaps_rollup");
        kib(&fs::read_to_string(Path::new(&path)).ok()?, name)
    });
    (shares.sum(), processes.len())
}

/// The seconds for which the processor has worked for all processes with `mark` in their environment.
pub fn processor_time_of(mark: &str) -> f64 {
    let processes = tests::plugin::processes_with(mark);
    let ticks = processes.iter().filter_map(|(pid, _)| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The program's name, in brackets, may have anything in it.
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let [user, system] = [fields.get(11)?, fields.get(12)?].map(|it| it.parse::<f64>());
        Some(user.ok()? + system.ok()?)
    });
    // Linux counts a hundred a second, whatever its own clock does.
    ticks.sum::<f64>() / 100.0
}

fn field(pid: u32, name: &str) -> Option<f64> {
    kib(
        &fs::read_to_string(format!("/proc/{pid}/status")).ok()?,
        name,
    )
}

/// A line of `name` and kibibytes, in megabytes.
fn kib(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}
