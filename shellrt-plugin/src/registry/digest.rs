//! Content digests: what a descriptor promises and how it is checked.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

use super::Error;

/// The digest of some bytes, `sha256:<64 hex digits>` or `sha512:<128 hex digits>`, in lower case.
///
/// Only these two algorithms can be verified here, so no other can be held; both parts are safe in a
/// file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

impl Digest {
    /// The sha256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::sha256();
        hasher.update(bytes);
        hasher.finish()
    }

    /// `sha256` or `sha512`.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm.name()
    }

    /// The part after the colon, lower-case hexadecimal.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// A hasher of this digest's algorithm that has seen nothing yet.
    pub fn hasher(&self) -> Hasher {
        match self.algorithm {
            Algorithm::Sha256 => Hasher::sha256(),
            Algorithm::Sha512 => Hasher {
                state: State::Sha512(Box::default()),
                seen: 0,
            },
        }
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Digest, Error> {
        let invalid = |reason: &str| Error::Digest {
            digest: text.chars().take(160).collect(),
            reason: reason.to_owned(),
        };
        let (name, hex) = text
            .split_once(':')
            .ok_or_else(|| invalid("it has no algorithm, as in \"sha256:...\""))?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(invalid("only sha256 and sha512 can be verified")),
        };
        if hex.len() != algorithm.hex_len() {
            return Err(invalid(&format!(
                "{name} needs {} hexadecimal digits, this has {}",
                algorithm.hex_len(),
                hex.len()
            )));
        }
        if !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(invalid(
                "only the digits 0-9 and lower-case a-f are allowed",
            ));
        }
        Ok(Digest {
            algorithm,
            hex: hex.to_owned(),
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Computes a digest over bytes as they pass.
///
/// A clone goes on from the same state, so a hasher that has read the first part of a blob can
/// resume its download.
#[derive(Clone)]
pub struct Hasher {
    state: State,
    seen: u64,
}

impl Hasher {
    /// A sha256 hasher that has seen nothing yet.
    pub fn sha256() -> Hasher {
        Hasher {
            state: State::Sha256(Box::default()),
            seen: 0,
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
        self.seen += bytes.len() as u64;
    }

    /// How many bytes it has taken.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The digest of all bytes taken.
    pub fn finish(self) -> Digest {
        match self.state {
            State::Sha256(state) => Digest {
                algorithm: Algorithm::Sha256,
                hex: hex(&state.finalize()),
            },
            State::Sha512(state) => Digest {
                algorithm: Algorithm::Sha512,
                hex: hex(&state.finalize()),
            },
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("seen", &self.seen).finish()
    }
}

/// Boxed, because the states are a few hundred bytes and a hasher is moved around.
#[derive(Clone)]
enum State {
    Sha256(Box<sha2::Sha256>),
    Sha512(Box<sha2::Sha512>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From FIPS 180-4's examples ("abc") and the well-known digest of nothing.
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const ABC_512: &str = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
        2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(Digest::of(b"abc").to_string(), ABC);
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        let mut hasher = ABC_512.parse::<Digest>().unwrap().hasher();
        hasher.update(b"a");
        let mut resumed = hasher.clone();
        resumed.update(b"bc");
        assert_eq!(resumed.seen(), 3);
        assert_eq!(resumed.finish().to_string(), ABC_512);
    }

    #[test]
    fn what_cannot_be_verified_is_refused() {
        for (text, reason) in [
            ("", "no algorithm"),
            ("sha256", "no algorithm"),
            ("md5:d41d8cd98f00b204e9800998ecf8427e", "only sha256"),
            ("sha256:abc", "needs 64"),
            (
                "sha256:../../../../../../../../../../../../../../../etc/passwd-12345678",
                "0-9",
            ),
            (
                "sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
                "lower-case",
            ),
        ] {
            let error = text.parse::<Digest>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn goes_through_json_as_text() {
        let digest: Digest = serde_json::from_str(&format!("\"{ABC}\"")).unwrap();
        assert_eq!(
            serde_json::to_string(&digest).unwrap(),
            format!("\"{ABC}\"")
        );
        assert!(serde_json::from_str::<Digest>("\"sha1:00\"").is_err());
    }
}
