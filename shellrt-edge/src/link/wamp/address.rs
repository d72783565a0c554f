//! A router's address, as its URL says it.

use std::fmt;
use std::str::FromStr;

use tokio_tungstenite::tungstenite::http::Uri;

/// Where a router is, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// What carries the messages.
    pub carrier: Carrier,
    /// Whether that is encrypted.
    pub tls: bool,
    /// A name or an IP address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What comes after that, for WebSockets.
    pub path: String,
}

/// What carries the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// RFC 6455.
    WebSocket,
    /// WAMP's own framing of a stream.
    RawSocket,
}

/// A text that is no router's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{url:?} is no URL of a router: {why}; it is one like \"ws://127.0.0.1:8080/ws\", \"wss://...\", \
     \"rs://127.0.0.1:8081\" or \"rss://...\""
)]
pub struct Error {
    url: String,
    why: String,
}

impl Address {
    /// The same address, encrypted.
    pub fn with_tls(self) -> Address {
        let port = match (self.tls, self.port) {
            // It was not said, but comes of the scheme.
            (false, 80) if self.carrier == Carrier::WebSocket => 443,
            (_, port) => port,
        };
        Address {
            tls: true,
            port,
            ..self
        }
    }

    /// The host as it stands in URLs.
    fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.carrier, self.tls) {
            (Carrier::WebSocket, false) => "ws",
            (Carrier::WebSocket, true) => "wss",
            (Carrier::RawSocket, false) => "rs",
            (Carrier::RawSocket, true) => "rss",
        };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error {
            url: url.to_owned(),
            why: why.to_owned(),
        };
        let uri: Uri = url.parse().map_err(|_| wrong("it can't be read"))?;
        let (carrier, tls) = match uri.scheme_str() {
            Some("ws") => (Carrier::WebSocket, false),
            Some("wss") => (Carrier::WebSocket, true),
            Some("rs") => (Carrier::RawSocket, false),
            Some("rss") => (Carrier::RawSocket, true),
            Some(other) => return Err(wrong(&format!("the scheme {other:?} is none of them"))),
            None => return Err(wrong("it has no scheme")),
        };
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("it names no host"))?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return Err(wrong("a name and a password don't belong there"));
        }
        let port = match (uri.port_u16(), carrier, tls) {
            (Some(port), ..) => port,
            (None, ..) if authority != host => return Err(wrong("its port is none")),
            (None, Carrier::WebSocket, false) => 80,
            (None, Carrier::WebSocket, true) => 443,
            (None, Carrier::RawSocket, _) => return Err(wrong("it names no port")),
        };
        let path = match carrier {
            Carrier::WebSocket => uri.path_and_query().map_or("/", |path| path.as_str()),
            Carrier::RawSocket if uri.path().len() > 1 => {
                return Err(wrong("a RawSocket has no path"))
            }
            Carrier::RawSocket => "",
        };
        Ok(Address {
            carrier,
            tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            path: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_what_they_mean() {
        for (url, carrier, tls, host, port, path) in [
            (
                "ws://127.0.0.1:8080/ws",
                Carrier::WebSocket,
                false,
                "127.0.0.1",
                8080,
                "/ws",
            ),
            (
                "wss://router.example/a?b=c",
                Carrier::WebSocket,
                true,
                "router.example",
                443,
                "/a?b=c",
            ),
            ("ws://[::1]", Carrier::WebSocket, false, "::1", 80, "/"),
            (
                "rs://localhost:8081",
                Carrier::RawSocket,
                false,
                "localhost",
                8081,
                "",
            ),
            (
                "rss://localhost:8081/",
                Carrier::RawSocket,
                true,
                "localhost",
                8081,
                "",
            ),
        ] {
            let address: Address = url.parse().unwrap();
            assert_eq!((address.carrier, address.tls), (carrier, tls), "{url}");
            assert_eq!(
                (&*address.host, address.port, &*address.path),
                (host, port, path)
            );
        }
    }

    #[test]
    fn tls_can_be_forced() {
        let forced = |url: &str| url.parse::<Address>().unwrap().with_tls().to_string();
        assert_eq!(forced("ws://a:8080/ws"), "wss://a:8080/ws");
        assert_eq!(forced("ws://a/ws"), "wss://a:443/ws");
        assert_eq!(forced("rs://[::1]:1"), "rss://[::1]:1");
        assert_eq!(forced("wss://a/ws"), "wss://a:443/ws");
    }

    #[test]
    fn what_is_no_url_is_told() {
        for url in [
            "",
            "a",
            "a:80",
            "http://a/",
            "ws://",
            "rs://a",
            "rs://a:1/x",
            "ws://u:p@a/",
            "ws://a:99999/",
        ] {
            let error = url.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("ws://127.0.0.1:8080/ws"), "{error}");
        }
    }
}
