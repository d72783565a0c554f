//! The values that have a form of their own.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::{self, Path};
use std::str::FromStr;

use shellrt_api::v0::config::wasm::{Mount, MountKind};
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

/// Splits from the right, so that the directory of the host may contain colons.
pub fn mount(text: &str) -> Result<Mount, String> {
    let (paths, read_only) = match text.rsplit_once(':') {
        Some((paths, "ro")) => (paths, true),
        Some((paths, "rw")) => (paths, false),
        _ => (text, false),
    };
    let Some((source, target)) = paths.rsplit_once(':') else {
        return Err("write HOST:GUEST, HOST:GUEST:ro or HOST:GUEST:rw".to_owned());
    };
    if target != "." && !Path::new(target).is_absolute() {
        return Err(format!(
            "{target:?}, the name inside, must be an absolute path or \".\"; a mode is \"ro\" or \"rw\""
        ));
    }
    // The plugin may run in another directory one day, so the path is made absolute here.
    let source = path::absolute(source)
        .map_err(|error| format!("{source:?} is no directory of this machine: {error}"))?;
    Ok(Mount {
        kind: MountKind::Bind,
        source,
        target: target.to_owned(),
        read_only,
    })
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{connect, cpus, label, listen, mount, whole_seconds, Variable};

    #[test]
    fn mounts() {
        for (text, source, target, read_only) in [
            ("/srv/data:/data", "/srv/data", "/data", false),
            ("/srv/data:/data:ro", "/srv/data", "/data", true),
            ("/srv/data:/data:rw", "/srv/data", "/data", false),
            ("/a:b:/data:ro", "/a:b", "/data", true),
            ("/srv:.", "/srv", ".", false),
        ] {
            let mount = mount(text).unwrap();
            assert_eq!(mount.source, Path::new(source), "{text}");
            assert_eq!(mount.target, target, "{text}");
            assert_eq!(mount.read_only, read_only, "{text}");
        }
        let relative = mount("data:/data").unwrap().source;
        assert_eq!(relative, std::env::current_dir().unwrap().join("data"));
        for text in [
            "",
            "/data",
            "/data:ro",
            "/srv:data",
            ":/data",
            "/srv:/data:wr",
        ] {
            assert!(mount(text).is_err(), "{text}");
        }
    }

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
