//! Which addresses and names a program may reach: only what its config lists.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use shellrt_plugin::lookup;
use wasmtime_wasi::sockets::SocketAddrUse;

/// The entries of `network.connect`.
pub(super) struct AllowList {
    entries: Vec<Entry>,
    /// The addresses that listed names resolved to lately.
    resolved: Mutex<VecDeque<(SocketAddr, Instant)>>,
}

/// What an entry allows.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Name { host: String, port: u16 },
    Address(SocketAddr),
    Range { network: IpAddr, bits: u8 },
}

/// Why an entry is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoEntry;

impl fmt::Display for NoEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "it is none of \"host:port\", \"address:port\", \"[v6 address]:port\" and \"address/bits\"",
        )
    }
}

/// How long an address counts as one of a name's. A program that looks a name up and then connects
/// must find the address allowed, although a second look-up may give another.
const RESOLVED_FOR: Duration = Duration::from_secs(300);

/// How many addresses are remembered.
const RESOLVED: usize = 256;

impl AllowList {
    /// Reads the entries of a config; the first wrong one is the error, with its index.
    pub fn parse(entries: &[String]) -> Result<AllowList, (usize, NoEntry)> {
        let mut list = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            list.push(Entry::parse(entry).ok_or((index, NoEntry))?);
        }
        Ok(AllowList {
            entries: list,
            resolved: Mutex::default(),
        })
    }

    /// Whether a socket may be used so.
    pub async fn allows_use(&self, address: SocketAddr, usage: SocketAddrUse) -> bool {
        match usage {
            SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend => self.allows(address).await,
            // Asked for each datagram, so names are not looked up again: a reply comes from where
            // something was sent to.
            SocketAddrUse::UdpReceive => self.lists(address) || self.was_resolved(address),
            // Connecting and sending bind to any free port of any address; everything else about
            // binding is for servers.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
                address.ip().is_unspecified() && address.port() == 0
            }
            SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
        }
    }

    /// Whether a connection to `address` is allowed: it is listed, or a listed name with its port
    /// resolves to it now or did lately.
    pub async fn allows(&self, address: SocketAddr) -> bool {
        if self.lists(address) || self.was_resolved(address) {
            return true;
        }
        for entry in &self.entries {
            let Entry::Name { host, port } = entry else {
                continue;
            };
            if *port != address.port() {
                continue;
            }
            let Ok(found) = lookup::addresses(host, *port).await else {
                continue;
            };
            if found.into_iter().any(|found| same(found, address)) {
                self.remember(address);
                return true;
            }
        }
        false
    }

    /// Whether a connection to `port` of `host`, a name or an address, is allowed.
    pub async fn allows_host(&self, host: &str, port: u16) -> bool {
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return self.allows(SocketAddr::new(address, port)).await;
        }
        let host = normal(host);
        let named = |entry: &Entry| matches!(entry, Entry::Name { host: name, port: its } if *name == host && *its == port);
        self.entries.iter().any(named)
    }

    /// Whether `name` is listed, with whatever port.
    pub fn names(&self, name: &str) -> bool {
        let name = normal(name);
        self.entries
            .iter()
            .any(|entry| matches!(entry, Entry::Name { host, .. } if *host == name))
    }

    /// Whether any name is listed.
    pub fn has_names(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| matches!(entry, Entry::Name { .. }))
    }

    /// Notes that a listed name resolved to `address`, for all ports that are listed with the name.
    pub fn resolved(&self, name: &str, address: IpAddr) {
        let name = normal(name);
        for entry in &self.entries {
            match entry {
                Entry::Name { host, port } if *host == name => {
                    self.remember(SocketAddr::new(address, *port));
                }
                _ => {}
            }
        }
    }

    fn lists(&self, address: SocketAddr) -> bool {
        self.entries.iter().any(|entry| match entry {
            Entry::Name { .. } => false,
            Entry::Address(listed) => same(*listed, address),
            Entry::Range { network, bits } => within(*network, *bits, address.ip().to_canonical()),
        })
    }

    fn was_resolved(&self, address: SocketAddr) -> bool {
        let list = self
            .resolved
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let fresh = |since: &Instant| since.elapsed() < RESOLVED_FOR;
        list.iter()
            .any(|(known, since)| same(*known, address) && fresh(since))
    }

    fn remember(&self, address: SocketAddr) {
        let mut list = self
            .resolved
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        list.retain(|(known, _)| !same(*known, address));
        if list.len() == RESOLVED {
            list.pop_front();
        }
        list.push_back((address, Instant::now()));
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Entry> {
        if let Some((network, bits)) = text.split_once('/') {
            let network: IpAddr = network.parse().ok()?;
            let bits: u8 = number(bits)?;
            let most = if network.is_ipv4() { 32 } else { 128 };
            return (bits <= most).then_some(Entry::Range { network, bits });
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return (address.port() != 0).then_some(Entry::Address(address));
        }
        let (host, port) = text.rsplit_once(':')?;
        let port: u16 = number(port)?;
        let host = normal(host);
        (port != 0 && is_name(&host)).then_some(Entry::Name { host, port })
    }
}

/// A number of digits only; the standard library also takes a sign.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// A name as it is compared: lower case, without the dot of the root.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// A host name: labels of letters, digits, `-` and `_`, and no address in disguise, because resolvers
/// read `127.1` and `0x7f000001` as addresses.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.split('.').all(label)
        && last.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Whether two addresses are the same host and port, however they are written: an IPv4 address may
/// stand in IPv6 clothes.
fn same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

fn within(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let shift = 32 - u32::from(bits);
            (network.to_bits() ^ address.to_bits())
                .checked_shr(shift)
                .unwrap_or(0)
                == 0
        }
        (IpAddr::V6(network), address) => {
            let address = match address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            let shift = 128 - u32::from(bits);
            let differ = Ipv6Addr::to_bits(network) ^ Ipv6Addr::to_bits(address);
            // `::/0` and other short prefixes are meant for IPv6; an IPv4 address only matches where
            // the range names the mapped ones.
            let mapped = address.to_ipv4_mapped().is_some();
            (!mapped || bits >= 96) && differ.checked_shr(shift).unwrap_or(0) == 0
        }
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{AllowList, SocketAddrUse};

    fn list(entries: &[&str]) -> AllowList {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        AllowList::parse(&entries).unwrap_or_else(|(index, _)| panic!("{}", entries[index]))
    }

    fn wait<T>(future: impl std::future::Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn entries() {
        for entry in [
            "example.com:443",
            "localhost:1",
            "db_1.local:5432",
            "10.0.0.1:80",
            "[::1]:8080",
            "10.0.0.0/8",
            "::/0",
            "0.0.0.0/0",
            "fd00::/8",
        ] {
            list(&[entry]);
        }
        for entry in [
            "",
            ":80",
            "example.com",
            "example.com:",
            "example.com:0",
            "example.com:65536",
            "10.0.0.1",
            "10.0.0.1:0",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "::/129",
            "::1:x",
            "a b:1",
            "*:80",
            "127.1:80",
            "0x7f000001:80",
            "2130706433:80",
            "http://example.com:80",
            "example.com:+80",
        ] {
            assert!(AllowList::parse(&[entry.to_owned()]).is_err(), "{entry}");
        }
    }

    #[test]
    fn addresses() {
        let list = list(&["10.1.2.3:80", "192.168.0.0/16", "[::1]:8080", "fd00::/8"]);
        for (address, allowed) in [
            ("10.1.2.3:80", true),
            ("[::ffff:10.1.2.3]:80", true),
            ("10.1.2.3:81", false),
            ("10.1.2.4:80", false),
            ("192.168.255.1:1", true),
            ("192.169.0.1:1", false),
            ("127.0.0.1:80", false),
            ("[::1]:8080", true),
            ("[::1]:80", false),
            ("[fd12::1]:9", true),
            ("[fe80::1]:9", false),
        ] {
            assert_eq!(
                wait(list.allows(address.parse().unwrap())),
                allowed,
                "{address}"
            );
        }
    }

    #[test]
    fn all_of_one_family_is_not_all_of_the_other() {
        let six = list(&["::/0"]);
        assert!(wait(six.allows("[2001:db8::1]:1".parse().unwrap())));
        assert!(!wait(six.allows("10.0.0.1:1".parse().unwrap())));
        assert!(!wait(six.allows("[::ffff:10.0.0.1]:1".parse().unwrap())));
        let four = list(&["0.0.0.0/0"]);
        assert!(wait(four.allows("[::ffff:10.0.0.1]:1".parse().unwrap())));
        assert!(!wait(four.allows("[2001:db8::1]:1".parse().unwrap())));
    }

    #[test]
    fn names() {
        let list = list(&["localhost:80", "Example.com.:443"]);
        assert!(wait(list.allows("127.0.0.1:80".parse().unwrap())));
        assert!(!wait(list.allows("127.0.0.1:81".parse().unwrap())));
        assert!(wait(list.allows_host("EXAMPLE.com", 443)));
        assert!(!wait(list.allows_host("example.com", 80)));
        assert!(!wait(list.allows_host("www.example.com", 443)));
        assert!(!wait(list.allows_host("[::2]", 80)));
        assert!(list.names("example.com") && !list.names("other.com"));
        // What a look-up gave is allowed, with the ports that stand beside the name.
        let address = "203.0.113.7:443".parse().unwrap();
        assert!(!list.was_resolved(address));
        list.resolved("example.com", "203.0.113.7".parse().unwrap());
        assert!(wait(list.allows(address)));
        assert!(!wait(list.allows("203.0.113.7:80".parse().unwrap())));
    }

    #[test]
    fn nobody_serves() {
        let list = list(&["0.0.0.0/0"]);
        let any = "0.0.0.0:0".parse().unwrap();
        assert!(wait(list.allows_use(any, SocketAddrUse::TcpBind)));
        assert!(!wait(list.allows_use(
            "0.0.0.0:80".parse().unwrap(),
            SocketAddrUse::TcpBind
        )));
        assert!(!wait(list.allows_use(
            "127.0.0.1:0".parse().unwrap(),
            SocketAddrUse::UdpBind
        )));
        assert!(!wait(list.allows_use(any, SocketAddrUse::TcpListen)));
        assert!(!wait(list.allows_use(
            "10.0.0.1:5".parse().unwrap(),
            SocketAddrUse::TcpAccept
        )));
    }
}
