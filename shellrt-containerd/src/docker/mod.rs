//! `config_type` `docker`: docker's create request in the words of `containerd`. Nothing else of the
//! plugin knows docker; each key is honoured, refused, or named as ignored.
//!
//! Refused is what can't be meant, and what would change what is safe, limited or reached if it were
//! ignored.

mod devices;
mod limits;
mod machine;
mod mounts;
mod network;
mod process;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;
use shellrt_api::v0::config::containerd::Config;
use shellrt_api::v0::config::{self, docker, Restart};
use shellrt_api::v0::{Code, Error};

pub use machine::Machine;

/// Keys that are not known here and without which a container could do more than it was meant to.
const LIMITS: [&str; 18] = [
    "/HostConfig/BlkioDeviceReadBps",
    "/HostConfig/BlkioDeviceReadIOps",
    "/HostConfig/BlkioDeviceWriteBps",
    "/HostConfig/BlkioDeviceWriteIOps",
    "/HostConfig/BlkioWeight",
    "/HostConfig/BlkioWeightDevice",
    "/HostConfig/CgroupParent",
    "/HostConfig/CpuRealtimePeriod",
    "/HostConfig/CpuRealtimeRuntime",
    "/HostConfig/CpusetMems",
    "/HostConfig/IOMaximumBandwidth",
    "/HostConfig/IOMaximumIOps",
    "/HostConfig/KernelMemory",
    "/HostConfig/KernelMemoryTCP",
    "/HostConfig/MaskedPaths",
    "/HostConfig/ReadonlyPaths",
    "/HostConfig/StorageOpt",
    "/HostConfig/VolumesFrom",
];

/// A request in the words of `containerd`.
#[derive(Debug, Default)]
pub struct Mapped {
    /// What is asked for.
    pub config: Config,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// JSON pointers into the request, to what has no effect.
    pub ignored: Vec<String>,
    /// Where something of `config` comes from, as pointers into both.
    places: Vec<(String, String)>,
}

impl Mapped {
    /// Notes that `ours` comes from `docker`.
    fn comes_from(&mut self, ours: impl Into<String>, docker: impl Into<String>) {
        self.places.push((ours.into(), docker.into()));
    }

    fn ignore(&mut self, docker: &str) {
        self.ignored.push(docker.to_owned());
    }

    /// An error at a place of `config`, as one at the place in the request that it comes from.
    pub fn as_docker(&self, mut error: Error) -> Error {
        let path = error.detail.get("path").and_then(Value::as_str);
        let ours = match path.and_then(|path| path.strip_prefix("/config")) {
            Some(ours) if error.code == Code::INVALID_CONFIG => ours.to_owned(),
            _ => return error,
        };
        let covers = |place: &str| {
            let rest = ours.strip_prefix(place);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let found = self.places.iter().filter(|(place, _)| covers(place));
        let Some((_, docker)) = found.max_by_key(|(place, _)| place.len()) else {
            return error;
        };
        let quoted = |place: &str| format!("{:?}", place.trim_start_matches('/'));
        error.message = error.message.replacen(&quoted(&ours), &quoted(docker), 1);
        error.with("path", format!("/config{docker}"))
    }
}

/// Puts a request into the words of `containerd`. `unknown` are the keys that its type does not have.
///
/// # Errors
/// Error 4 at a key that can't be meant, and at a limit that can't be enforced.
pub fn map(body: docker::Config, unknown: Vec<String>, machine: &Machine) -> Result<Mapped, Error> {
    for key in &unknown {
        if LIMITS.iter().any(|limit| limit.eq_ignore_ascii_case(key)) {
            let reason = "this can't be enforced here; leave it out";
            return Err(config::invalid(key, reason));
        }
    }
    let mut mapped = Mapped {
        ignored: unknown,
        ..Mapped::default()
    };
    process::map(&mut mapped, &body)?;
    mounts::map(&mut mapped, &body, machine)?;
    limits::map(&mut mapped, &body.host_config)?;
    network::map(&mut mapped, &body)?;
    devices::map(&mut mapped, &body.host_config, machine)?;
    security(&mut mapped, &body.host_config, machine)?;
    log(&mut mapped, &body.host_config.log_config)?;
    mapped.config.restart = restart(&body.host_config.restart_policy)?;
    mapped.comes_from("/restart", "/HostConfig/RestartPolicy");
    mapped.ignored.sort();
    for pointer in &mut mapped.ignored {
        pointer.insert_str(0, "/config");
    }
    Ok(mapped)
}

fn security(
    mapped: &mut Mapped,
    host: &docker::HostConfig,
    machine: &Machine,
) -> Result<(), Error> {
    mapped.config.cap_add = host.cap_add.clone();
    mapped.config.cap_drop = host.cap_drop.clone();
    mapped.config.privileged = host.privileged;
    mapped.config.read_only = host.readonly_rootfs;
    mapped.config.sysctls.extend(host.sysctls.clone());
    mapped.config.annotations = host.annotations.clone();
    mapped.comes_from("/cap_add", "/HostConfig/CapAdd");
    mapped.comes_from("/cap_drop", "/HostConfig/CapDrop");
    for name in host.sysctls.keys() {
        let name = escaped(name);
        mapped.comes_from(
            format!("/sysctls/{name}"),
            format!("/HostConfig/Sysctls/{name}"),
        );
    }
    for (index, option) in host.security_opt.iter().enumerate() {
        let place = format!("/HostConfig/SecurityOpt/{index}");
        let is_nothing = match option.replacen(':', "=", 1).as_str() {
            // What is so anyway.
            "seccomp=builtin" => true,
            label if label.starts_with("label=") => !machine.selinux,
            _ => false,
        };
        if !is_nothing {
            let ours = format!("/security_opt/{}", mapped.config.security_opt.len());
            let option = option.parse();
            let option = option.map_err(|error| wrong(&place, &error))?;
            mapped.config.security_opt.push(option);
            mapped.comes_from(ours, place);
        }
    }
    match host.userns_mode.as_str() {
        "" | "host" => Ok(()),
        _ => Err(config::invalid(
            "/HostConfig/UsernsMode",
            "there are only the machine's own users here, \"host\"",
        )),
    }
}

fn log(mapped: &mut Mapped, log: &docker::LogConfig) -> Result<(), Error> {
    const CONFIG: &str = "/HostConfig/LogConfig/Config";
    if !matches!(log.r#type.as_str(), "" | "json-file" | "local") {
        // Its options are its own.
        mapped.ignore("/HostConfig/LogConfig");
        return Ok(());
    }
    for (key, value) in &log.config {
        let place = format!("{CONFIG}/{}", escaped(key));
        match key.as_str() {
            "max-size" => {
                let size = value.parse();
                mapped.config.log.max_size = size.map_err(|error| wrong(&place, &error))?;
                mapped.comes_from("/log/max_size", place);
            }
            "max-file" => {
                let files = value.parse();
                mapped.config.log.max_files = files.map_err(|_| {
                    let reason = format!("{value:?} is no number of files");
                    config::invalid(&place, &reason)
                })?;
                mapped.comes_from("/log/max_files", place);
            }
            _ => mapped.ignore(&place),
        }
    }
    Ok(())
}

fn restart(policy: &docker::RestartPolicy) -> Result<Restart, Error> {
    let at = |field: &str, reason: &str| {
        config::invalid(&format!("/HostConfig/RestartPolicy/{field}"), reason)
    };
    let max = u32::try_from(policy.maximum_retry_count)
        .map_err(|_| at("MaximumRetryCount", "it must be a number of restarts"))?;
    match policy.name.as_str() {
        "on-failure" => Ok(Restart::OnFailure {
            max: (max > 0).then_some(max),
        }),
        name if max > 0 => {
            let reason = format!("{:?} has no greatest number of restarts", or_no(name));
            Err(at("MaximumRetryCount", &reason))
        }
        name => or_no(name)
            .parse()
            .map_err(|error: config::RestartError| at("Name", &error.to_string())),
    }
}

fn or_no(name: &str) -> &str {
    match name {
        "" => "no",
        name => name,
    }
}

/// The error for a value of the request that can't be read.
fn wrong(place: &str, error: &dyn std::error::Error) -> Error {
    config::invalid(place, &error.to_string())
}

/// A key, as a part of a JSON pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The same error, with its place as the keys are written in `request`.
pub fn place_as_written(request: &Value, error: Error) -> Error {
    let path = error.detail.get("path").and_then(Value::as_str);
    match path.map(|path| as_written(request, path)) {
        Some(written) => error.with("path", written),
        None => error,
    }
}

/// A pointer to a key of `body`, as the key is written there: upper and lower case are the same.
pub fn as_written(body: &Value, pointer: &str) -> String {
    let mut written = String::new();
    let mut here = Some(body);
    for part in pointer.split('/').skip(1) {
        let name = part.replace("~1", "/").replace("~0", "~");
        let members = here.and_then(Value::as_object).into_iter().flatten();
        let found = members
            .filter(|(key, _)| key.eq_ignore_ascii_case(&name))
            .min_by_key(|(key, _)| **key != name);
        let (key, value) = match found {
            Some((key, value)) => (key.as_str(), Some(value)),
            None => (
                name.as_str(),
                here.and_then(|here| here.get(name.parse::<usize>().ok()?)),
            ),
        };
        written.push('/');
        written.push_str(&escaped(key));
        here = value;
    }
    written
}

/// What is said, where something is.
fn said(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
