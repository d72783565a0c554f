//! The network `"bridge"`: written when it is first needed, unless an administrator has written it.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{json, Value};
use shellrt_plugin::file;

use super::error::Error;
use super::joined::Joined;
use super::list::{Cni, List, NETWORKS};

/// Its name in a config.
pub const NAME: &str = "bridge";

/// The plugins without which there is none.
const NEEDED: [&str; 3] = ["bridge", "host-local", "portmap"];

/// Its file.
pub fn file(cni: &Cni) -> PathBuf {
    cni.networks.join("10-shellrt.conflist")
}

/// The plugins that it needs and that are not installed.
pub fn missing(cni: &Cni) -> Vec<&'static str> {
    let needed = NEEDED.into_iter();
    needed.filter(|name| cni.plugin(name).is_none()).collect()
}

/// The network as it is written, with a device and the first three numbers of its addresses.
pub fn document(cni: &Cni, device: &str, [a, b, c]: [u8; 3]) -> Value {
    let mut plugins = vec![
        json!({
            "type": "bridge",
            "bridge": device,
            "isGateway": true,
            "ipMasq": true,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{
                    "subnet": format!("{a}.{b}.{c}.0/24"),
                    "gateway": format!("{a}.{b}.{c}.1"),
                }]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }),
        json!({"type": "portmap", "capabilities": {"portMappings": true}}),
    ];
    // Without it nothing goes through the bridge where somebody else, like docker, closes the
    // machine's chain for what it forwards.
    if cni.plugin("firewall").is_some() {
        plugins.push(json!({"type": "firewall"}));
    }
    // Addresses are given away by the network's name, so two networks of one machine must not share it.
    // The version is what all plugins in the field know; nothing newer is used.
    json!({"cniVersion": "0.4.0", "name": device, "plugins": plugins})
}

/// The network; it is written if it is not there. The caller has the machine's lock.
///
/// # Errors
/// [`Error::NoSubnet`], [`Error::NoPlugin`], or what is wrong with the file.
pub fn make(cni: &Cni) -> Result<List, Error> {
    if let Some(list) = cni.find(NAME)? {
        return Ok(list);
    }
    if let Some(plugin) = missing(cni).first() {
        return Err(Error::NoPlugin {
            plugin: (*plugin).to_owned(),
            dirs: cni.plugin_dirs(),
        });
    }
    let path = file(cni);
    let mut others = cni.lists();
    let usual = Cni {
        networks: NETWORKS.into(),
        plugins: Vec::new(),
    };
    others.extend(usual.lists());
    others.extend(Joined::all().into_iter().map(|(_, joined)| joined.list));
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let subnets = others.iter().flat_map(List::subnets);
    let mut taken: Vec<Range> = subnets.filter_map(|subnet| Range::parse(&subnet)).collect();
    taken.extend(routes(&read("/proc/net/route")));
    taken.extend(addresses(&read("/proc/net/fib_trie")));
    let subnet = free_subnet(&taken).ok_or_else(|| Error::NoSubnet(path.clone()))?;
    let mut devices: Vec<String> = devices(&read("/proc/net/dev"));
    devices.extend(others.iter().flat_map(List::bridges).map(str::to_owned));
    let names = (0_u32..).map(|number| format!("shellrt{number}"));
    let mut free = names.filter(|name| !devices.contains(name));
    let device = free.next().unwrap_or_default();
    let text = serde_json::to_vec_pretty(&document(cni, &device, subnet))
        .map_err(|source| Error::system("write a network", source))?;
    // Others may read the networks too.
    fs::create_dir_all(&cni.networks)
        .map_err(|source| Error::file("make", &cni.networks, source))?;
    file::write_file(&path, &text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
        .map_err(|source| Error::file("open to others", &path, source))?;
    List::read(&path)
}

/// Addresses of IPv4 that begin in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    base: u32,
    mask: u32,
}

impl Range {
    fn new(base: Ipv4Addr, length: u32) -> Self {
        let mask = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
        Range {
            base: u32::from(base) & mask,
            mask,
        }
    }

    /// From `ADDRESS/LENGTH`.
    fn parse(text: &str) -> Option<Self> {
        let (base, length) = text.split_once('/')?;
        Some(Range::new(base.parse().ok()?, length.parse().ok()?))
    }

    fn overlaps(&self, other: &Range) -> bool {
        let both = self.mask & other.mask;
        self.base & both == other.base & both
    }
}

/// The first private range of 256 addresses that overlaps with none of `taken`.
fn free_subnet(taken: &[Range]) -> Option<[u8; 3]> {
    let first = (0..=255).map(|third| [10, 63, third]);
    let second = (0..=255).rev().map(|third| [192, 168, third]);
    first.chain(second).find(|[a, b, c]| {
        let range = Range::new(Ipv4Addr::new(*a, *b, *c, 0), 24);
        !taken.iter().any(|taken| taken.overlaps(&range))
    })
}

/// The destinations in the text of /proc/net/route, the default one aside.
fn routes(text: &str) -> Vec<Range> {
    let number = |field: &str| u32::from_str_radix(field, 16).ok().map(u32::from_be);
    let ranges = text.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (base, mask) = (number(fields.get(1)?)?, number(fields.get(7)?)?);
        // The kernel writes both as this machine keeps them in memory.
        let (base, mask) = match cfg!(target_endian = "little") {
            true => (base, mask),
            false => (base.swap_bytes(), mask.swap_bytes()),
        };
        Some(Range { base, mask }).filter(|range| range.mask != 0)
    });
    ranges.collect()
}

/// The machine's own addresses in the text of /proc/net/fib_trie.
fn addresses(text: &str) -> Vec<Range> {
    let (mut found, mut last) = (Vec::new(), None);
    for line in text.lines() {
        if let Some((_, address)) = line.split_once("|-- ") {
            last = address.trim().parse::<Ipv4Addr>().ok();
        } else if line.contains("host LOCAL") {
            found.extend(last.map(|address| Range::new(address, 32)));
        }
    }
    found
}

/// The names of the devices in the text of /proc/net/dev.
fn devices(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{addresses, devices, free_subnet, routes, Range};

    fn range(text: &str) -> Range {
        Range::parse(text).unwrap()
    }

    #[test]
    fn a_subnet_is_free_if_nothing_overlaps_with_it() {
        assert_eq!(free_subnet(&[]), Some([10, 63, 0]));
        let one = [range("10.63.0.17/32"), range("10.63.1.0/24")];
        assert_eq!(free_subnet(&one), Some([10, 63, 2]));
        assert_eq!(free_subnet(&[range("10.0.0.0/8")]), Some([192, 168, 255]));
        let all = [range("10.0.0.0/8"), range("192.168.0.0/16")];
        assert_eq!(free_subnet(&all), None);
        assert_eq!(free_subnet(&[range("0.0.0.0/0")]), None);
    }

    /// As proc(5) describes the files.
    #[test]
    fn what_the_kernel_says() {
        let text =
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth0\t00003F0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        if cfg!(target_endian = "little") {
            assert_eq!(routes(text), [range("10.63.0.0/24")]);
        }
        let text = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
            Local:\n     |-- 192.0.2.2\n        /32 host LOCAL\n     |-- 192.0.2.3\n        /32 link BROADCAST\n";
        assert_eq!(addresses(text), [range("192.0.2.2/32")]);
        let text =
            "Inter-|   Receive\n face |bytes    packets\n    lo:       0       0\nshellrt0: 1 2\n";
        assert_eq!(devices(text), ["lo", "shellrt0"]);
    }
}
