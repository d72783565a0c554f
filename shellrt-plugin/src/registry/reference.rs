//! Image references, read and normalised as containerd and docker do it.

use std::fmt;
use std::str::FromStr;

use super::{Digest, Error};

/// The name of an image: registry, repository, and a tag or a digest or both.
///
/// Parsing accepts the short forms (`alpine` is `docker.io/library/alpine:latest`; Docker Hub's
/// other names `index.docker.io` and `registry-1.docker.io` are `docker.io`), and `Display` writes
/// the canonical form, so two references name the same image exactly if they are equal.
///
/// The grammar is `github.com/distribution/reference`'s and it is written out here, because
/// `oci-client` answers every mistake with "invalid reference format", does not know IPv6 literals
/// and allows tags outside ASCII.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry as in `Display`: a host name or address, with the port if one was given.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within the registry, `library/alpine`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` where neither tag nor digest was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest or index, where the reference pins one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What a registry is asked for: the digest where there is one, else the tag.
    pub fn asked(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => LATEST.to_owned(),
        }
    }

    /// The same repository, pinned to `digest`, without a tag: `docker.io/library/alpine@sha256:...`.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Reference {
        Reference {
            registry: self.registry.clone(),
            repository: self.repository.clone(),
            tag: None,
            digest: Some(digest.clone()),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Reference, Error> {
        parse(text).map_err(|reason| Error::Reference {
            reference: text.chars().take(300).collect(),
            reason,
        })
    }
}

const DOCKER_HUB: &str = "docker.io";
const LATEST: &str = "latest";
/// A repository's longest name and a tag's longest text, in bytes.
const REPOSITORY_MAX: usize = 255;
const TAG_MAX: usize = 128;

fn parse(text: &str) -> Result<Reference, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.contains("://") {
        return Err("leave out the \"http://\" or \"https://\"".to_owned());
    }
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("64 hexadecimal digits are an image id, not a name".to_owned());
    }
    let (registry, rest) = split_registry(text);
    check_registry(&registry)?;
    let (rest, digest) = match rest.split_once('@') {
        None => (rest.as_str(), None),
        Some((rest, digest)) => (rest, Some(parse_digest(digest)?)),
    };
    let (repository, tag) = match rest.split_once(':') {
        None => (rest, None),
        Some((repository, tag)) => (repository, Some(tag)),
    };
    check_repository(repository)?;
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    let tag = match (tag, &digest) {
        (Some(tag), _) => Some(tag.to_owned()),
        (None, Some(_)) => None,
        (None, None) => Some(LATEST.to_owned()),
    };
    Ok(Reference {
        repository: repository.to_owned(),
        registry,
        tag,
        digest,
    })
}

/// The registry and the rest: the first part is a registry where it looks like a host.
fn split_registry(text: &str) -> (String, String) {
    let (registry, rest) = match text.split_once('/') {
        Some((first, rest)) if looks_like_a_host(first) => (first, rest),
        Some(_) | None => (DOCKER_HUB, text),
    };
    let registry = match registry {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
        other => other,
    };
    if registry == DOCKER_HUB && !rest.contains('/') {
        return (registry.to_owned(), format!("library/{rest}"));
    }
    (registry.to_owned(), rest.to_owned())
}

fn looks_like_a_host(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn check_registry(registry: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what} in the registry \"{registry}\""));
    let (host, port) = if let Some(rest) = registry.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return wrong("a \"]\" is missing");
        };
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return wrong("there is no IPv6 address");
        }
        match port.strip_prefix(':') {
            Some(port) => ("", Some(port)),
            None if port.is_empty() => ("", None),
            None => return wrong("something unexpected follows the address"),
        }
    } else {
        match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        }
    };
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |n| n == 0)) {
        return wrong("the port must be a number from 1 to 65535");
    }
    let label_is_fine = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if !registry.starts_with('[') && !host.split('.').all(label_is_fine) {
        return wrong("there is no valid host name");
    }
    Ok(())
}

fn check_repository(repository: &str) -> Result<(), String> {
    let shown = repository.strip_prefix("library/").unwrap_or(repository);
    if shown.is_empty() {
        return Err("the repository's name is missing".to_owned());
    }
    if repository.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(format!(
            "the repository \"{shown}\" must be lower case, write \"{}\"",
            shown.to_ascii_lowercase()
        ));
    }
    if repository.len() > REPOSITORY_MAX {
        return Err(format!(
            "the repository's name is longer than {REPOSITORY_MAX} characters"
        ));
    }
    for part in repository.split('/') {
        if !part_is_fine(part) {
            return Err(format!(
                "\"{part}\" in the repository \"{shown}\" is not allowed: parts are lower-case \
                 letters and digits, separated by \".\", \"_\", \"__\" or dashes"
            ));
        }
    }
    Ok(())
}

/// Letters and digits in groups, one separator between two groups.
fn part_is_fine(part: &str) -> bool {
    let ordinary = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut separator = String::new();
    let mut after_group = false;
    for b in part.bytes() {
        if ordinary(b) {
            let allowed = separator.is_empty()
                || after_group
                    && (matches!(separator.as_str(), "." | "_" | "__")
                        || separator.bytes().all(|b| b == b'-'));
            if !allowed {
                return false;
            }
            separator.clear();
            after_group = true;
        } else if matches!(b, b'.' | b'_' | b'-') {
            separator.push(char::from(b));
        } else {
            return false;
        }
    }
    after_group && separator.is_empty()
}

fn check_tag(tag: &str) -> Result<(), String> {
    if tag.is_empty() {
        return Err("the tag after \":\" is missing".to_owned());
    }
    if tag.len() > TAG_MAX {
        return Err(format!("the tag is longer than {TAG_MAX} characters"));
    }
    let first_is_fine = !tag.starts_with(['.', '-']);
    let all_fine = tag
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if !first_is_fine || !all_fine {
        return Err(format!(
            "the tag \"{tag}\" is not allowed: letters, digits, \"_\", \".\" and \"-\" are, and \
             the first is none of the last two"
        ));
    }
    Ok(())
}

fn parse_digest(text: &str) -> Result<Digest, String> {
    text.parse().map_err(|error: Error| match error {
        Error::Digest { reason, .. } => format!("the digest \"{text}\" is wrong: {reason}"),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

    /// The expected values are those of `normalize_test.go` and `reference_test.go` in
    /// `distribution/reference`, and of the protocol for Docker Hub's other names.
    #[test]
    fn references_are_normalised_as_containerd_does() {
        for (text, canonical) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("ubuntu:22.04", "docker.io/library/ubuntu:22.04"),
            ("docker/docker", "docker.io/docker/docker:latest"),
            ("library/debian", "docker.io/library/debian:latest"),
            ("docker.io/library/debian", "docker.io/library/debian:latest"),
            ("docker.io/debian", "docker.io/library/debian:latest"),
            ("index.docker.io/library/debian", "docker.io/library/debian:latest"),
            ("index.docker.io/debian:12", "docker.io/library/debian:12"),
            ("registry-1.docker.io/library/ubuntu:latest", "docker.io/library/ubuntu:latest"),
            ("registry-1.docker.io/ubuntu", "docker.io/library/ubuntu:latest"),
            ("127.0.0.1:5000/docker/docker", "127.0.0.1:5000/docker/docker:latest"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("[2001:db8::1]/a", "[2001:db8::1]/a:latest"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a:b", "localhost:5000/a:b"),
            ("test.com/repo:tag", "test.com/repo:tag"),
            ("test:5000/repo", "test:5000/repo:latest"),
            ("test.com:5000", "docker.io/library/test.com:5000"),
            ("foo/foo_bar.com:8080", "docker.io/foo/foo_bar.com:8080"),
            ("Uppercase/lowercase", "Uppercase/lowercase:latest"),
            ("lowercase:Uppercase", "docker.io/library/lowercase:Uppercase"),
            ("xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/myimage:xn--n3h.com"),
            ("docker.io/1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a",
             "docker.io/library/1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a:latest"),
            ("a/b__c/d---e/f.g_h", "docker.io/a/b__c/d---e/f.g_h:latest"),
        ] {
            let reference: Reference = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(reference.to_string(), canonical, "{text}");
            assert_eq!(canonical.parse::<Reference>().unwrap(), reference, "{text}");
        }
    }

    #[test]
    fn tags_and_digests_are_kept() {
        let both: Reference = format!("test:5000/repo:tag@sha256:{HEX}").parse().unwrap();
        assert_eq!(both.to_string(), format!("test:5000/repo:tag@sha256:{HEX}"));
        assert_eq!(both.asked(), format!("sha256:{HEX}"));
        assert_eq!(both.tag(), Some("tag"));
        let digest: Reference = format!("repo@sha512:{HEX}{HEX}").parse().unwrap();
        assert_eq!(digest.tag(), None);
        assert_eq!(digest.registry(), "docker.io");
        assert_eq!(digest.repository(), "library/repo");
        let tagged: Reference = "repo:1".parse().unwrap();
        assert_eq!(tagged.asked(), "1");
        assert_eq!(
            tagged.with_digest(both.digest().unwrap()).to_string(),
            format!("docker.io/library/repo@sha256:{HEX}")
        );
    }

    #[test]
    fn mistakes_are_named() {
        let long = "a/".repeat(128) + "a";
        let long_tag = format!("a:{}", "t".repeat(129));
        let short = format!("repo@sha256:{}", &HEX[..34]);
        let unknown = format!("validname@md9:{HEX}");
        for (text, reason) in [
            ("", "empty"),
            (":justtag", "name is missing"),
            ("@sha256:ffff", "digest"),
            ("https://github.com/docker/docker", "leave out"),
            (
                "docker/Docker",
                "must be lower case, write \"docker/docker\"",
            ),
            ("Uppercase:tag", "must be lower case"),
            ("localhost/Uppercase", "must be lower case"),
            ("-docker/docker", "not allowed"),
            ("docker//docker", "not allowed"),
            ("docker/", "not allowed"),
            ("a/b___c", "not allowed"),
            ("a..b", "not allowed"),
            ("a./b", "host name"),
            ("a/b.", "not allowed"),
            ("../../etc/passwd", "host name"),
            ("a b", "not allowed"),
            ("alpine:", "tag after"),
            ("alpine:-1", "tag \"-1\""),
            ("alpine:t\u{e4}g", "tag"),
            ("alpine:1:2", "tag"),
            ("host:99999/a", "port"),
            ("-host.com/a", "host name"),
            ("host..com/a", "host name"),
            ("[::g]/a", "IPv6"),
            ("[::1/a", "\"]\""),
            (HEX, "image id"),
            (short.as_str(), "needs 64"),
            (unknown.as_str(), "only sha256"),
            (long.as_str(), "longer than 255"),
            (long_tag.as_str(), "longer than 128"),
        ] {
            let error = text.parse::<Reference>().expect_err(text);
            assert_eq!(
                error.code(),
                shellrt_api::v0::Code::INVALID_REFERENCE,
                "{text}"
            );
            assert!(error.to_string().contains(reason), "{text}: {error}");
        }
    }
}
