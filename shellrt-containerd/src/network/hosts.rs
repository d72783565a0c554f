//! The host tables of the modules of one network, by which they find each other.

use std::fs::OpenOptions;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use shellrt_api::v0::config::containerd::{ExtraHost, HostAddress};

use super::joined::Joined;
use crate::spec;

/// Rewrites the tables of all modules that may know each other: those of `joined`'s part of the state
/// directory and its network. The caller has the machine's lock.
pub fn refresh(joined: &Joined) {
    let all: Vec<Joined> = Joined::all()
        .into_iter()
        .map(|(_, joined)| joined)
        .collect();
    let near: Vec<&Joined> = all
        .iter()
        .filter(|other| {
            let is_same = other.module.root == joined.module.root;
            is_same && other.list.name == joined.list.name
        })
        .collect();
    for own in &near {
        let path = &own.module.hosts;
        if let Err(error) = rewrite(path, &table(own, &near)) {
            // A module that is being removed has none any more.
            if error.kind() != io::ErrorKind::NotFound {
                log::warn!("can't write {path:?}: {error}");
            }
        }
    }
}

/// The table of one module.
fn table(own: &Joined, near: &[&Joined]) -> String {
    let mut lines = lines(own);
    lines.extend(extra(&own.module.extra_hosts, gateway(own)));
    let others = near
        .iter()
        .filter(|other| other.module.name != own.module.name);
    lines.extend(others.flat_map(|other| self::lines(other)));
    spec::files::hosts(&lines)
}

/// The addresses of a module, with its names.
fn lines(joined: &Joined) -> Vec<(IpAddr, String)> {
    let (name, hostname) = (&joined.module.name, &joined.module.hostname);
    let names = match name == hostname {
        true => name.clone(),
        false => format!("{hostname} {name}"),
    };
    let addresses = joined.addresses().into_iter();
    addresses
        .map(|address| (address.ip, names.clone()))
        .collect()
}

/// The address at which a module reaches the machine.
pub fn gateway(joined: &Joined) -> Option<IpAddr> {
    let addresses = joined.addresses();
    addresses.iter().find_map(|address| address.gateway)
}

/// The lines of `extra_hosts`; those of the machine only where it has an address.
pub fn extra(hosts: &[ExtraHost], gateway: Option<IpAddr>) -> Vec<(IpAddr, String)> {
    let lines = hosts.iter().filter_map(|host| {
        let address = match host.address {
            HostAddress::Ip(address) => address,
            HostAddress::Gateway => gateway?,
        };
        Some((address, host.name.clone()))
    });
    lines.collect()
}

/// The address of the machine for who has its network.
pub const OWN: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Writes into the file that is there: a running container has it mounted. It is never empty meanwhile.
fn rewrite(path: &Path, text: &str) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(u64::try_from(text.len()).unwrap_or(u64::MAX))
}
