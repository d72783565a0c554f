//! What it may use.

use shellrt_api::v0::config::containerd::{Namespace, Swap, Ulimit};
use shellrt_api::v0::config::{docker, invalid, Bytes};
use shellrt_api::v0::Error;

use super::Mapped;

/// docker's period where none is given, in microseconds.
const PERIOD: i64 = 100_000;

pub(super) fn map(mapped: &mut Mapped, host: &docker::HostConfig) -> Result<(), Error> {
    mapped.config.mem_limit = bytes("/HostConfig/Memory", host.memory)?;
    mapped.config.mem_reservation =
        bytes("/HostConfig/MemoryReservation", host.memory_reservation)?;
    mapped.config.memswap_limit = match host.memory_swap {
        -1 => Some(Swap::Unlimited),
        size => bytes("/HostConfig/MemorySwap", size)?.map(Swap::Limit),
    };
    mapped.comes_from("/mem_limit", "/HostConfig/Memory");
    mapped.comes_from("/mem_reservation", "/HostConfig/MemoryReservation");
    mapped.comes_from("/memswap_limit", "/HostConfig/MemorySwap");
    processors(mapped, host)?;
    mapped.config.pids_limit = (host.pids_limit != 0).then_some(host.pids_limit);
    mapped.comes_from("/pids_limit", "/HostConfig/PidsLimit");
    match bytes("/HostConfig/ShmSize", host.shm_size)? {
        // docker does nothing with it either.
        Some(_) if mapped.config.ipc == Namespace::Host => mapped.ignore("/HostConfig/ShmSize"),
        size => mapped.config.shm_size = size,
    }
    mapped.comes_from("/shm_size", "/HostConfig/ShmSize");
    for (index, limit) in host.ulimits.iter().enumerate() {
        let (soft, hard) = (limit.soft, limit.hard);
        let name = limit.name.clone();
        let place = format!("/HostConfig/Ulimits/{index}");
        if mapped.config.ulimits.contains_key(&name) {
            return Err(invalid(
                &place,
                &format!("there is a limit {name:?} already"),
            ));
        }
        mapped.comes_from(format!("/ulimits/{}", super::escaped(&name)), place);
        mapped.config.ulimits.insert(name, Ulimit { soft, hard });
    }
    Ok(())
}

fn processors(mapped: &mut Mapped, host: &docker::HostConfig) -> Result<(), Error> {
    let of = |part: i64, whole: i64| part as f64 / whole as f64;
    let quota = match (host.cpu_quota, host.cpu_period) {
        // -1 is no limit.
        (i64::MIN..=0, 0) => None,
        (i64::MIN..=0, _) => {
            mapped.ignore("/HostConfig/CpuPeriod");
            None
        }
        (quota, 0) => Some(of(quota, PERIOD)),
        (quota, period @ 1..) => Some(of(quota, period)),
        _ => {
            let reason = "it must be a number of microseconds";
            return Err(invalid("/HostConfig/CpuPeriod", reason));
        }
    };
    mapped.config.cpus = match (host.nano_cpus, quota) {
        (0, quota) => quota,
        (_, Some(_)) => {
            let reason = "it says the same as \"CpuQuota\"; leave one of them out";
            return Err(invalid("/HostConfig/NanoCpus", reason));
        }
        (nano, None) => Some(of(nano, 1_000_000_000)),
    };
    let place = match quota {
        Some(_) => "/HostConfig/CpuQuota",
        None => "/HostConfig/NanoCpus",
    };
    mapped.comes_from("/cpus", place);
    mapped.config.cpu_shares = match u64::try_from(host.cpu_shares) {
        Ok(shares) => (shares != 0).then_some(shares),
        Err(_) => {
            return Err(invalid(
                "/HostConfig/CpuShares",
                "it can't be negative; leave it out for the kernel's own",
            ))
        }
    };
    mapped.comes_from("/cpu_shares", "/HostConfig/CpuShares");
    mapped.config.cpuset = super::said(&host.cpuset_cpus);
    mapped.comes_from("/cpuset", "/HostConfig/CpusetCpus");
    Ok(())
}

/// A size, or `None` for 0.
fn bytes(place: &str, size: i64) -> Result<Option<Bytes>, Error> {
    match u64::try_from(size) {
        Ok(0) => Ok(None),
        Ok(size) => Ok(Some(Bytes(size))),
        Err(_) => Err(invalid(place, "it must be a size in bytes")),
    }
}
