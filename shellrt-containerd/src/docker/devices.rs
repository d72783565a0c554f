//! Devices, and what runs it.

use shellrt_api::v0::config::containerd::Device;
use shellrt_api::v0::config::{docker, invalid};
use shellrt_api::v0::Error;

use super::{wrong, Machine, Mapped};

pub(super) fn map(
    mapped: &mut Mapped,
    host: &docker::HostConfig,
    machine: &Machine,
) -> Result<(), Error> {
    for (index, wanted) in host.devices.iter().enumerate() {
        let place = format!("/HostConfig/Devices/{index}");
        let device = device(wanted).map_err(|error| wrong(&place, &error))?;
        add(mapped, device, place);
    }
    mapped.config.runtime = match host.runtime.as_str() {
        "" | "runc" | "io.containerd.runc.v2" => None,
        "nvidia" => match &machine.nvidia {
            Some(program) => Some(program.to_string_lossy().into_owned()),
            None => {
                let reason =
                    "\"nvidia-container-runtime\" is not on this machine; install NVIDIA's \
                              container toolkit";
                return Err(invalid("/HostConfig/Runtime", reason));
            }
        },
        shim if shim.starts_with("io.containerd.") => Some(shim.to_owned()),
        other => {
            let reason = format!(
                "docker's settings say what {other:?} is, and they are not here; there are \
                 \"runc\", \"nvidia\" and containerd's runtimes, \"io.containerd...\""
            );
            return Err(invalid("/HostConfig/Runtime", &reason));
        }
    };
    mapped.comes_from("/runtime", "/HostConfig/Runtime");
    Ok(())
}

fn add(mapped: &mut Mapped, device: Device, place: String) {
    mapped.comes_from(format!("/devices/{}", mapped.config.devices.len()), place);
    mapped.config.devices.push(device);
}

fn device(
    wanted: &docker::DeviceMapping,
) -> Result<Device, shellrt_api::v0::config::containerd::ParseError> {
    let docker::DeviceMapping {
        path_on_host,
        path_in_container,
        cgroup_permissions,
    } = wanted;
    let or = |text: &str, other: &str| match text {
        "" => other.to_owned(),
        text => text.to_owned(),
    };
    let target = or(path_in_container, path_on_host);
    let permissions = or(cgroup_permissions, "rwm");
    format!("{path_on_host}:{target}:{permissions}").parse()
}
