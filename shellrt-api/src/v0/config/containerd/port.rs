//! A published port, as Compose's short syntax writes it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::{self, ParseError};

/// A port of the container that is reached at the machine, or a range of them; in JSON as text:
/// `"80"`, `"8080:80"`, `"127.0.0.1:8080:80/tcp"`, `"[::]:53:53/udp"`, `"8000-8010:8000-8010"`. A
/// number is the text of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPort {
    /// The address of the machine. Default: all.
    pub host_ip: Option<IpAddr>,
    /// The ports of the machine, as many as `target` has. Default: free ones, others at each start.
    pub published: Option<PortRange>,
    /// The ports of the container.
    pub target: PortRange,
    /// What is spoken there.
    pub protocol: Protocol,
}

/// Ports that follow each other; one alone is `first` and `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// The first, from 1.
    pub first: u16,
    /// The last, not below the first.
    pub last: u16,
}

impl PortRange {
    /// One port alone.
    pub fn one(port: u16) -> Self {
        PortRange {
            first: port,
            last: port,
        }
    }

    /// How many they are.
    pub fn count(&self) -> u32 {
        u32::from(self.last).saturating_sub(u32::from(self.first)) + 1
    }

    fn overlaps(&self, other: &PortRange) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// What is spoken at a port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP, where nothing is said.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl PublishedPort {
    /// Whether both can't be there, because they want the same of the machine.
    pub fn conflicts_with(&self, other: &PublishedPort) -> bool {
        let (Some(one), Some(two)) = (self.published, other.published) else {
            return false;
        };
        self.protocol == other.protocol
            && one.overlaps(&two)
            && addresses_overlap(self.host_ip, other.host_ip)
    }
}

/// Whether something that arrives at the machine can be for both addresses.
fn addresses_overlap(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return true;
    };
    one.is_ipv4() == other.is_ipv4()
        && (one == other || one.is_unspecified() || other.is_unspecified())
}

impl FromStr for PublishedPort {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (ports, protocol) = match text.split_once('/') {
            Some((ports, protocol)) => (ports, protocol.parse()?),
            None => (text, Protocol::Tcp),
        };
        let (rest, target) = match ports.rsplit_once(':') {
            Some((rest, target)) => (Some(rest), target),
            None => (None, ports),
        };
        let (host_ip, published) = match rest {
            None => (None, None),
            Some(rest) => match rest.rsplit_once(':') {
                Some((address, published)) => (Some(address), Some(published)),
                None => (None, Some(rest)),
            },
        };
        let wrong = || wrong(text);
        let host_ip = host_ip.map(|address| host_ip_of(address).ok_or_else(wrong));
        let published = match published {
            // "127.0.0.1::80": any port of that address.
            Some("") if host_ip.is_some() => None,
            Some(published) => Some(range(published).ok_or_else(wrong)?),
            None => None,
        };
        Ok(PublishedPort {
            host_ip: host_ip.transpose()?,
            published,
            target: range(target).ok_or_else(wrong)?,
            protocol,
        })
    }
}

/// An address in front of ports: with brackets where it has colons of its own.
fn host_ip_of(text: &str) -> Option<IpAddr> {
    match text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok().filter(IpAddr::is_ipv4),
    }
}

fn range(text: &str) -> Option<PortRange> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some(PortRange { first, last })
}

fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

fn wrong(text: &str) -> ParseError {
    ParseError::new(format!(
        "{text:?} is no published port; write \"80\", \"8080:80\", \"127.0.0.1:8080:80/tcp\", \
         \"[::]:53:53/udp\" or \"8000-8010:8000-8010\", with ports from 1 to 65535"
    ))
}

impl FromStr for Protocol {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Protocol::Tcp),
            "udp" => Ok(Protocol::Udp),
            _ => Err(ParseError::new(format!(
                "ports of {text:?} can't be published; \"tcp\" and \"udp\" can"
            ))),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            None => {}
        }
        match (self.published, self.host_ip) {
            (Some(published), _) => write!(f, "{published}:")?,
            (None, Some(_)) => f.write_str(":")?,
            (None, None) => {}
        }
        write!(f, "{}", self.target)?;
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}

impl Serialize for PublishedPort {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublishedPort {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        text::parsed_or_number(input, "a port like \"127.0.0.1:8080:80/tcp\"")
    }
}

#[cfg(test)]
mod tests {
    use super::{PortRange, Protocol, PublishedPort};

    fn parse(text: &str) -> PublishedPort {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// The forms of the Compose specification's short syntax.
    #[test]
    fn forms() {
        let range = |first, last| PortRange { first, last };
        for (text, host_ip, published, target, protocol, again) in [
            ("80", None, None, range(80, 80), Protocol::Tcp, "80"),
            (
                "8080:80",
                None,
                Some(range(8080, 8080)),
                range(80, 80),
                Protocol::Tcp,
                "8080:80",
            ),
            (
                "127.0.0.1:8080:80/tcp",
                Some("127.0.0.1"),
                Some(range(8080, 8080)),
                range(80, 80),
                Protocol::Tcp,
                "127.0.0.1:8080:80",
            ),
            (
                "127.0.0.1::80",
                Some("127.0.0.1"),
                None,
                range(80, 80),
                Protocol::Tcp,
                "127.0.0.1::80",
            ),
            (
                "8000-8010:9000-9010/UDP",
                None,
                Some(range(8000, 8010)),
                range(9000, 9010),
                Protocol::Udp,
                "8000-8010:9000-9010/udp",
            ),
            (
                "[::1]:53:53/udp",
                Some("::1"),
                Some(range(53, 53)),
                range(53, 53),
                Protocol::Udp,
                "[::1]:53:53/udp",
            ),
            (
                "3000-3002",
                None,
                None,
                range(3000, 3002),
                Protocol::Tcp,
                "3000-3002",
            ),
        ] {
            let port = parse(text);
            let host_ip = host_ip.map(|address| address.parse().unwrap());
            assert_eq!(port.host_ip, host_ip, "{text}");
            assert_eq!(port.published, published, "{text}");
            assert_eq!(port.target, target, "{text}");
            assert_eq!(port.protocol, protocol, "{text}");
            assert_eq!(port.to_string(), again, "{text}");
            assert_eq!(parse(again), port, "{text}");
        }
        for wrong in [
            "",
            ":",
            ":80",
            "80:",
            "0",
            "0:80",
            "65536",
            "a",
            "+80",
            "80-",
            "81-80",
            "80/sctp",
            "80/",
            "::1:80:80",
            "[127.0.0.1]:80:80",
            "localhost:80:80",
            "1.2.3.4.5:80:80",
            "[::1]80:80",
            "1:2:3:4",
        ] {
            assert!(wrong.parse::<PublishedPort>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn conflicts() {
        for (one, other, conflict) in [
            ("80:80", "80:81", true),
            ("80:80", "80:80/udp", false),
            ("80", "80", false),
            ("80:80", "80", false),
            ("1-9:1-9", "9-10:1-2", true),
            ("1-9:1-9", "10:1", false),
            ("127.0.0.1:80:80", "80:80", true),
            ("127.0.0.1:80:80", "127.0.0.2:80:80", false),
            ("127.0.0.1:80:80", "0.0.0.0:80:80", true),
            ("127.0.0.1:80:80", "[::]:80:80", false),
            ("[::1]:80:80", "[::]:80:80", true),
        ] {
            let (one_port, other_port) = (parse(one), parse(other));
            assert_eq!(
                one_port.conflicts_with(&other_port),
                conflict,
                "{one} {other}"
            );
            assert_eq!(
                other_port.conflicts_with(&one_port),
                conflict,
                "{other} {one}"
            );
        }
    }
}
