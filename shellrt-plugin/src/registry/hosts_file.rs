//! The format of containerd's `hosts.toml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;
use toml::{Table, Value};

use super::hosts::{upstream, Endpoint, Tls};

/// The hosts that a file names, in its order, then its `server` or else the registry itself.
///
/// Unknown keys are warned about, because newer versions of containerd add some.
///
/// # Errors
/// Text for people that says what is wrong and where.
pub(super) fn parse(text: &str, folder: &Path, registry: &str) -> Result<Vec<Endpoint>, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .and_then(|span| text.get(..span.start))
            .map_or(1, |before| before.matches('\n').count() + 1);
        format!("line {line}: {}", error.message())
    })?;
    let mut found = Vec::new();
    if let Some(hosts) = table.get("host") {
        let hosts = hosts.as_table().ok_or("\"host\" must be a table")?;
        for (url, keys) in hosts {
            let keys = keys
                .as_table()
                .ok_or_else(|| format!("host \"{url}\" must be a table"))?;
            let mut host = Host::new(url, keys, folder)?.endpoint(Some(url))?;
            host.namespace = Some(registry.to_owned());
            found.push(host);
        }
    }
    let server = match table.get("server") {
        None => None,
        Some(server) => Some(server.as_str().ok_or("\"server\" must be text")?),
    };
    let mut last = Host::new("server", &table, folder)?;
    let mut own = upstream(registry).map_err(|error| error.to_string())?;
    if let Some(url) = server.filter(|url| !url.is_empty()) {
        own = last.endpoint(Some(url))?;
        own.namespace = Some(registry.to_owned());
    } else {
        if !last.tls.is_default() {
            // Somebody has set up TLS for this host, so it is meant, also on the loopback.
            own.guess = false;
            own.tls = std::mem::take(&mut last.tls);
        }
        own.headers = std::mem::take(&mut last.headers);
        (own.resolve, own.pull) = (last.resolve, last.pull);
        (own.connect_timeout, own.proxy) = (last.connect_timeout, last.proxy.take());
    }
    own.upstream = true;
    found.push(own);
    Ok(found)
}

/// The keys that every host has, and the file itself for its `server`.
struct Host {
    resolve: bool,
    pull: bool,
    override_path: bool,
    tls: Tls,
    headers: HeaderMap,
    connect_timeout: Option<Duration>,
    proxy: Option<String>,
}

impl Host {
    fn new(name: &str, keys: &Table, folder: &Path) -> Result<Host, String> {
        let mut host = Host {
            resolve: true,
            pull: true,
            override_path: false,
            tls: Tls::default(),
            headers: HeaderMap::new(),
            connect_timeout: None,
            proxy: None,
        };
        let at_root = name == "server";
        for (key, value) in keys {
            let wrong = |what: &str| format!("\"{key}\" of \"{name}\" must be {what}");
            match key.as_str() {
                "server" | "host" if at_root => {}
                "capabilities" => {
                    let names = texts(value).ok_or_else(|| wrong("a list of texts"))?;
                    if !names.is_empty() {
                        let has =
                            |wanted: &str| names.iter().any(|n| n.eq_ignore_ascii_case(wanted));
                        (host.resolve, host.pull) = (has("resolve"), has("pull"));
                    }
                }
                "ca" => {
                    let files = texts(value).ok_or_else(|| wrong("a path or a list of paths"))?;
                    host.tls.ca = files.iter().map(|file| folder.join(file)).collect();
                }
                "client" => {
                    host.tls.client = pairs(value, folder)
                        .ok_or_else(|| wrong("a path, or a list of paths or pairs of paths"))?;
                }
                "skip_verify" => {
                    host.tls.skip_verify = value.as_bool().ok_or_else(|| wrong("true or false"))?;
                }
                "override_path" => {
                    host.override_path = value.as_bool().ok_or_else(|| wrong("true or false"))?;
                }
                "header" => {
                    host.headers =
                        headers(value).ok_or_else(|| wrong("a table of header lines"))?;
                }
                "dial_timeout" => {
                    let duration = value.as_str().and_then(duration);
                    host.connect_timeout =
                        Some(duration.ok_or_else(|| wrong("a duration such as \"5s\""))?);
                }
                "proxy" => {
                    let proxy = value.as_str().filter(|text| Url::parse(text).is_ok());
                    host.proxy = Some(proxy.ok_or_else(|| wrong("a URL"))?.to_owned());
                }
                _ => log::warn!(
                    "\"{key}\" of \"{name}\" in {}/hosts.toml is not known and has no effect",
                    folder.display()
                ),
            }
        }
        Ok(host)
    }

    fn endpoint(&mut self, url: Option<&str>) -> Result<Endpoint, String> {
        let text = url.unwrap_or_default();
        let with_scheme = match text.contains("://") {
            true => text.to_owned(),
            false => format!("https://{text}"),
        };
        let wrong = |reason: &str| format!("\"{text}\" is no address of a registry: {reason}");
        let mut api = Url::parse(&with_scheme).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(api.scheme(), "http" | "https") {
            return Err(wrong("it must begin with \"https://\" or \"http://\""));
        }
        if !api.username().is_empty() || api.password().is_some() {
            return Err("an address holds credentials, which do not belong there".to_owned());
        }
        if api.host_str() == Some("docker.io") {
            // Docker Hub's name is no address of its registry.
            api.set_host(Some("registry-1.docker.io"))
                .map_err(|error| wrong(&error.to_string()))?;
        }
        api.set_query(None);
        api.set_fragment(None);
        let path = api.path().trim_end_matches('/').to_owned();
        match self.override_path || path.ends_with("/v2") {
            true => api.set_path(&path),
            false => api.set_path(&format!("{path}/v2")),
        }
        Ok(Endpoint {
            api,
            resolve: self.resolve,
            pull: self.pull,
            upstream: false,
            namespace: None,
            guess: false,
            headers: std::mem::take(&mut self.headers),
            tls: std::mem::take(&mut self.tls),
            connect_timeout: self.connect_timeout,
            proxy: self.proxy.take(),
        })
    }
}

/// One text, or a list of them.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) => list
            .iter()
            .map(|text| text.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

/// One file with both, a list of such files, or a list of pairs (an empty second is no second).
fn pairs(value: &Value, folder: &Path) -> Option<Vec<(PathBuf, Option<PathBuf>)>> {
    let one = |text: &str| (folder.join(text), None);
    match value {
        Value::String(text) => Some(vec![one(text)]),
        Value::Array(list) => list
            .iter()
            .map(|entry| match entry {
                Value::String(text) => Some(one(text)),
                Value::Array(pair) => match pair.as_slice() {
                    [Value::String(cert), Value::String(key)] => {
                        let key = Some(key).filter(|key| !key.is_empty());
                        Some((folder.join(cert), key.map(|key| folder.join(key))))
                    }
                    _ => None,
                },
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn headers(value: &Value) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, lines) in value.as_table()? {
        let name: HeaderName = name.parse().ok()?;
        for line in texts(lines)? {
            let mut line: HeaderValue = line.parse().ok()?;
            line.set_sensitive(true);
            headers.append(name.clone(), line);
        }
    }
    Some(headers)
}

/// Go's durations, as far as anybody writes them here: a number and `ms`, `s` or `m`.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<Endpoint> {
        parse(text, Path::new("/certs"), "example.com:5000").unwrap()
    }

    /// The examples of containerd's `docs/hosts.md`.
    #[test]
    fn hosts_keep_the_order_of_the_file() {
        let found = parsed(
            r#"
            server = "https://registry-1.docker.io"
            [host."https://zz.example.com"]
              capabilities = ["pull"]
            [host."https://docker-mirror.internal"]
              capabilities = ["pull", "resolve"]
              ca = "docker-mirror.crt"
            [host."http://aa.example.com:5000/prefix"]
            [host."https://bb.example.com/api"]
              override_path = true
              dial_timeout = "1.5s"
              [host."https://bb.example.com/api".header]
                x-custom-2 = ["value1", "value2"]
                authorization = "Basic secret"
            "#,
        );
        let seen: Vec<_> = found
            .iter()
            .map(|e| (e.api.as_str(), e.pull, e.resolve, e.upstream))
            .collect();
        assert_eq!(
            seen,
            [
                ("https://zz.example.com/v2", true, false, false),
                ("https://docker-mirror.internal/v2", true, true, false),
                ("http://aa.example.com:5000/prefix/v2", true, true, false),
                ("https://bb.example.com/api", true, true, false),
                ("https://registry-1.docker.io/v2", true, true, true),
            ]
        );
        assert_eq!(found[1].tls.ca, [Path::new("/certs/docker-mirror.crt")]);
        assert_eq!(found[3].headers.get_all("x-custom-2").iter().count(), 2);
        assert_eq!(found[3].connect_timeout, Some(Duration::from_millis(1500)));
        assert!(!format!("{:?}", found[3]).contains("secret"));
        assert!(found
            .iter()
            .all(|e| e.namespace.as_deref() == Some("example.com:5000")));
    }

    #[test]
    fn certificates_have_all_documented_forms() {
        let client = |value: &str| {
            let text = format!("server = \"https://a\"\nclient = {value}");
            parsed(&text).remove(0).tls.client
        };
        let path = |name: &str| PathBuf::from("/certs").join(name);
        assert_eq!(client("\"/etc/c.pem\""), [("/etc/c.pem".into(), None)]);
        assert_eq!(
            client("[\"1.pem\", \"2.pem\"]"),
            [(path("1.pem"), None), (path("2.pem"), None)]
        );
        assert_eq!(
            client("[[\"c.cert\", \"c.key\"], [\"c.pem\", \"\"]]"),
            [(path("c.cert"), Some(path("c.key"))), (path("c.pem"), None)]
        );
        let found = parsed("ca = [\"/1.pem\", \"2.pem\"]\nskip_verify = true");
        assert_eq!(found[0].tls.ca, [PathBuf::from("/1.pem"), path("2.pem")]);
        assert!(found[0].tls.skip_verify);
        assert_eq!(found[0].api.as_str(), "https://example.com:5000/v2");
        assert_eq!(found[0].namespace, None);
    }

    #[test]
    fn unknown_keys_are_no_error() {
        assert_eq!(
            parsed("future = 1\n[host.\"https://m\"]\nnew = true").len(),
            2
        );
        assert_eq!(
            parsed("server = \"plain.example.com\"")[0].api.as_str(),
            "https://plain.example.com/v2"
        );
    }

    #[test]
    fn mistakes_say_where() {
        for (text, reason) in [
            ("server = \"https://a\"\nca = [", "line 2"),
            ("server = 1", "\"server\" must be text"),
            (
                "[host.\"https://m\"]\nskip_verify = \"yes\"",
                "\"skip_verify\" of \"https://m\"",
            ),
            ("[host.\"ftp://m\"]", "ftp://m"),
            ("[host.\"https://u:p@m\"]", "credentials"),
            ("[host.\"https://m\"]\nclient = [[\"a\"]]", "\"client\""),
            (
                "[host.\"https://m\"]\ndial_timeout = \"soon\"",
                "\"dial_timeout\"",
            ),
        ] {
            let error = parse(text, Path::new("/certs"), "a.com").unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
