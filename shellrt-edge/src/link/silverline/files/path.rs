//! Where a program lies: from what a request and the settings say. Pure.

use std::fmt;
use std::path::PathBuf;

use reqwest::Url;

use crate::link::silverline::dialect::Dialect;

/// The longest name of a file, in bytes.
const MAX_NAME: usize = 255;

/// A file below the repository, as folders and a name that are one each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramPath {
    folders: Vec<String>,
    name: String,
}

/// What a request says is no path below the repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no file below the repository")]
pub struct BadPath(String);

/// `repository.url` can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRepository {
    /// It is no URL.
    #[error("it must be an http or https URL, or a folder")]
    NoUrl,
    /// It has a password.
    #[error(
        "it must not have a name and a password in it; \"repository.username\" and \
         \"repository.password\" are for them"
    )]
    Password,
}

/// Where a folder is fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// From a server that lists it; the path ends with a slash.
    Index(Url),
    /// From this machine.
    Folder {
        /// The repository.
        root: PathBuf,
        /// The folder in it.
        below: PathBuf,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Index(url) => write!(f, "{url}"),
            Source::Folder { root, below } => write!(f, "{:?}", root.join(below)),
        }
    }
}

impl ProgramPath {
    /// The name of the file.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The path of a program: its location, where that is said, with its file behind it.
///
/// # Errors
/// [`BadPath`] for all that leads elsewhere.
pub fn program_path(
    dialect: Dialect,
    location: Option<&str>,
    file: &str,
) -> Result<ProgramPath, BadPath> {
    let bad = || BadPath(file.to_owned());
    let mut folders = Vec::new();
    // In the dialect of 2022 a file has its folders in front.
    if let Some(location) = location.filter(|_| dialect != Dialect::Sideload) {
        // A slash in front is how some write that it begins at the repository.
        let location = location.strip_prefix('/').unwrap_or(location);
        folders = parts(location).ok_or_else(|| BadPath(location.to_owned()))?;
    }
    folders.extend(parts(file).ok_or_else(bad)?);
    let name = folders.pop().filter(|_| !file.ends_with('/'));
    Ok(ProgramPath {
        name: name
            .filter(|_| parts(file).is_some_and(|parts| !parts.is_empty()))
            .ok_or_else(bad)?,
        folders,
    })
}

/// A folder below a program's own, without dots in it; empty for its own.
///
/// # Errors
/// [`BadPath`] for all that leads elsewhere.
pub fn folder_below(folder: &str) -> Result<String, BadPath> {
    let parts = parts(folder).filter(|_| !folder.is_empty());
    Ok(parts.ok_or_else(|| BadPath(folder.to_owned()))?.join("/"))
}

/// The parts of a relative path that leads down; `.` and double slashes are nothing.
fn parts(path: &str) -> Option<Vec<String>> {
    if path.starts_with('/') {
        return None;
    }
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    let parts = parts.map(|part| is_name(part.as_bytes()).then(|| part.to_owned()));
    parts.collect()
}

/// Whether a file may have this name.
pub fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && name.len() <= MAX_NAME
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// Whether programs can lie in the repository `url` at all.
///
/// # Errors
/// [`BadRepository`].
pub fn check_repository(dialect: Dialect, url: &str) -> Result<(), BadRepository> {
    let nowhere = ProgramPath {
        folders: Vec::new(),
        name: String::new(),
    };
    source(dialect, url, &nowhere).map(drop)
}

/// The folder in which a program lies, in the repository `url`.
///
/// # Errors
/// [`BadRepository`].
pub fn source(dialect: Dialect, url: &str, path: &ProgramPath) -> Result<Source, BadRepository> {
    let folder = match url.strip_prefix("file://") {
        Some(path) if path.starts_with('/') => Some(path),
        Some(_) => return Err(BadRepository::NoUrl),
        None if url.contains("://") => None,
        None => Some(url),
    };
    if let Some(root) = folder {
        return Ok(Source::Folder {
            root: root.into(),
            below: path.folders.iter().collect(),
        });
    }
    let mut base = Url::parse(url).map_err(|_| BadRepository::NoUrl)?;
    if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
        return Err(BadRepository::NoUrl);
    }
    if !base.username().is_empty() || base.password().is_some() {
        return Err(BadRepository::Password);
    }
    base.set_query(None);
    base.set_fragment(None);
    let is_joined = matches!(dialect, Dialect::G2 | Dialect::AppLauncher);
    let mut folders: Vec<&str> = path.folders.iter().map(String::as_str).collect();
    if dialect == Dialect::Sideload {
        folders.insert(0, "users");
    }
    if let Ok(mut segments) = base.path_segments_mut() {
        match is_joined && !folders.is_empty() {
            // As upstream joins them: what is behind the last slash of the repository goes.
            true => segments.pop(),
            false => segments.pop_if_empty(),
        };
        segments.extend(folders).push("");
    }
    Ok(Source::Index(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(location: Option<&str>, file: &str) -> Result<ProgramPath, BadPath> {
        program_path(Dialect::AppLauncher, location, file)
    }

    fn index(dialect: Dialect, url: &str, location: Option<&str>, file: &str) -> String {
        let path = program_path(dialect, location, file).unwrap();
        source(dialect, url, &path).unwrap().to_string()
    }

    /// Worked out by hand from the rules: `{url}/users/{dirname(filename)}` in the dialect of 2022, and
    /// `urljoin(url, dirname(location/file))` in the later ones, each with a slash behind.
    #[test]
    fn urls_are_joined_as_each_dialect_does() {
        let g1 = |url| index(Dialect::Sideload, url, None, "user/dir/prog.py");
        assert_eq!(g1("https://h/store"), "https://h/store/users/user/dir/");
        assert_eq!(g1("https://h/store/"), "https://h/store/users/user/dir/");
        for dialect in [Dialect::G2, Dialect::AppLauncher] {
            let joined = |url, file| index(dialect, url, Some("user/dir"), file);
            assert_eq!(joined("https://h/store", "prog.py"), "https://h/user/dir/");
            assert_eq!(
                joined("https://h/store/", "prog.py"),
                "https://h/store/user/dir/"
            );
            assert_eq!(
                joined("http://h:8/a/b", "c/prog.py"),
                "http://h:8/a/user/dir/c/"
            );
            let alone = |url| index(dialect, url, None, "prog.py");
            assert_eq!(alone("https://h/store"), "https://h/store/");
            assert_eq!(alone("https://h/store/"), "https://h/store/");
            assert_eq!(alone("https://h"), "https://h/");
        }
        let rm = |url| index(Dialect::Manager, url, None, "wasm/hello.wasm");
        assert_eq!(rm("https://h/store"), "https://h/store/wasm/");
        assert_eq!(rm("https://h/store/"), "https://h/store/wasm/");
    }

    #[test]
    fn strange_names_are_encoded_and_not_obeyed() {
        let found = index(Dialect::G2, "http://h/s/", Some("a b?c#d"), "%2e%2e/x.py");
        assert_eq!(found, "http://h/s/a%20b%3Fc%23d/%252e%252e/");
    }

    #[test]
    fn folders_of_this_machine_have_one_rule() {
        let path = path(Some("user/./dir//"), "prog.py").unwrap();
        let expected = Source::Folder {
            root: "/srv/programs".into(),
            below: "user/dir".into(),
        };
        for url in ["/srv/programs", "file:///srv/programs"] {
            assert_eq!(source(Dialect::Sideload, url, &path), Ok(expected.clone()));
        }
        assert_eq!(path.name(), "prog.py");
    }

    #[test]
    fn nothing_leads_out() {
        let bad = [
            "",
            ".",
            "..",
            "/etc/passwd",
            "../x.py",
            "a/../x.py",
            "a/..",
            "a/",
            "./",
            "a\0.py",
            "a/./",
        ];
        for file in bad {
            assert_eq!(path(None, file), Err(BadPath(file.to_owned())), "{file:?}");
            assert!(path(Some("user"), file).is_err(), "{file:?}");
        }
        for location in ["..", "a/../b", "//etc", "a\0"] {
            assert!(path(Some(location), "x.py").is_err(), "{location:?}");
        }
        assert!(path(Some("/user"), "x.py").is_ok());
        assert!(path(None, &"a".repeat(256)).is_err());
    }

    #[test]
    fn a_repository_is_a_url_or_a_folder() {
        let path = path(None, "x.py").unwrap();
        let found = |url| source(Dialect::G2, url, &path).unwrap_err();
        for url in ["ftp://h/", "file://host/x", "http://"] {
            assert_eq!(found(url), BadRepository::NoUrl, "{url}");
        }
        assert_eq!(found("https://me:secret@h/"), BadRepository::Password);
    }

    #[test]
    fn folders_below_have_no_dots() {
        let folders = [(".", ""), ("./data/", "data"), ("a//b", "a/b")];
        for (folder, expected) in folders {
            assert_eq!(folder_below(folder).as_deref(), Ok(expected));
        }
        for folder in ["", "/", "/etc", "..", "a/../..", "a/.."] {
            assert!(folder_below(folder).is_err(), "{folder:?}");
        }
    }
}
