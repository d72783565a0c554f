//! A device of the machine, as docker's `--device` writes it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::{self, ParseError};

/// A device of the machine, in JSON as text: `"/dev/x"`, `"/dev/x:/dev/y"`, `"/dev/x:rw"` or
/// `"/dev/x:/dev/y:rwm"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
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
        Ok(Device {
            source: source.to_owned(),
            target: target.to_owned(),
            permissions: permissions.to_owned(),
        })
    }
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
        "{text:?} is no device; write \"/dev/x\", \"/dev/x:/dev/y\" or \"/dev/x:/dev/y:rwm\""
    ))
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Device {
            source,
            target,
            permissions,
        } = self;
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
            assert_eq!(device.source, source, "{text}");
            assert_eq!(device.target, target, "{text}");
            assert_eq!(device.permissions, permissions, "{text}");
            assert_eq!(device.to_string(), again, "{text}");
        }
    }
}
