//! The values that have a form of their own.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use clap::ValueEnum;
use shellrt_api::v0::config::containerd::{self, Ulimit};
use shellrt_api::v0::config::Duration;
use shellrt_api::v0::Secret;

/// `KEY=VALUE`, or `KEY` for the value in the environment of this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    pub key: String,
    pub value: Option<String>,
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        // The text itself may be a password that lost its key, so it is not repeated.
        if key.is_empty() {
            return Err("a variable needs a name; write KEY=VALUE or KEY".to_owned());
        }
        let key = key.to_owned();
        Ok(Variable { key, value })
    }
}

pub fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

pub fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<Duration>().map_err(|error| error.to_string())
}

pub fn whole_seconds(text: &str) -> Result<u64, String> {
    let duration = duration(text)?.0;
    if duration.subsec_nanos() != 0 {
        return Err("only whole seconds can be asked for".to_owned());
    }
    Ok(duration.as_secs())
}

pub fn cpus(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(cpus) if cpus.is_finite() && cpus > 0.0 => Ok(cpus),
        _ => Err("the number of processors must be more than 0, as in \"0.5\"".to_owned()),
    }
}

/// `host:port`, `address:port` or a CIDR.
pub fn connect(text: &str) -> Result<String, String> {
    let is_network = text.split_once('/').is_some_and(|(address, length)| {
        let bits = match address.parse() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        length.parse::<u8>().is_ok_and(|length| length <= bits)
    });
    let is_address = text.parse::<SocketAddr>().is_ok();
    let is_host = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains([':', '/', ' ']) && port.parse::<u16>().is_ok()
    });
    if is_network || is_address || is_host {
        Ok(text.to_owned())
    } else {
        Err("write \"host:port\", \"address:port\" or a network like \"10.0.0.0/8\"".to_owned())
    }
}

pub fn listen(text: &str) -> Result<String, String> {
    match text.parse::<SocketAddr>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("write \"address:port\", as in \"127.0.0.1:8080\"".to_owned()),
    }
}

/// A label without a value has the empty one, as docker has it.
pub fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err("a label needs a name; write KEY=VALUE".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

pub fn sysctl(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE, as in \"net.core.somaxconn=1024\"".to_owned()),
    }
}

pub fn ulimit(text: &str) -> Result<(String, Ulimit), String> {
    let Some((name, limit)) = text.split_once('=') else {
        return Err("write NAME=SOFT or NAME=SOFT:HARD, as in \"nofile=1024:4096\"".to_owned());
    };
    let limit = limit.parse::<Ulimit>().map_err(|error| error.to_string())?;
    Ok((name.to_owned(), limit))
}

/// Whose part of the system a container sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Namespace {
    /// Its own
    Private,
    /// The machine's
    Host,
}

impl From<Namespace> for containerd::Namespace {
    fn from(namespace: Namespace) -> Self {
        match namespace {
            Namespace::Private => containerd::Namespace::Private,
            Namespace::Host => containerd::Namespace::Host,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{connect, cpus, label, listen, sysctl, ulimit, whole_seconds, Variable};

    #[test]
    fn variables() {
        let variable = |text: &str| text.parse::<Variable>().map(|v| (v.key, v.value));
        assert_eq!(variable("A=b=c").unwrap(), ("A".into(), Some("b=c".into())));
        assert_eq!(variable("A=").unwrap(), ("A".into(), Some("".into())));
        assert_eq!(variable("A").unwrap(), ("A".into(), None));
        assert!(variable("=b").is_err());
        assert!(variable("").is_err());
        assert_eq!(label("a").unwrap(), ("a".into(), "".into()));
        assert!(label("=a").is_err());
        assert_eq!(sysctl("a.b=1").unwrap(), ("a.b".into(), "1".into()));
        assert!(sysctl("a.b").is_err());
        let (name, limit) = ulimit("nofile=1:2").unwrap();
        assert_eq!((name.as_str(), limit.soft, limit.hard), ("nofile", 1, 2));
        assert!(ulimit("nofile").is_err());
        assert!(ulimit("nofile=lots").is_err());
    }

    #[test]
    fn networks() {
        for text in [
            "example.org:443",
            "10.0.0.1:80",
            "[::1]:80",
            "10.0.0.0/8",
            "fd00::/8",
        ] {
            assert!(connect(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "example.org",
            "example.org:http",
            "10.0.0.0/33",
            "http://a:80",
            ":80",
            "a:99999",
        ] {
            assert!(connect(text).is_err(), "{text}");
        }
        assert!(listen("127.0.0.1:8080").is_ok());
        assert!(listen("[::]:0").is_ok());
        assert!(listen("localhost:8080").is_err());
        assert!(listen("8080").is_err());
    }

    #[test]
    fn numbers() {
        assert_eq!(whole_seconds("90").unwrap(), 90);
        assert_eq!(whole_seconds("1m30s").unwrap(), 90);
        assert!(whole_seconds("0.5").is_err());
        assert!(whole_seconds("-1").is_err());
        assert_eq!(cpus("0.5").unwrap(), 0.5);
        for text in ["0", "-1", "nan", "inf", "all"] {
            assert!(cpus(text).is_err(), "{text}");
        }
    }
}
