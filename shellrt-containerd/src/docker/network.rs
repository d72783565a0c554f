//! What it reaches, and where it is reached.

use std::net::IpAddr;

use shellrt_api::v0::config::containerd::{PortRange, Protocol, PublishedPort};
use shellrt_api::v0::config::{docker, invalid};
use shellrt_api::v0::Error;

use super::{escaped, wrong, Mapped};

pub(super) fn map(mapped: &mut Mapped, body: &docker::Config) -> Result<(), Error> {
    let host = &body.host_config;
    network(mapped, body)?;
    for port in body.exposed_ports.keys() {
        let place = format!("/ExposedPorts/{}", escaped(port));
        container_ports(port).map_err(|reason| invalid(&place, &reason))?;
    }
    let is_published = !matches!(mapped.config.network.as_deref(), Some("host" | "none"));
    if !host.port_bindings.is_empty() && !is_published {
        // As docker has it.
        mapped.ignore("/HostConfig/PortBindings");
    } else {
        for (port, bindings) in &host.port_bindings {
            let place = format!("/HostConfig/PortBindings/{}", escaped(port));
            let (target, protocol) =
                container_ports(port).map_err(|reason| invalid(&place, &reason))?;
            // An empty list publishes nothing, as in docker.
            for (index, binding) in bindings.iter().enumerate() {
                let place = format!("{place}/{index}");
                let port = published(&place, binding, target, protocol)?;
                mapped.comes_from(format!("/ports/{}", mapped.config.ports.len()), place);
                mapped.config.ports.push(port);
            }
        }
    }
    for (index, server) in host.dns.iter().enumerate() {
        let place = format!("/HostConfig/Dns/{index}");
        let server = server.parse();
        let server = server.map_err(|error| wrong(&place, &error))?;
        mapped.config.dns.push(server);
    }
    mapped.comes_from("/dns", "/HostConfig/Dns");
    mapped.config.dns_search = host.dns_search.clone();
    mapped.comes_from("/dns_search", "/HostConfig/DnsSearch");
    for (index, line) in host.extra_hosts.iter().enumerate() {
        let place = format!("/HostConfig/ExtraHosts/{index}");
        let line = line.parse().map_err(|error| wrong(&place, &error))?;
        mapped.config.extra_hosts.push(line);
        mapped.comes_from(format!("/extra_hosts/{index}"), place);
    }
    Ok(())
}

/// The network: what `NetworkMode` says, else the only one of `EndpointsConfig`.
fn network(mapped: &mut Mapped, body: &docker::Config) -> Result<(), Error> {
    const MODE: &str = "/HostConfig/NetworkMode";
    const ENDPOINTS: &str = "/NetworkingConfig/EndpointsConfig";
    let mode = match body.host_config.network_mode.as_str() {
        _ if body.network_disabled => Some("none"),
        "" | "default" => None,
        mode if mode.contains(':') => {
            let reason = format!(
                "{mode:?} can't be had here; \"bridge\", \"host\", \"none\" and the names of \
                 networks are there"
            );
            return Err(invalid(MODE, &reason));
        }
        mode => Some(mode),
    };
    let mut names = body.networking_config.endpoints_config.keys();
    let endpoint = names.next();
    if let Some(second) = names.next() {
        let place = format!("{ENDPOINTS}/{}", escaped(second));
        return Err(invalid(&place, "a module is in one network here"));
    }
    let place = match (mode, endpoint) {
        (Some(mode), Some(endpoint)) if mode != endpoint => {
            let place = format!("{ENDPOINTS}/{}", escaped(endpoint));
            let reason =
                format!("a module is in one network here, and \"NetworkMode\" is {mode:?}");
            return Err(invalid(&place, &reason));
        }
        (None, Some(endpoint)) => format!("{ENDPOINTS}/{}", escaped(endpoint)),
        _ => MODE.to_owned(),
    };
    let name = mode.or(endpoint.map(String::as_str));
    mapped.config.network = name.map(str::to_owned);
    mapped.comes_from("/network", place);
    Ok(())
}

/// Ports of the container, as `80/tcp` or `8000-8010/udp`.
fn container_ports(text: &str) -> Result<(PortRange, Protocol), String> {
    let port: PublishedPort = match text.contains(':') {
        true => {
            return Err(format!(
                "{text:?} is no port of a container; write \"80/tcp\""
            ))
        }
        false => text.parse().map_err(|error| format!("{error}"))?,
    };
    Ok((port.target, port.protocol))
}

fn published(
    place: &str,
    binding: &docker::PortBinding,
    target: PortRange,
    protocol: Protocol,
) -> Result<PublishedPort, Error> {
    let host_ip: Option<IpAddr> = match binding.host_ip.as_str() {
        "" => None,
        address => {
            let place = format!("{place}/HostIp");
            Some(address.parse().map_err(|error| wrong(&place, &error))?)
        }
    };
    let published = match binding.host_port.as_str() {
        // 0 is any that is free too.
        "" | "0" => None,
        port => {
            let place = format!("{place}/HostPort");
            let (range, _) = container_ports(port).map_err(|reason| invalid(&place, &reason))?;
            Some(range)
        }
    };
    Ok(PublishedPort {
        host_ip,
        published,
        target,
        protocol,
    })
}
