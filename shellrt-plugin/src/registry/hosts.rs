//! Which hosts serve a registry: containerd's `hosts.toml` folders, docker's certificate folders,
//! and the rules where there is none.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::Url;

use super::hosts_file;
use super::transport::place;
use super::Error;

/// A host that may be asked for the content of a registry.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    /// The root of the API without a slash at the end, `https://mirror.example.com/v2`.
    pub(super) api: Url,
    /// Whether it may say what a tag means.
    pub(super) resolve: bool,
    /// Whether it may give content by digest.
    pub(super) pull: bool,
    /// Whether it is the registry itself, so that the request's credentials are meant for it.
    pub(super) upstream: bool,
    /// The registry's name, which a mirror is told.
    pub(super) namespace: Option<String>,
    /// Whether plain HTTP is tried where TLS is not spoken; only on the loopback.
    pub(super) guess: bool,
    /// Headers for every request; they may hold secrets.
    pub(super) headers: HeaderMap,
    /// Files and switches for TLS.
    pub(super) tls: Tls,
    /// How long a connection may take, where the file says it.
    pub(super) connect_timeout: Option<Duration>,
    /// The proxy, where the file says one.
    pub(super) proxy: Option<String>,
}

/// What `hosts.toml` says of TLS.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tls {
    /// Files with certificates to trust, besides the system's.
    pub(super) ca: Vec<PathBuf>,
    /// Files with a client's certificate and key.
    pub(super) client: Vec<(PathBuf, Option<PathBuf>)>,
    /// Whether any certificate will do.
    pub(super) skip_verify: bool,
}

impl Tls {
    /// Whether nothing is said.
    pub(super) fn is_default(&self) -> bool {
        *self == Tls::default()
    }
}

/// The hosts of `registry` in the order in which they are asked; never empty, the last one is the
/// registry itself unless a file says otherwise.
///
/// # Errors
/// [`Error::HostsFile`] for a file that can't be used.
pub(super) fn endpoints(root: &Path, registry: &str) -> Result<Vec<Endpoint>, Error> {
    let Some(folder) = folder(root, registry) else {
        return Ok(vec![upstream(registry)?]);
    };
    let file = folder.join("hosts.toml");
    match std::fs::read_to_string(&file) {
        Ok(text) if !text.trim().is_empty() => {
            let wrong = |reason: String| Error::HostsFile {
                path: file.clone(),
                reason,
            };
            let mut found = hosts_file::parse(&text, &folder, registry).map_err(wrong)?;
            mark_upstream(&mut found, registry)?;
            Ok(found)
        }
        Ok(_) => certificates(&folder, registry),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            certificates(&folder, registry)
        }
        Err(error) => Err(Error::HostsFile {
            path: file,
            reason: error.to_string(),
        }),
    }
}

/// The registry itself, as it is asked where no file says anything else.
pub(super) fn upstream(registry: &str) -> Result<Endpoint, Error> {
    let host = match registry {
        "docker.io" => "registry-1.docker.io",
        other => other,
    };
    let api = Url::parse(&format!("https://{host}/v2")).map_err(|error| Error::Reference {
        reference: registry.to_owned(),
        reason: format!("the registry is no host name ({error})"),
    })?;
    // As docker does it: a registry on this machine needs no certificate that anybody trusts.
    let loopback = is_loopback(&api);
    Ok(Endpoint {
        api,
        resolve: true,
        pull: true,
        upstream: true,
        namespace: None,
        guess: loopback,
        headers: HeaderMap::new(),
        tls: Tls {
            skip_verify: loopback,
            ..Tls::default()
        },
        connect_timeout: None,
        proxy: None,
    })
}

/// Whether a URL leads to this machine: `localhost`, 127.0.0.0/8 or ::1.
pub(super) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// The folder for `registry`: with the port between underscores, with a colon, or the default.
fn folder(root: &Path, registry: &str) -> Option<PathBuf> {
    let underscored = match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => format!("{host}_{port}_"),
        _ => registry.to_owned(),
    };
    let mut names = [underscored.as_str(), registry, "_default"].into_iter();
    names.find_map(|name| Some(root.join(name)).filter(|path| path.is_dir()))
}

/// Docker's layout: `*.crt` are authorities, `name.cert` and `name.key` a client's pair.
fn certificates(folder: &Path, registry: &str) -> Result<Vec<Endpoint>, Error> {
    let wrong = |path: &Path, reason: String| Error::HostsFile {
        path: path.to_owned(),
        reason,
    };
    let mut endpoint = upstream(registry)?;
    let mut tls = Tls::default();
    let entries = std::fs::read_dir(folder).map_err(|error| wrong(folder, error.to_string()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => tls.ca.push(path),
            Some("cert") => {
                let key = path.with_extension("key");
                if !key.exists() {
                    return Err(wrong(&path, format!("\"{}\" is missing", key.display())));
                }
                tls.client.push((path, Some(key)));
            }
            _ => {}
        }
    }
    if !tls.is_default() {
        // Somebody has set up TLS for this host, so it is meant, also on the loopback.
        endpoint.tls = tls;
        endpoint.guess = false;
    }
    Ok(vec![endpoint])
}

/// The request's credentials are for the registry itself: the `server`, and any `host` that is the
/// place where the registry lives anyway.
fn mark_upstream(found: &mut [Endpoint], registry: &str) -> Result<(), Error> {
    let own = place(&upstream(registry)?.api);
    for endpoint in found {
        if place(&endpoint.api) == own {
            endpoint.upstream = true;
            endpoint.namespace = None;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    fn urls(root: &tempfile::TempDir, registry: &str) -> Vec<String> {
        let found = endpoints(root.path(), registry).unwrap();
        found.iter().map(|e| e.api.to_string()).collect()
    }

    #[test]
    fn without_files_the_registry_itself_is_asked() {
        let root = folder_with(&[]);
        for (registry, url, guess) in [
            ("docker.io", "https://registry-1.docker.io/v2", false),
            ("example.com:5000", "https://example.com:5000/v2", false),
            ("localhost", "https://localhost/v2", true),
            ("127.1.2.3:5000", "https://127.1.2.3:5000/v2", true),
            ("[::1]:5000", "https://[::1]:5000/v2", true),
            ("[::2]:5000", "https://[::2]:5000/v2", false),
            ("128.0.0.1", "https://128.0.0.1/v2", false),
            (
                "localhost.example.com",
                "https://localhost.example.com/v2",
                false,
            ),
        ] {
            let found = endpoints(root.path(), registry).unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].api.as_str(), url);
            assert_eq!(
                (found[0].guess, found[0].tls.skip_verify),
                (guess, guess),
                "{registry}"
            );
            assert!(found[0].upstream);
        }
    }

    #[test]
    fn folders_are_found_as_containerd_finds_them() {
        let server = |name: &str| format!("server = \"https://{name}\"");
        let root = folder_with(&[
            ("a.com_5000_/hosts.toml", &server("underscored")),
            ("a.com:5000/hosts.toml", &server("colon")),
            ("b.com:5000/hosts.toml", &server("b")),
            ("[::1]_5000_/hosts.toml", &server("six")),
        ]);
        assert_eq!(urls(&root, "a.com:5000"), ["https://underscored/v2"]);
        assert_eq!(urls(&root, "b.com:5000"), ["https://b/v2"]);
        assert_eq!(urls(&root, "[::1]:5000"), ["https://six/v2"]);
        assert_eq!(urls(&root, "a.com"), ["https://a.com/v2"]);
        std::fs::create_dir(root.path().join("_default")).unwrap();
        std::fs::write(
            root.path().join("_default/hosts.toml"),
            "[host.\"http://mirror:80\"]",
        )
        .unwrap();
        assert_eq!(
            urls(&root, "a.com"),
            ["http://mirror/v2", "https://a.com/v2"]
        );
    }

    #[test]
    fn certificates_of_docker_are_used() {
        let root = folder_with(&[
            ("127.0.0.1:5000/b.crt", ""),
            ("127.0.0.1:5000/a.crt", ""),
            ("127.0.0.1:5000/me.cert", ""),
            ("127.0.0.1:5000/me.key", ""),
            ("127.0.0.1:5001/README", ""),
            ("127.0.0.1:5002/me.cert", ""),
        ]);
        let dir = root.path().join("127.0.0.1:5000");
        let found = endpoints(root.path(), "127.0.0.1:5000").unwrap();
        assert_eq!(found[0].tls.ca, [dir.join("a.crt"), dir.join("b.crt")]);
        assert_eq!(
            found[0].tls.client,
            [(dir.join("me.cert"), Some(dir.join("me.key")))]
        );
        assert!(!found[0].guess && !found[0].tls.skip_verify);
        assert!(endpoints(root.path(), "127.0.0.1:5001").unwrap()[0].guess);
        let error = endpoints(root.path(), "127.0.0.1:5002").unwrap_err();
        assert!(error.to_string().contains("me.key"), "{error}");
    }

    #[test]
    fn the_hub_among_its_own_mirrors_stays_the_hub() {
        let root = folder_with(&[(
            "docker.io/hosts.toml",
            "server = \"https://docker.io\"\n[host.\"https://registry-1.docker.io\"]\n\
             capabilities = [\"pull\", \"resolve\"]\n[host.\"https://m.example.com\"]\n",
        )]);
        let found = endpoints(root.path(), "docker.io").unwrap();
        let seen: Vec<_> = found.iter().map(|e| (e.api.as_str(), e.upstream)).collect();
        assert_eq!(
            seen,
            [
                ("https://registry-1.docker.io/v2", true),
                ("https://m.example.com/v2", false),
                ("https://registry-1.docker.io/v2", true)
            ]
        );
        assert_eq!(found[0].namespace, None);
        assert_eq!(found[1].namespace.as_deref(), Some("docker.io"));
    }

    #[test]
    fn broken_files_are_named() {
        let root = folder_with(&[
            ("a.com/hosts.toml", "server = "),
            ("b.com/hosts.toml", "[host]\nx=1"),
        ]);
        for registry in ["a.com", "b.com"] {
            let error = endpoints(root.path(), registry).unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains(&format!("{registry}/hosts.toml")),
                "{error}"
            );
            assert_eq!(error.code(), shellrt_api::v0::Code::REGISTRY_UNREACHABLE);
        }
    }
}
