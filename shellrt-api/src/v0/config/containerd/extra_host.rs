//! A line more in the container's host table, as docker's `--add-host` writes it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::{self, ParseError};

/// The word for the address at which a container reaches its machine.
const GATEWAY: &str = "host-gateway";

/// A name that the container knows; in JSON as text: `"name:10.0.0.7"`, `"name=10.0.0.7"`,
/// `"name=::1"`, `"name:host-gateway"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraHost {
    /// The name.
    pub name: String,
    /// Its address.
    pub address: HostAddress,
}

/// The address of an [`ExtraHost`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostAddress {
    /// This one.
    Ip(IpAddr),
    /// The one at which the container reaches its machine, `"host-gateway"`.
    Gateway,
}

impl FromStr for ExtraHost {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || {
            ParseError::new(format!(
                "{text:?} is no host; write \"name:address\", \"name=address\" or \
                 \"name:{GATEWAY}\""
            ))
        };
        let (name, address) = text.split_once(['=', ':']).ok_or_else(wrong)?;
        let sound = |letter: char| letter.is_alphanumeric() || "-._".contains(letter);
        if name.is_empty() || name.len() > 253 || !name.chars().all(sound) {
            return Err(wrong());
        }
        let inner = address
            .strip_prefix('[')
            .and_then(|address| address.strip_suffix(']'));
        let address = match address {
            GATEWAY => HostAddress::Gateway,
            _ => HostAddress::Ip(inner.unwrap_or(address).parse().map_err(|_| wrong())?),
        };
        Ok(ExtraHost {
            name: name.to_owned(),
            address,
        })
    }
}

impl fmt::Display for ExtraHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            HostAddress::Ip(address) => write!(f, "{}={address}", self.name),
            HostAddress::Gateway => write!(f, "{}={GATEWAY}", self.name),
        }
    }
}

impl Serialize for ExtraHost {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ExtraHost {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        text::parsed(input, "a host like \"name:address\"")
    }
}

#[cfg(test)]
mod tests {
    use super::{ExtraHost, HostAddress};

    #[test]
    fn forms() {
        let ip = |text: &str| HostAddress::Ip(text.parse().unwrap());
        for (text, name, address, again) in [
            ("db:10.0.0.7", "db", ip("10.0.0.7"), "db=10.0.0.7"),
            ("db=10.0.0.7", "db", ip("10.0.0.7"), "db=10.0.0.7"),
            ("db=::1", "db", ip("::1"), "db=::1"),
            ("db:::1", "db", ip("::1"), "db=::1"),
            ("db:[fd00::7]", "db", ip("fd00::7"), "db=fd00::7"),
            (
                "a.b-c_d=1.2.3.4",
                "a.b-c_d",
                ip("1.2.3.4"),
                "a.b-c_d=1.2.3.4",
            ),
            (
                "host.docker.internal:host-gateway",
                "host.docker.internal",
                HostAddress::Gateway,
                "host.docker.internal=host-gateway",
            ),
        ] {
            let host: ExtraHost = text.parse().unwrap();
            assert_eq!(
                (host.name.as_str(), host.address),
                (name, address),
                "{text}"
            );
            assert_eq!(host.to_string(), again, "{text}");
        }
        for wrong in [
            "",
            "db",
            "db:",
            ":1.2.3.4",
            "d b:1.2.3.4",
            "db:there",
            "a\tb=1.2.3.4",
        ] {
            assert!(wrong.parse::<ExtraHost>().is_err(), "{wrong}");
        }
    }
}
