//! Where an image comes from: its reference, read and normalised.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use shellrt_plugin::registry::Reference;

use crate::error::Error;

/// What a reference names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An image in a registry.
    Registry(Reference),
    /// `oci:DIR[:TAG]`: an image in an OCI layout directory.
    Directory {
        /// The directory, absolute.
        path: PathBuf,
        /// Which of its images; it needs to be said only where there are several.
        tag: Option<String>,
    },
    /// `file:PATH`: a program, as bytes or as text.
    File(PathBuf),
}

/// The one spelling of a reference under which its image is known: `hello` becomes
/// `docker.io/library/hello:latest`, and paths become absolute.
///
/// # Errors
/// Code 10 where it is no reference.
pub fn canonical(reference: &str) -> Result<String, Error> {
    reference.parse::<Source>().map(|source| source.to_string())
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Source, Error> {
        let invalid = |reason| Error::Reference {
            reference: text.to_owned(),
            reason,
        };
        if let Some(path) = text.strip_prefix("file:") {
            return Ok(Source::File(absolute(path).map_err(invalid)?));
        }
        let Some(rest) = text.strip_prefix("oci:") else {
            return Ok(Source::Registry(text.parse()?));
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (rest, None),
        };
        if tag == Some("") {
            return Err(invalid("the tag after \":\" is missing"));
        }
        let path = absolute(path).map_err(invalid)?;
        Ok(Source::Directory {
            path,
            tag: tag.map(str::to_owned),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Registry(reference) => reference.fmt(f),
            Source::Directory { path, tag: None } => write!(f, "oci:{}", path.display()),
            Source::Directory {
                path,
                tag: Some(tag),
            } => write!(f, "oci:{}:{tag}", path.display()),
            Source::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// The absolute form of a path, which need not exist: what was removed from the disk can still be
/// removed here by its name.
fn absolute(path: &str) -> Result<PathBuf, &'static str> {
    if path.is_empty() {
        return Err("the path is missing");
    }
    if path.contains(|c: char| c.is_control()) {
        return Err("there is a control character in the path");
    }
    // As a URL would have it: file:///a/b.
    let path = match path.trim_start_matches('/') {
        relative if relative.len() == path.len() => PathBuf::from(relative),
        rest => Path::new("/").join(rest),
    };
    let path = std::path::absolute(path);
    let path = path.map_err(|_| "it is relative, and there is no current directory")?;
    // Without a slash at the end, which the function keeps.
    Ok(path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::{canonical, Source};
    use shellrt_api::v0::Code;
    use std::path::PathBuf;

    #[test]
    fn every_spelling_has_one_canonical_form() {
        let here = std::env::current_dir().unwrap();
        let here = here.display();
        for (text, expected) in [
            ("hello", "docker.io/library/hello:latest".to_owned()),
            (
                "registry-1.docker.io/library/hello",
                "docker.io/library/hello:latest".to_owned(),
            ),
            ("localhost:5000/a:b", "localhost:5000/a:b".to_owned()),
            ("file:/a/b.wasm", "file:/a/b.wasm".to_owned()),
            ("file:///a//./b.wasm", "file:/a/b.wasm".to_owned()),
            ("file:b.wasm", format!("file:{here}/b.wasm")),
            ("oci:/a/b", "oci:/a/b".to_owned()),
            ("oci:/a/b/", "oci:/a/b".to_owned()),
            ("oci:/a/b:v1", "oci:/a/b:v1".to_owned()),
            ("oci:c:v1", format!("oci:{here}/c:v1")),
            ("oci:/a:1/b", "oci:/a:1/b".to_owned()),
        ] {
            assert_eq!(canonical(text).unwrap(), expected, "{text}");
            assert_eq!(canonical(&expected).unwrap(), expected, "{text}");
        }
        let source: Source = "oci:/a:1/b:v2".parse().unwrap();
        let expected = Source::Directory {
            path: PathBuf::from("/a:1/b"),
            tag: Some("v2".to_owned()),
        };
        assert_eq!(source, expected);
    }

    #[test]
    fn what_is_no_reference_has_code_10() {
        for text in [
            "",
            "file:",
            "oci:",
            "oci:/a:",
            "oci::tag",
            "file:/a\0b",
            "UPPER",
            "a b",
        ] {
            let error = canonical(text).expect_err(text);
            assert_eq!(error.code(), Code::INVALID_REFERENCE, "{text:?}: {error}");
        }
    }
}
