//! Platforms: their names, and which of an index's images one of them can run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Error;

/// An operating system and a processor, as an index describes its images.
///
/// Parsing normalises as containerd does: `linux/aarch64` and `linux/arm64/v8` are `linux/arm64`,
/// `linux/arm` is `linux/arm/v7`, `linux/x86_64` is `linux/amd64`. What comes out of an index is as
/// the index has it; [`normalized`](Platform::normalized) makes the two comparable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `wasi`, ...
    #[serde(default)]
    pub os: String,
    /// Go's name of the processor: `amd64`, `arm64`, `arm`, `wasm`, ...
    #[serde(default)]
    pub architecture: String,
    /// `v7` for `arm`, `v8` for `arm64`, `v1` to `v4` for `amd64`; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// The operating system's version, where an index gives one (Windows).
    #[serde(
        default,
        rename = "os.version",
        skip_serializing_if = "String::is_empty"
    )]
    pub os_version: String,
}

impl Platform {
    /// The platform that this program was built for, which is the one that it runs on.
    pub fn host() -> Platform {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86" => ("386", ""),
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", ""),
            "arm" if cfg!(target_feature = "v7") => ("arm", "v7"),
            "arm" if cfg!(target_feature = "v6") => ("arm", "v6"),
            "arm" => ("arm", "v5"),
            other => (other, ""),
        };
        Platform {
            os: std::env::consts::OS.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
            os_version: String::new(),
        }
        .normalized()
    }

    /// The same platform under its canonical names.
    #[must_use]
    pub fn normalized(&self) -> Platform {
        let os = match self.os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let variant = self.variant.to_ascii_lowercase();
        let (architecture, variant) = match (
            self.architecture.to_ascii_lowercase().as_str(),
            variant.as_str(),
        ) {
            ("i386", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64" | "amd64", other) => ("amd64", other),
            ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
            ("aarch64" | "arm64", other) => ("arm64", other),
            ("armhf", _) => ("arm", "v7"),
            ("armel", _) => ("arm", "v6"),
            ("arm", "" | "7") => ("arm", "v7"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "6") => ("arm", "v6"),
            ("arm", "8") => ("arm", "v8"),
            (architecture, variant) => {
                return Platform {
                    os,
                    architecture: architecture.to_owned(),
                    variant: variant.to_owned(),
                    os_version: self.os_version.clone(),
                }
            }
        };
        Platform {
            os,
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
            os_version: self.os_version.clone(),
        }
    }

    /// How well an image for `image` suits this platform: 0 is exact, more is worse, `None` cannot
    /// run.
    ///
    /// An image for an older variant suits (`arm/v7` runs `v6` and `v5`, `amd64/v3` runs `v2` and
    /// plain `amd64`), one for a newer variant or another processor does not: whether an `arm64`
    /// machine runs 32-bit programs depends on the processor, so nobody gets them unasked.
    pub fn rank(&self, image: &Platform) -> Option<u32> {
        let (own, image) = (self.normalized(), image.normalized());
        if own.os != image.os || own.architecture != image.architecture {
            return None;
        }
        if !own.os_version.is_empty() && own.os_version != image.os_version {
            return None;
        }
        match (own.level(), image.level()) {
            (Some(own), Some(image)) => own.checked_sub(image),
            _ => (own.variant == image.variant).then_some(0),
        }
    }

    /// The variant as a number that grows with what the processor can do, in steps of one tenth
    /// (`v8.2` is 82).
    fn level(&self) -> Option<u32> {
        let default = match self.architecture.as_str() {
            "amd64" => "v1",
            "arm64" => "v8",
            "arm" => "v7",
            _ => return None,
        };
        let variant = match self.variant.as_str() {
            "" => default,
            variant => variant,
        };
        let (major, minor) = match variant.strip_prefix('v')?.split_once('.') {
            Some((major, minor)) => (major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?),
            None => (variant.strip_prefix('v')?.parse::<u32>().ok()?, 0),
        };
        (major < 100 && minor < 10).then_some(major * 10 + minor)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        if !self.os_version.is_empty() {
            write!(f, " ({})", self.os_version)?;
        }
        Ok(())
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// # Errors
    /// [`Error::Platform`], unless there are two or three parts of letters, digits, `_`, `-` and `.`.
    fn from_str(text: &str) -> Result<Platform, Error> {
        let invalid = |reason| Error::Platform {
            platform: text.chars().take(100).collect(),
            reason,
        };
        let parts: Vec<&str> = text.split('/').collect();
        let fine = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        if !parts.iter().all(fine) {
            return Err(invalid(
                "a part is empty or has characters that are not allowed",
            ));
        }
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (*os, *architecture, ""),
            [os, architecture, variant] => (*os, *architecture, *variant),
            [_] => return Err(invalid("the architecture is missing")),
            _ => return Err(invalid("there are too many parts")),
        };
        Ok(Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
            os_version: String::new(),
        }
        .normalized())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From containerd's `platforms_test.go` and `database.go`.
    #[test]
    fn names_are_normalised_as_containerd_does() {
        for (text, canonical) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("Linux/x86-64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/i386", "linux/386"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm64/8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("macos/aarch64", "darwin/arm64"),
            ("wasi/wasm", "wasi/wasm"),
        ] {
            assert_eq!(
                text.parse::<Platform>().unwrap().to_string(),
                canonical,
                "{text}"
            );
        }
        for text in ["", "linux", "linux/", "a/b/c/d", "linux/am d64"] {
            let error = text.parse::<Platform>().unwrap_err();
            assert_eq!(error.code(), shellrt_api::v0::Code::INVALID_REQUEST);
        }
    }

    /// From the tables of containerd's `compare_test.go` (`TestOnly`), without its fallbacks to
    /// another architecture.
    #[test]
    fn older_variants_suit_and_newer_do_not() {
        let ranks = |own: &str, image: &str| {
            let own: Platform = own.parse().unwrap();
            own.rank(&image.parse().unwrap())
        };
        for (own, image) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/arm64", "linux/arm64/v8"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            assert_eq!(ranks(own, image), Some(0), "{own} {image}");
        }
        assert!(ranks("linux/arm/v7", "linux/arm/v6") < ranks("linux/arm/v7", "linux/arm/v5"));
        assert!(ranks("linux/arm", "linux/arm/v5").is_some());
        assert!(ranks("linux/amd64/v3", "linux/amd64/v2").is_some());
        assert!(ranks("linux/amd64/v3", "linux/amd64").is_some());
        assert!(ranks("linux/arm64/v8.2", "linux/arm64").is_some());
        for (own, image) in [
            ("linux/amd64", "linux/amd64/v2"),
            ("linux/amd64", "linux/386"),
            ("linux/arm/v6", "linux/arm/v7"),
            ("linux/arm64", "linux/arm/v7"),
            ("linux/arm64", "linux/arm64/v9"),
            ("linux/amd64", "windows/amd64"),
            ("linux/amd64", "unknown/unknown"),
            ("linux/riscv64", "linux/riscv64/x"),
        ] {
            assert_eq!(ranks(own, image), None, "{own} {image}");
        }
    }

    #[test]
    fn the_host_runs_its_own_images() {
        let host = Platform::host();
        assert_eq!(host.rank(&host), Some(0));
        assert_eq!(host.to_string().parse::<Platform>().unwrap(), host);
    }
}
