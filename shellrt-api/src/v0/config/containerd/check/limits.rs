//! Limits: memory, processors, processes.

use super::super::super::super::Error;
use super::super::super::{invalid, Bytes};
use super::super::{Config, Namespace, Swap, Ulimit};
use super::escaped;

/// What docker asks for at least; with less, the runtime itself does not get as far as the program.
const LEAST_MEMORY: Bytes = Bytes(6 << 20);

/// The smallest part of a processor that the kernel can hand out: a millisecond in a tenth of a
/// second.
const LEAST_CPUS: f64 = 0.01;

pub(super) fn check(config: &Config) -> Result<(), Error> {
    memory(config)?;
    processors(config)?;
    if config.pids_limit.is_some_and(|limit| limit < -1) {
        return Err(invalid(
            "/pids_limit",
            "it must be a number of processes, or -1 for no limit",
        ));
    }
    if let Some(score) = config.oom_score_adj {
        if !(-1000..=1000).contains(&score) {
            return Err(invalid(
                "/oom_score_adj",
                "it must be between -1000 and 1000",
            ));
        }
    }
    for (name, limit) in &config.ulimits {
        ulimit(&format!("/ulimits/{}", escaped(name)), name, *limit)?;
    }
    Ok(())
}

fn memory(config: &Config) -> Result<(), Error> {
    let limit = config.mem_limit;
    if limit.is_some_and(|limit| limit < LEAST_MEMORY) {
        return Err(invalid("/mem_limit", "it must be at least 6 MiB (\"6m\")"));
    }
    match (config.memswap_limit, limit) {
        (Some(Swap::Limit(_)), None) => {
            let reason = "it limits memory and swap together, so it needs a \"mem_limit\"";
            return Err(invalid("/memswap_limit", reason));
        }
        (Some(Swap::Limit(both)), Some(memory)) if both < memory => {
            let reason = "it limits memory and swap together, so it can't be below \"mem_limit\"";
            return Err(invalid("/memswap_limit", reason));
        }
        _ => {}
    }
    if let (Some(reservation), Some(limit)) = (config.mem_reservation, limit) {
        if reservation > limit {
            return Err(invalid(
                "/mem_reservation",
                "it can't be above \"mem_limit\"",
            ));
        }
    }
    match config.shm_size {
        Some(Bytes(0)) => Err(invalid("/shm_size", "it must be more than 0")),
        Some(_) if config.ipc == Namespace::Host => Err(invalid(
            "/shm_size",
            "a container with \"ipc\": \"host\" has the machine's own /dev/shm",
        )),
        _ => Ok(()),
    }
}

fn processors(config: &Config) -> Result<(), Error> {
    if let Some(cpus) = config.cpus {
        // Written so that what is no number fails too.
        if !(cpus >= LEAST_CPUS && cpus.is_finite()) {
            return Err(invalid(
                "/cpus",
                "it must be a number of processors, at least 0.01",
            ));
        }
    }
    if let Some(shares) = config.cpu_shares {
        if !(2..=262_144).contains(&shares) {
            return Err(invalid("/cpu_shares", "it must be between 2 and 262144"));
        }
    }
    match &config.cpuset {
        Some(set) if !is_cpuset(set) => {
            let reason = format!("{set:?} is no set of processors; write it like \"0-3,5\"");
            Err(invalid("/cpuset", &reason))
        }
        _ => Ok(()),
    }
}

/// Numbers and ranges, with commas between.
fn is_cpuset(text: &str) -> bool {
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| digits)
    };
    text.split(',').all(|range| match range.split_once('-') {
        Some((first, last)) => {
            matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last)
        }
        None => number(range).is_some(),
    })
}

/// The limits that docker takes, setrlimit(2)'s without `RLIMIT_`.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

fn ulimit(path: &str, name: &str, limit: Ulimit) -> Result<(), Error> {
    if !ULIMITS.contains(&name) {
        let reason = format!("there is no such limit; there are {}", ULIMITS.join(", "));
        return Err(invalid(path, &reason));
    }
    let Ulimit { soft, hard } = limit;
    if soft < -1 || hard < -1 {
        return Err(invalid(path, "it must be a number, or -1 for no limit"));
    }
    // -1 is above every number.
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(invalid(path, "\"soft\" can't be above \"hard\""));
    }
    Ok(())
}
