//! A device, as docker's `--device` writes it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::{self, ParseError};

/// A device, in JSON as text: one of the machine, `"/dev/x"`, `"/dev/x:/dev/y"`, `"/dev/x:rw"` or
/// `"/dev/x:/dev/y:rwm"`; or one of the Container Device Interface by its name,
/// `"vendor.com/class=name"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// One of the machine.
    Node(DeviceNode),
    /// One that a file of the Container Device Interface describes.
    Cdi(String),
}

/// A device of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNode {
    /// The device on the machine, or a directory, which means all devices below it.
    pub source: String,
    /// Its path in the container.
    pub target: String,
    /// What is allowed: letters of `rwm`, for reading, writing and mknod. Default all.
    pub permissions: String,
}

impl FromStr for Device {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if is_cdi_name(text) {
            return Ok(Device::Cdi(text.to_owned()));
        }
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, permissions) = match parts[..] {
            [source] => (source, source, "rwm"),
            [source, second] if is_permissions(second) => (source, source, second),
            [source, target] => (source, target, "rwm"),
            [source, target, permissions] => (source, target, permissions),
            _ => return Err(wrong(text)),
        };
        let paths_are_absolute = source.starts_with('/') && target.starts_with('/');
        if !paths_are_absolute || !is_permissions(permissions) {
            return Err(wrong(text));
        }
        Ok(Device::Node(DeviceNode {
            source: source.to_owned(),
            target: target.to_owned(),
            permissions: permissions.to_owned(),
        }))
    }
}

/// Whether it is `vendor/class=name`, by the rules of the Container Device Interface.
fn is_cdi_name(text: &str) -> bool {
    let is_word = |text: &str, inner: &str, first: fn(&char) -> bool| {
        text.chars().next().is_some_and(|letter| first(&letter))
            && text.ends_with(|letter: char| letter.is_ascii_alphanumeric())
            && text
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || inner.contains(letter))
    };
    let Some((kind, name)) = text.split_once('=') else {
        return false;
    };
    kind.split_once('/').is_some_and(|(vendor, class)| {
        is_word(vendor, "_-.", char::is_ascii_alphabetic)
            && is_word(class, "_-.", char::is_ascii_alphabetic)
    }) && is_word(name, "_-.:", char::is_ascii_alphanumeric)
}

fn is_permissions(text: &str) -> bool {
    let unique = |letter| text.matches(letter).count() <= 1;
    !text.is_empty()
        && text
            .chars()
            .all(|letter| "rwm".contains(letter) && unique(letter))
}

fn wrong(text: &str) -> ParseError {
    ParseError::new(format!(
        "{text:?} is no device; write \"/dev/x\", \"/dev/x:/dev/y\", \"/dev/x:/dev/y:rwm\" or \
         \"vendor.com/class=name\""
    ))
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeviceNode {
            source,
            target,
            permissions,
        } = match self {
            Device::Node(node) => node,
            Device::Cdi(name) => return f.write_str(name),
        };
        f.write_str(source)?;
        if target != source || permissions != "rwm" {
            write!(f, ":{target}")?;
        }
        if permissions != "rwm" {
            write!(f, ":{permissions}")?;
        }
        Ok(())
    }
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        text::parsed(input, "a device like \"/dev/x:/dev/y:rwm\"")
    }
}

#[cfg(test)]
mod tests {
    use super::Device;

    #[test]
    fn forms() {
        for (text, source, target, permissions, again) in [
            ("/dev/a", "/dev/a", "/dev/a", "rwm", "/dev/a"),
            ("/dev/a:/dev/b", "/dev/a", "/dev/b", "rwm", "/dev/a:/dev/b"),
            ("/dev/a:rw", "/dev/a", "/dev/a", "rw", "/dev/a:/dev/a:rw"),
            (
                "/dev/a:/dev/b:mr",
                "/dev/a",
                "/dev/b",
                "mr",
                "/dev/a:/dev/b:mr",
            ),
            (
                "/dev/a:/dev/b:rwm",
                "/dev/a",
                "/dev/b",
                "rwm",
                "/dev/a:/dev/b",
            ),
        ] {
            let device: Device = text.parse().unwrap();
            let Device::Node(node) = &device else {
                panic!("{device:?}");
            };
            assert_eq!(node.source, source, "{text}");
            assert_eq!(node.target, target, "{text}");
            assert_eq!(node.permissions, permissions, "{text}");
            assert_eq!(device.to_string(), again, "{text}");
        }
    }

    /// The rules of the Container Device Interface's specification, "Kind" and "CDI Devices".
    #[test]
    fn cdi_names() {
        for text in [
            "nvidia.com/gpu=all",
            "nvidia.com/gpu=0:1",
            "vendor.com/a-b_c=GPU-8a",
            "v/c.d=n",
        ] {
            assert_eq!(text.parse(), Ok(Device::Cdi(text.to_owned())));
        }
        for text in [
            "gpu=all",
            "nvidia.com/gpu",
            "nvidia.com/gpu=",
            "1.com/gpu=0",
            "nvidia.com/=0",
            "nvidia.com/a/b=0",
            "nvidia.com/gpu=0-",
            "nvidia.com/gpu=a b",
        ] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
    }
}
