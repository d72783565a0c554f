//! Ports of the machine that lead to a module: which ones, who has them already, and how they are kept
//! from others.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::process::Command;

use rustix::net::{sockopt, AddressFamily, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};
use shellrt_api::v0::config::containerd::{Protocol, PublishedPort};
use shellrt_api::v0::status;

use super::error::Error;
use super::joined::Joined;
use super::plugin::tools;
use crate::module::Module;

/// How often another free port is looked for.
const TRIES: u32 = 50;

/// One port of the machine that leads to one of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The machine's address; all where there is none.
    pub host_ip: Option<IpAddr>,
    /// The machine's port.
    pub host_port: u16,
    /// The module's port.
    pub target: u16,
    /// What is spoken there.
    pub protocol: Protocol,
}

impl Mapping {
    /// As CNI's capability `portMappings` has it.
    pub fn for_plugin(&self) -> Value {
        let mut mapping = json!({
            "hostPort": self.host_port,
            "containerPort": self.target,
            "protocol": self.protocol.to_string(),
        });
        if let Some(address) = self.host_ip {
            mapping["hostIP"] = json!(address);
        }
        mapping
    }

    /// As `status` has it, once for each version of IP.
    pub fn described(&self, has_ipv6: bool) -> Vec<status::Port> {
        let addresses = self.addresses(has_ipv6).into_iter();
        let described = addresses.map(|address| status::Port {
            host_ip: address.to_string(),
            host_port: self.host_port,
            module_port: self.target,
            protocol: self.protocol.to_string(),
        });
        described.collect()
    }

    /// The addresses at which it is listened.
    fn addresses(&self, has_ipv6: bool) -> Vec<IpAddr> {
        match self.host_ip {
            Some(address) => vec![address],
            None if has_ipv6 => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            None => vec![Ipv4Addr::UNSPECIFIED.into()],
        }
    }

    /// Whether what is for `address`, or for all where there is none, may be for this.
    fn meets(&self, protocol: &str, address: Option<IpAddr>) -> bool {
        let overlaps = match (self.host_ip, address) {
            (Some(one), Some(other)) => {
                one.is_ipv4() == other.is_ipv4()
                    && (one == other || one.is_unspecified() || other.is_unspecified())
            }
            _ => true,
        };
        overlaps && self.protocol.to_string() == protocol
    }

    fn taken(&self, reason: String) -> Error {
        Error::Port {
            address: self.to_string(),
            reason,
        }
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let address = SocketAddr::new(address, self.host_port);
        write!(f, "{address}/{}", self.protocol)
    }
}

/// Ports that are chosen, and kept from others as long as this lives.
pub struct Chosen {
    /// The ports.
    pub mappings: Vec<Mapping>,
    _sockets: Vec<OwnedFd>,
}

/// Finds a port of the machine for each wanted one. The caller has the machine's lock, and `id` has no
/// port yet.
///
/// # Errors
/// [`Error::Port`], where somebody has one.
pub fn choose(id: &str, wanted: &[PublishedPort], has_ipv6: bool) -> Result<Chosen, Error> {
    let mut chosen = Chosen {
        mappings: Vec::new(),
        _sockets: Vec::new(),
    };
    if wanted.is_empty() {
        return Ok(chosen);
    }
    let taken = Taken::now(id);
    for wanted in wanted {
        let targets = wanted.target.first..=wanted.target.last;
        for (offset, target) in targets.enumerate() {
            let host_port = wanted.published.map_or(Some(0), |published| {
                u16::try_from(usize::from(published.first) + offset).ok()
            });
            let mapping = Mapping {
                host_ip: wanted.host_ip,
                host_port: host_port.unwrap_or_default(),
                target,
                protocol: wanted.protocol,
            };
            let (mapping, sockets) = match wanted.published {
                Some(_) => taken.claim(mapping, has_ipv6)?,
                None => any(&taken, mapping, has_ipv6)?,
            };
            chosen.mappings.push(mapping);
            chosen._sockets.extend(sockets);
        }
    }
    Ok(chosen)
}

/// A port of the machine that is free.
fn any(taken: &Taken, mapping: Mapping, has_ipv6: bool) -> Result<(Mapping, Vec<OwnedFd>), Error> {
    let mut tried = Vec::new();
    let mut last = None;
    for _ in 0..TRIES {
        let address = mapping.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let (socket, host_port) = listen(address, 0, mapping.protocol)
            .map_err(|source| mapping.taken(reason(&source)))?;
        // It is held until another one is found, so that the kernel does not give it again.
        tried.push(socket);
        let mapping = Mapping {
            host_port,
            ..mapping
        };
        let rest: Vec<IpAddr> = mapping.addresses(has_ipv6).into_iter().skip(1).collect();
        match taken.holder(&mapping) {
            Some(holder) => last = Some(mapping.taken(holder)),
            None => match hold_each(&mapping, &rest) {
                Ok(mut sockets) => {
                    sockets.extend(tried.pop());
                    return Ok((mapping, sockets));
                }
                Err(error) => last = Some(error),
            },
        }
    }
    Err(last.unwrap_or_else(|| mapping.taken("no port is free".to_owned())))
}

/// Who has ports without a socket.
struct Taken {
    modules: Vec<Joined>,
    forwards: Vec<Forward>,
}

impl Taken {
    fn now(id: &str) -> Self {
        let modules = Joined::all().into_iter().filter(|(other, _)| other != id);
        Taken {
            modules: modules.map(|(_, joined)| joined).collect(),
            forwards: [
                ("iptables", Ipv4Addr::UNSPECIFIED.into()),
                ("ip6tables", Ipv6Addr::UNSPECIFIED.into()),
            ]
            .into_iter()
            .flat_map(|(program, all)| rules(program, all))
            .collect(),
        }
    }

    /// Who has the port.
    fn holder(&self, mapping: &Mapping) -> Option<String> {
        let of_module = self.modules.iter().find(|joined| {
            let mut ports = joined.ports.iter();
            ports.any(|port| {
                port.host_port == mapping.host_port
                    && mapping.meets(&port.protocol.to_string(), port.host_ip)
            })
        });
        if let Some(joined) = of_module {
            return Some(format!("module {:?} has the port", joined.module.name));
        }
        let forward = self.forwards.iter().find(|forward| {
            let (first, last) = forward.ports;
            (first..=last).contains(&mapping.host_port)
                && mapping.meets(&forward.protocol, Some(forward.address))
        });
        forward.map(|forward| {
            format!(
                "a firewall rule of somebody else's forwards the port to {}",
                forward.to
            )
        })
    }

    /// Keeps a port from others, which nobody else has.
    fn claim(&self, mapping: Mapping, has_ipv6: bool) -> Result<(Mapping, Vec<OwnedFd>), Error> {
        if let Some(holder) = self.holder(&mapping) {
            return Err(mapping.taken(holder));
        }
        let sockets = hold_each(&mapping, &mapping.addresses(has_ipv6))?;
        Ok((mapping, sockets))
    }
}

fn hold_each(mapping: &Mapping, addresses: &[IpAddr]) -> Result<Vec<OwnedFd>, Error> {
    let sockets = addresses.iter().map(|address| {
        match listen(*address, mapping.host_port, mapping.protocol) {
            Ok((socket, _)) => Ok(Some(socket)),
            // A machine without IPv6 has nobody who could have it.
            Err(source) if mapping.host_ip.is_none() && is_absent(&source) => Ok(None),
            Err(source) => Err(mapping.taken(reason(&source))),
        }
    });
    let sockets: Vec<Option<OwnedFd>> = sockets.collect::<Result<_, _>>()?;
    Ok(sockets.into_iter().flatten().collect())
}

/// The ports of a running module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    mappings: Vec<Mapping>,
    has_ipv6: bool,
}

impl Held {
    /// Those of `module`, once it is joined to its network.
    pub fn of(module: &Module) -> Self {
        let joined = super::joined(&module.store, module.name.as_str());
        joined.map_or_else(Held::default, |joined| Held {
            has_ipv6: joined.has_ipv6(),
            mappings: joined.ports,
        })
    }

    /// Listens at them, so that other programs see that they are taken. What arrives there is forwarded
    /// before it gets here. A port that somebody was quicker to take is left to him.
    pub fn hold(&self) -> Vec<OwnedFd> {
        let mut sockets = Vec::new();
        for mapping in &self.mappings {
            match hold_each(mapping, &mapping.addresses(self.has_ipv6)) {
                Ok(held) => sockets.extend(held),
                Err(error) => log::warn!("{error}"),
            }
        }
        sockets
    }
}

fn is_absent(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT))
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        io::ErrorKind::AddrNotAvailable => "the machine has no such address".to_owned(),
        _ => error.to_string(),
    }
}

/// A socket that has a port, and its number.
fn listen(address: IpAddr, port: u16, protocol: Protocol) -> io::Result<(OwnedFd, u16)> {
    let family = match address {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if protocol == Protocol::Tcp {
        // Connections of before that linger don't have the port; who listens has it all the same.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &SocketAddr::new(address, port))?;
    if protocol == Protocol::Tcp {
        rustix::net::listen(&socket, 1)?;
    }
    let bound = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    Ok((socket, bound.port()))
}

/// A rule by which a port of the machine leads elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Forward {
    protocol: String,
    address: IpAddr,
    ports: (u16, u16),
    to: String,
}

/// The rules of a firewall, `all` being all addresses that it knows; none where it can't be asked.
fn rules(program: &str, all: IpAddr) -> Vec<Forward> {
    let asked = Command::new(program)
        .args(["-w", "-t", "nat", "-S"])
        .env("PATH", tools())
        .output();
    match asked {
        Ok(output) => forwards(&String::from_utf8_lossy(&output.stdout), all),
        Err(error) => {
            log::debug!("{program}: {error}");
            Vec::new()
        }
    }
}

/// What is forwarded, in the words of `iptables -S`.
fn forwards(text: &str, all: IpAddr) -> Vec<Forward> {
    let forwards = text.lines().flat_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |option: &str| {
            let place = words.iter().position(|word| *word == option)?;
            words.get(place + 1).copied()
        };
        let forward = |ports: &str| {
            let (first, last) = ports.split_once(':').unwrap_or((ports, ports));
            let address = after("-d").map(|it| it.split('/').next().unwrap_or(it));
            Some(Forward {
                protocol: after("-p")?.to_owned(),
                address: address.map_or(Some(all), |address| address.parse().ok())?,
                ports: (first.parse().ok()?, last.parse().ok()?),
                to: after("--to-destination").unwrap_or("somewhere").to_owned(),
            })
        };
        let is_forward = after("-j") == Some("DNAT");
        let ports = after("--dport").or(after("--dports")).unwrap_or_default();
        let ports = ports.split(',').filter(|_| is_forward);
        ports.filter_map(forward).collect::<Vec<_>>()
    });
    forwards.collect()
}

#[cfg(test)]
mod tests {
    use shellrt_api::v0::config::containerd::Protocol;

    use super::{forwards, Mapping};

    /// Rules as CNI's portmap and docker write them.
    const RULES: &str = "-N CNI-DN-1
-A CNI-DN-1 -s 10.1.0.0/24 -d 127.0.0.1/32 -p tcp -m tcp --dport 80 -j CNI-HOSTPORT-SETMARK
-A CNI-DN-1 -d 127.0.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.1.0.2:8080
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment \"dnat name: a\" -m multiport --dports 80,81 -j CNI-DN-1
-A DOCKER ! -i docker0 -p udp -m udp --dport 53 -j DNAT --to-destination 172.17.0.2:53
-A DOCKER -p tcp -m multiport --dports 90:99,200 -j DNAT --to-destination 172.17.0.3";

    #[test]
    fn a_rule_has_a_port() {
        let forwards = forwards(RULES, "0.0.0.0".parse().unwrap());
        assert_eq!(forwards.len(), 4, "{forwards:?}");
        let taken = super::Taken {
            modules: Vec::new(),
            forwards,
        };
        let is_taken = |address: Option<&str>, host_port, protocol| {
            let mapping = Mapping {
                host_ip: address.map(|address| address.parse().unwrap()),
                host_port,
                target: 1,
                protocol,
            };
            taken.holder(&mapping).is_some()
        };
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        for (address, port, protocol, expected) in [
            (None, 80, tcp, true),
            (Some("127.0.0.1"), 80, tcp, true),
            (Some("0.0.0.0"), 80, tcp, true),
            (Some("192.0.2.1"), 80, tcp, false),
            (Some("::"), 80, tcp, false),
            (None, 80, udp, false),
            (None, 81, tcp, false),
            (Some("192.0.2.1"), 53, udp, true),
            (None, 53, tcp, false),
            (None, 95, tcp, true),
            (None, 200, tcp, true),
            (None, 100, tcp, false),
        ] {
            let found = is_taken(address, port, protocol);
            assert_eq!(found, expected, "{address:?} {port} {protocol}");
        }
    }
}
