//! A `containerd` config.

use serde_json::Value;
use shellrt_api::v0::config::containerd::{Config, Healthcheck, Test};

use super::{begin, finish, replace, set_log};
use crate::args::{ContainerdFlags, SharedFlags};
use crate::failure::Failure;

pub(super) fn build(
    file: Option<Value>,
    image: Option<&str>,
    shared: &SharedFlags,
    flags: &ContainerdFlags,
) -> Result<Value, Failure> {
    let mut config: Config = begin(file, image)?;
    set_shared(&mut config, shared, flags);
    set_own(&mut config, flags);
    // What no machine can do is not sent, so that the mistake is found where it was made.
    config
        .check()
        .map_err(|error| Failure::usage(error.message))?;
    finish(config)
}

fn set_shared(config: &mut Config, shared: &SharedFlags, own: &ContainerdFlags) {
    let SharedFlags {
        mounts,
        mem_limit,
        cpus,
        restart,
        stdin,
        labels,
        log_max_size: _,
        log_max_files: _,
        log_streams: _,
        command,
    } = shared;
    // Both options say the same, so both together replace the file's list.
    let mounts: Vec<_> = mounts.iter().chain(&own.volumes).cloned().collect();
    replace(&mut config.mounts, &mounts);
    if !command.is_empty() {
        config.command = Some(command.clone());
    }
    config.mem_limit = mem_limit.or(config.mem_limit);
    config.cpus = cpus.or(config.cpus);
    config.stdin |= stdin;
    config.restart = restart.unwrap_or(config.restart);
    config.labels.extend(labels.iter().cloned());
    set_log(&mut config.log, shared);
}

fn set_own(config: &mut Config, flags: &ContainerdFlags) {
    let ContainerdFlags {
        entrypoint,
        user,
        group_add,
        workdir,
        tty,
        volumes: _,
        tmpfs,
        devices,
        read_only,
        cap_add,
        cap_drop,
        privileged,
        security_opt,
        sysctls,
        ulimits,
        annotations,
        memory_swap,
        memory_reservation,
        cpu_shares,
        cpuset_cpus,
        pids_limit,
        oom_score_adj,
        shm_size,
        stop_signal,
        stop_timeout,
        health_cmd,
        health_interval,
        health_timeout,
        health_retries,
        health_start_period,
        no_healthcheck,
        network,
        ports,
        dns_servers,
        dns_search,
        extra_hosts,
        hostname,
        pid,
        ipc,
        uts,
        platform,
        runtime,
        snapshotter,
    } = flags;
    if let Some(program) = entrypoint {
        // As in docker, it is one word, and the empty one is none.
        let words = Some(program).filter(|program| !program.is_empty());
        config.entrypoint = Some(words.cloned().into_iter().collect());
    }
    for (field, given) in [
        (&mut config.user, user),
        (&mut config.working_dir, workdir),
        (&mut config.cpuset, cpuset_cpus),
        (&mut config.network, network),
        (&mut config.hostname, hostname),
        (&mut config.platform, platform),
        (&mut config.runtime, runtime),
        (&mut config.snapshotter, snapshotter),
    ] {
        if given.is_some() {
            field.clone_from(given);
        }
    }
    replace(&mut config.group_add, group_add);
    replace(&mut config.tmpfs, tmpfs);
    replace(&mut config.devices, devices);
    replace(&mut config.cap_add, cap_add);
    replace(&mut config.cap_drop, cap_drop);
    replace(&mut config.security_opt, security_opt);
    replace(&mut config.ports, ports);
    replace(&mut config.dns, dns_servers);
    replace(&mut config.dns_search, dns_search);
    replace(&mut config.extra_hosts, extra_hosts);
    config.sysctls.extend(sysctls.iter().cloned());
    config.ulimits.extend(ulimits.iter().cloned());
    config.annotations.extend(annotations.iter().cloned());
    config.tty |= tty;
    config.read_only |= read_only;
    config.privileged |= privileged;
    config.memswap_limit = memory_swap.or(config.memswap_limit);
    config.mem_reservation = memory_reservation.or(config.mem_reservation);
    config.cpu_shares = cpu_shares.or(config.cpu_shares);
    config.pids_limit = pids_limit.or(config.pids_limit);
    config.oom_score_adj = oom_score_adj.or(config.oom_score_adj);
    config.shm_size = shm_size.or(config.shm_size);
    config.stop_signal = stop_signal.or(config.stop_signal);
    config.stop_grace_period = stop_timeout.or(config.stop_grace_period);
    let mut check = config.healthcheck.take().unwrap_or_default();
    let test = health_cmd.clone().map(Test::Shell);
    check.test = test.or(check.test);
    check.interval = health_interval.or(check.interval);
    check.timeout = health_timeout.or(check.timeout);
    check.retries = health_retries.or(check.retries);
    check.start_period = health_start_period.or(check.start_period);
    if *no_healthcheck {
        check = Healthcheck {
            test: Some(Test::None),
            ..Healthcheck::default()
        };
    }
    config.healthcheck = (check != Healthcheck::default()).then_some(check);
    config.pid = pid.map_or(config.pid, Into::into);
    config.ipc = ipc.map_or(config.ipc, Into::into);
    config.uts = uts.map_or(config.uts, Into::into);
}
