//! Devices, and what runs it.

use shellrt_api::v0::config::containerd::{Device, ParseError};
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
    for (index, request) in host.device_requests.iter().enumerate() {
        let place = format!("/HostConfig/DeviceRequests/{index}");
        for name in requested(request)
            .map_err(|(field, reason)| invalid(&format!("{place}{field}"), &reason))?
        {
            let device = name.parse().map_err(|error| wrong(&place, &error))?;
            add(mapped, device, place.clone());
        }
        if !request.options.is_empty() {
            mapped.ignore(&format!("{place}/Options"));
        }
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

/// The names of the Container Device Interface that a request stands for; or which field is wrong, and
/// why.
fn requested(request: &docker::DeviceRequest) -> Result<Vec<String>, (&'static str, String)> {
    let docker::DeviceRequest {
        driver,
        count,
        device_ids,
        capabilities,
        options: _,
    } = request;
    if driver == "cdi" {
        return match (device_ids.is_empty(), *count) {
            (false, 0) => Ok(device_ids.clone()),
            (true, _) => Err(("/DeviceIDs", "it must name the devices".to_owned())),
            _ => Err(("/Count", "the devices are named; leave it out".to_owned())),
        };
    }
    let is_gpu = |all: &Vec<String>| all.iter().any(|capability| capability == "gpu");
    if !matches!(driver.as_str(), "" | "nvidia") || !capabilities.iter().any(is_gpu) {
        let reason =
            "there are requests for \"cdi\" devices, and for NVIDIA's, with the capability \
                      \"gpu\"";
        return Err(("", reason.to_owned()));
    }
    let gpu = |which: &str| format!("nvidia.com/gpu={which}");
    match (device_ids.is_empty(), *count) {
        (false, 0) => Ok(device_ids.iter().map(|id| gpu(id)).collect()),
        (false, _) => Err(("/Count", "the devices are named; leave it out".to_owned())),
        (true, -1) => Ok(vec![gpu("all")]),
        (true, 1..=64) => Ok((0..*count).map(|index| gpu(&index.to_string())).collect()),
        (true, _) => Err((
            "/Count",
            "it must be a number of devices, or -1 for all".to_owned(),
        )),
    }
}

fn device(wanted: &docker::DeviceMapping) -> Result<Device, ParseError> {
    let docker::DeviceMapping {
        path_on_host,
        path_in_container,
        cgroup_permissions,
    } = wanted;
    if let Ok(device @ Device::Cdi(_)) = path_on_host.parse() {
        return Ok(device);
    }
    let or = |text: &str, other: &str| match text {
        "" => other.to_owned(),
        text => text.to_owned(),
    };
    let target = or(path_in_container, path_on_host);
    let permissions = or(cgroup_permissions, "rwm");
    format!("{path_on_host}:{target}:{permissions}").parse()
}
