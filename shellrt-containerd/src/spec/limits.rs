//! The limits of a container and of its processes. What this machine can't enforce is refused.

use shellrt_api::v0::config::containerd::Swap;
use shellrt_api::v0::{config, Error};

use super::capabilities::Set;
use super::document::{Cpu, Memory, Pids, Resources, Rlimit};
use super::host::{cpu_list, Host};
use super::Facts;

/// The limits of the whole container; the rules of its devices are not among them.
///
/// # Errors
/// Error 4 at the limit that can't be enforced.
pub(super) fn resources(facts: Facts) -> Result<Resources, Error> {
    Ok(Resources {
        devices: Vec::new(),
        memory: memory(facts)?,
        cpu: cpu(facts)?,
        pids: pids(facts)?,
    })
}

/// The limits of each process. One that is not given is the daemon's.
///
/// # Errors
/// Error 4 at a limit that the kernel would refuse.
pub(super) fn rlimits(facts: Facts) -> Result<Vec<Rlimit>, Error> {
    let limits = facts.config.ulimits.iter().map(|(name, limit)| {
        // -1 is "no limit", which the kernel has as the largest number.
        let value = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
        let (soft, hard) = (value(limit.soft), value(limit.hard));
        let wrong = |reason: &str| Err(config::invalid(&format!("/ulimits/{name}"), reason));
        let most = facts.host.max_open_files;
        if name == "nofile" && hard > most {
            return wrong(&format!(
                "this kernel lets no process open more than {most} files; the sysctl \
                 \"fs.nr_open\" of the machine says so"
            ));
        }
        let daemon = facts.host.hard_limits.get(name);
        if let Some(daemon) = daemon.filter(|&&daemon| hard > daemon && !can_raise(facts.host)) {
            return wrong(&format!(
                "containerd itself is limited to {daemon} and may not raise it (CAP_SYS_RESOURCE)"
            ));
        }
        Ok(Rlimit {
            kind: format!("RLIMIT_{}", name.to_ascii_uppercase()),
            soft,
            hard,
        })
    });
    limits.collect()
}

/// How soon the kernel kills the processes; `None` is the daemon's.
///
/// # Errors
/// Error 4 where the kernel would refuse it.
pub(super) fn oom_score_adj(facts: Facts) -> Result<Option<i32>, Error> {
    let daemon = facts.host.oom_score_adj;
    match facts.config.oom_score_adj {
        Some(score) if score < daemon && !can_raise(facts.host) => Err(config::invalid(
            "/oom_score_adj",
            &format!("containerd itself has {daemon} and may not go below it (CAP_SYS_RESOURCE)"),
        )),
        score => Ok(score),
    }
}

/// Whether who starts the container may go beyond its own limits.
fn can_raise(host: &Host) -> bool {
    Set::of_machine(host.capabilities).has("SYS_RESOURCE")
}

fn memory(facts: Facts) -> Result<Memory, Error> {
    let config = facts.config;
    let asked = [
        ("/mem_limit", config.mem_limit.is_some()),
        ("/memswap_limit", config.memswap_limit.is_some()),
        ("/mem_reservation", config.mem_reservation.is_some()),
    ];
    needs(facts.host, "memory", &asked)?;
    let bytes = |size: config::Bytes| i64::try_from(size.0).unwrap_or(i64::MAX);
    let limit = config.mem_limit.map(bytes);
    let swap = match config.memswap_limit {
        Some(Swap::Unlimited) => None,
        Some(Swap::Limit(size)) if facts.host.cgroups.swap => Some(bytes(size)),
        Some(Swap::Limit(_)) => {
            return Err(config::invalid(
                "/memswap_limit",
                "this kernel does not count swap; start it with \"swapaccount=1\", or leave \
                 this out",
            ));
        }
        // As docker has it. Where swap is not counted it can't be had, and nobody asked for it.
        None => limit
            .filter(|_| facts.host.cgroups.swap)
            .map(|limit| limit.saturating_mul(2)),
    };
    Ok(Memory {
        limit,
        reservation: config.mem_reservation.map(bytes),
        swap,
    })
}

fn cpu(facts: Facts) -> Result<Cpu, Error> {
    /// The period in which a quota is used up, in microseconds; docker's.
    const PERIOD: u64 = 100_000;
    let (config, host) = (facts.config, facts.host);
    let asked = [
        ("/cpus", config.cpus.is_some()),
        ("/cpu_shares", config.cpu_shares.is_some()),
    ];
    needs(host, "cpu", &asked)?;
    needs(host, "cpuset", &[("/cpuset", config.cpuset.is_some())])?;
    if let Some(cpus) = config.cpus {
        if !host.cgroups.quota {
            let reason = "this kernel can't limit the time on processors (CONFIG_CFS_BANDWIDTH)";
            return Err(config::invalid("/cpus", reason));
        }
        let online = host.cpus.len();
        // As with docker: a module made for a larger machine should not end up here in silence.
        if cpus > online as f64 {
            let reason = format!("{cpus} is more than the {online} of this machine");
            return Err(config::invalid("/cpus", &reason));
        }
    }
    if let Some(cpuset) = &config.cpuset {
        let wanted = cpu_list(cpuset).filter(|wanted| wanted.is_subset(&host.cpus));
        if wanted.is_none() {
            let online: Vec<String> = host.cpus.iter().map(u32::to_string).collect();
            let reason = format!(
                "{cpuset:?} is not a list of processors of this machine, which are {}",
                online.join(",")
            );
            return Err(config::invalid("/cpuset", &reason));
        }
    }
    Ok(Cpu {
        shares: config.cpu_shares,
        // It is at most the number of processors, so it fits.
        quota: config
            .cpus
            .map(|cpus| (cpus * PERIOD as f64).round() as i64),
        period: config.cpus.map(|_| PERIOD),
        cpus: config.cpuset.clone().unwrap_or_default(),
    })
}

fn pids(facts: Facts) -> Result<Option<Pids>, Error> {
    let Some(limit) = facts.config.pids_limit.filter(|&limit| limit > 0) else {
        return Ok(None);
    };
    needs(facts.host, "pids", &[("/pids_limit", true)])?;
    Ok(Some(Pids { limit }))
}

/// Refuses what is asked for where the machine has no such controller.
fn needs(host: &Host, controller: &str, asked: &[(&str, bool)]) -> Result<(), Error> {
    if host.cgroups.controllers.contains(controller) {
        return Ok(());
    }
    match asked.iter().find(|(_, is_asked)| *is_asked) {
        None => Ok(()),
        Some((path, _)) => Err(config::invalid(
            path,
            &format!(
                "this machine has no cgroup controller {controller:?}, so the limit could not \
                 be enforced"
            ),
        )),
    }
}
