//! The processors that a runtime's process may use, with all that it starts.

use std::io;
use std::str::FromStr;

use rustix::thread::{sched_getaffinity, sched_setaffinity, CpuSet};

/// Some of the machine's processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus(CpuSet);

/// They can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no processors; take \"0\", \"0,2\" or \"0-3\"")]
pub struct BadCpus(String);

impl FromStr for Cpus {
    type Err = BadCpus;

    fn from_str(text: &str) -> Result<Self, BadCpus> {
        let bad = || BadCpus(text.to_owned());
        let number = |digits: &str| {
            let number = digits.trim().parse().ok();
            number
                .filter(|number| *number < CpuSet::MAX_CPU)
                .ok_or_else(bad)
        };
        let mut cpus = CpuSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return Err(bad());
            }
            (first..=last).for_each(|cpu| cpus.set(cpu));
        }
        Ok(Cpus(cpus))
    }
}

impl Cpus {
    /// Does `work` on these processors: processes that it starts stay on them.
    ///
    /// # Errors
    /// Where the machine has none of them, or what `work` says.
    pub fn while_on<T>(self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let all = sched_getaffinity(None)?;
        sched_setaffinity(None, &self.0)?;
        let done = work();
        sched_setaffinity(None, &all)?;
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_the_kernel_writes_them() {
        let listed = |text: &str| {
            let Cpus(set) = text.parse().unwrap();
            (0..CpuSet::MAX_CPU)
                .filter(|cpu| set.is_set(*cpu))
                .collect::<Vec<_>>()
        };
        assert_eq!(listed("0"), [0]);
        assert_eq!(listed("0,2"), [0, 2]);
        assert_eq!(listed("1-3, 7"), [1, 2, 3, 7]);
        for text in ["", "a", "1-", "3-1", "-1", "1024", "0,,1"] {
            assert_eq!(
                text.parse::<Cpus>(),
                Err(BadCpus(text.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_started_stays_there_and_the_rest_goes_on() {
        let before = sched_getaffinity(None).unwrap();
        let first = (0..CpuSet::MAX_CPU)
            .find(|cpu| before.is_set(*cpu))
            .unwrap();
        let cpus: Cpus = first.to_string().parse().unwrap();
        let status = || {
            std::process::Command::new("cat")
                .arg("/proc/self/status")
                .output()
        };
        let output = cpus.while_on(status).unwrap();
        let status = String::from_utf8(output.stdout).unwrap();
        let line = format!("Cpus_allowed_list:\t{first}");
        assert!(status.lines().any(|it| it == line), "{status}");
        assert_eq!(sched_getaffinity(None).unwrap(), before);
        let none: Cpus = "1023".parse().unwrap();
        assert!(none.while_on(|| Ok(())).is_err());
    }
}
