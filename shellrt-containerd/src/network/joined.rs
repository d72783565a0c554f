//! What is known of a module that is joined to a network: enough to take it off again, whatever was
//! lost. It lies in memory, as what it tells of does, and is gone after a boot.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shellrt_api::v0::config::containerd::ExtraHost;
use shellrt_api::v0::status;
use shellrt_plugin::{file, process};

use super::error::Error;
use super::list::{Cni, List};
use super::port::Mapping;

/// Where all of them are, one file each.
const DIR: &str = "/run/shellrt/network";

/// A module that is joined to a network, or about to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Joined {
    /// The boot it belongs to.
    pub boot: String,
    /// The module.
    pub module: Whose,
    /// The network, as the module's config calls it.
    pub network: String,
    /// Where the plugins are.
    pub cni: Cni,
    /// The network as it was when the module was joined.
    pub list: List,
    /// What is published.
    pub ports: Vec<Mapping>,
    /// What the plugins have answered so far.
    pub result: Value,
}

/// A module, as its neighbours know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whose {
    /// The part of the state directory that it is in: those of one part know each other.
    pub root: PathBuf,
    /// Its name.
    pub name: String,
    /// Its host name.
    pub hostname: String,
    /// Its host table.
    pub hosts: PathBuf,
    /// What else is in that.
    pub extra_hosts: Vec<ExtraHost>,
}

/// An address of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// The machine's in the same network.
    pub gateway: Option<IpAddr>,
    /// The hardware address of the device that has it.
    pub mac: String,
}

impl Joined {
    /// What is known of the module with this id; nothing of another boot.
    pub fn find(id: &str) -> Option<Joined> {
        let joined = Joined::read(id)?;
        (joined.boot == process::boot_id().ok()?).then_some(joined)
    }

    /// What is written of the module with this id, whenever that was.
    pub fn read(id: &str) -> Option<Joined> {
        read(&path(id))
    }

    /// All that are joined since the boot, with their ids.
    pub fn all() -> Vec<(String, Joined)> {
        let boot = process::boot_id().unwrap_or_default();
        let entries = fs::read_dir(DIR).into_iter().flatten().flatten();
        let all = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let id = name.strip_suffix(".json")?.to_owned();
            Some((id, read(&entry.path())?))
        });
        all.filter(|(_, joined)| joined.boot == boot).collect()
    }

    /// Writes it down: whole or not at all, and not to the disk, because a boot ends what it tells of.
    /// Whoever writes holds the lock of all networks, so what a killed one has left is written over.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn write(&self, id: &str) -> Result<(), Error> {
        file::make_dir(Path::new(DIR))?;
        let (path, unfinished) = (path(id), unfinished(id));
        let written = serde_json::to_vec(self)
            .map_err(io::Error::from)
            .and_then(|bytes| fs::write(&unfinished, bytes))
            .and_then(|()| fs::rename(&unfinished, &path));
        Ok(written.map_err(|source| file::Error::new("write", &path, source))?)
    }

    /// Forgets what is written.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn remove(id: &str) -> Result<(), Error> {
        file::remove(&unfinished(id))?;
        Ok(file::remove(&path(id))?)
    }

    /// The module's addresses.
    pub fn addresses(&self) -> Vec<Address> {
        addresses(&self.result)
    }

    /// The words of `status`: the addresses.
    pub fn networks(&self) -> Vec<status::Network> {
        let addresses = self.addresses().into_iter();
        let networks = addresses.map(|address| status::Network {
            name: self.network.clone(),
            ip: address.ip.to_string(),
            mac: address.mac,
        });
        networks.collect()
    }

    /// The words of `status`: where it is reached.
    pub fn ports(&self) -> Vec<status::Port> {
        let has_ipv6 = self.has_ipv6();
        let ports = self.ports.iter();
        ports.flat_map(|port| port.described(has_ipv6)).collect()
    }

    /// Whether it is reached by IPv4.
    pub fn has_ipv4(&self) -> bool {
        self.addresses().iter().any(|address| address.ip.is_ipv4())
    }

    /// Whether it is reached by IPv6.
    pub fn has_ipv6(&self) -> bool {
        self.addresses().iter().any(|address| address.ip.is_ipv6())
    }
}

fn path(id: &str) -> PathBuf {
    Path::new(DIR).join(format!("{id}.json"))
}

/// Its name until it is whole.
fn unfinished(id: &str) -> PathBuf {
    Path::new(DIR).join(format!("{id}.tmp"))
}

fn read(path: &Path) -> Option<Joined> {
    file::read_json(path).unwrap_or_else(|error| {
        log::warn!("{error}");
        None
    })
}

/// The addresses in a result of CNI, of its version 0.3 and later, or of those before.
fn addresses(result: &Value) -> Vec<Address> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let ip = |value: &Value| -> Option<IpAddr> {
        let text = value.as_str()?;
        text.split('/').next()?.parse().ok()
    };
    if let Some(addresses) = result["ips"].as_array() {
        let devices = &result["interfaces"];
        let own = devices.as_array().and_then(|devices| {
            let mut devices = devices.iter();
            devices.find(|device| device["sandbox"].as_str().is_some_and(|it| !it.is_empty()))
        });
        let found = addresses.iter().filter_map(|address| {
            let index = address["interface"].as_u64();
            let index = index.and_then(|index| usize::try_from(index).ok());
            let device = index.and_then(|index| devices.get(index)).or(own);
            Some(Address {
                ip: ip(&address["address"])?,
                gateway: ip(&address["gateway"]),
                mac: device.and_then(|it| text(&it["mac"])).unwrap_or_default(),
            })
        });
        return found.collect();
    }
    let old = ["ip4", "ip6"].into_iter().filter_map(|key| {
        Some(Address {
            ip: ip(&result[key]["ip"])?,
            gateway: ip(&result[key]["gateway"]),
            mac: String::new(),
        })
    });
    old.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::addresses;

    fn told(result: Value) -> Vec<(String, String, String)> {
        let addresses = addresses(&result).into_iter();
        let text = |address: super::Address| {
            let gateway = address.gateway.map(|it| it.to_string());
            (
                address.ip.to_string(),
                gateway.unwrap_or_default(),
                address.mac,
            )
        };
        addresses.map(text).collect()
    }

    fn of(ip: &str, gateway: &str, mac: &str) -> (String, String, String) {
        (ip.to_owned(), gateway.to_owned(), mac.to_owned())
    }

    /// The forms of the CNI specification.
    #[test]
    fn results() {
        let devices = json!([
            {"name": "cni0", "mac": "00:11:22:33:44:55"},
            {"name": "eth0", "mac": "99:88:77:66:55:44", "sandbox": "/run/netns/blue"}
        ]);
        let result = json!({"cniVersion": "1.0.0", "interfaces": devices, "ips": [
            {"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 1},
            {"address": "fd00::5/64"}
        ]});
        assert_eq!(
            told(result),
            [
                of("10.1.0.5", "10.1.0.1", "99:88:77:66:55:44"),
                of("fd00::5", "", "99:88:77:66:55:44")
            ]
        );
        let old = json!({"cniVersion": "0.2.0",
            "ip4": {"ip": "10.1.0.5/16", "gateway": "10.1.0.1"}, "ip6": {"ip": "fd00::5/64"}});
        assert_eq!(
            told(old),
            [of("10.1.0.5", "10.1.0.1", ""), of("fd00::5", "", "")]
        );
        assert_eq!(told(Value::Null), []);
    }
}
