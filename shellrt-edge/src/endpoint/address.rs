//! Where the status is served: a Unix socket, or a port of the loopback device.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

/// An address of this machine that no other can reach.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Address {
    /// A socket in the file system.
    Unix(PathBuf),
    /// A port of the loopback device; 0 = one that is free.
    Loopback(SocketAddr),
}

/// It is no address for the status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// It can't be read.
    #[error(
        "{0:?} is no address for the status; take \"unix:/run/shellrt-edged.sock\" or \"127.0.0.1:9464\""
    )]
    Unknown(String),
    /// Others could reach it.
    #[error(
        "{0:?} is no address of the loopback device; the status has no passwords, so it is only served \
         to this machine"
    )]
    Public(String),
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let unknown = || BadAddress::Unknown(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            // As in a URL, there may be an empty host.
            let path = Path::new(path.strip_prefix("//").unwrap_or(path));
            return match path.is_absolute() {
                true => Ok(Address::Unix(path.to_owned())),
                false => Err(unknown()),
            };
        }
        let address = match text.strip_prefix("localhost:") {
            Some(port) => {
                let port = port.parse().map_err(|_| unknown())?;
                SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
            }
            None => text.parse().map_err(|_| unknown())?,
        };
        match address.ip().to_canonical().is_loopback() {
            true => Ok(Address::Loopback(address)),
            false => Err(BadAddress::Public(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = BadAddress;

    fn try_from(text: String) -> Result<Self, BadAddress> {
        text.parse()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Loopback(address) => address.fmt(f),
        }
    }
}

/// Who listens there.
pub(super) enum Listener {
    Unix(UnixListener, PathBuf),
    Loopback(TcpListener, SocketAddr),
}

/// What both kinds of connections are.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A socket's file, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Who removed it before has done no harm.
        let _ = fs::remove_file(&self.0);
    }
}

impl Address {
    /// Begins to listen.
    pub(super) fn listen(&self) -> io::Result<(Listener, Option<SocketFile>)> {
        match self {
            Address::Unix(path) => {
                remove_stale(path)?;
                let listener = UnixListener::bind(path)?;
                let file = SocketFile(path.clone());
                // The daemon's own group may look.
                fs::set_permissions(path, Permissions::from_mode(0o660))?;
                Ok((Listener::Unix(listener, path.clone()), Some(file)))
            }
            Address::Loopback(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                let bound = listener.local_addr()?;
                let listener = TcpListener::from_std(listener)?;
                Ok((Listener::Loopback(listener, bound), None))
            }
        }
    }
}

impl Listener {
    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<Box<dyn Connection>> {
        Ok(match self {
            Listener::Unix(listener, _) => Box::new(listener.accept().await?.0),
            Listener::Loopback(listener, _) => Box::new(listener.accept().await?.0),
        })
    }

    /// Where it listens.
    pub(super) fn url(&self) -> String {
        match self {
            Listener::Unix(_, path) => format!("unix:{}", path.display()),
            Listener::Loopback(_, address) => format!("http://{address}/"),
        }
    }
}

/// Removes the socket of a daemon that was killed: nobody listens there any more.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Somebody is there, or may be: binding says so.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine() {
        let unix = |path: &str| Ok(Address::Unix(PathBuf::from(path)));
        let loopback = |text: &str| Ok(Address::Loopback(text.parse().unwrap()));
        assert_eq!("unix:/run/a.sock".parse(), unix("/run/a.sock"));
        assert_eq!("unix:///run/a.sock".parse(), unix("/run/a.sock"));
        assert_eq!("127.0.0.1:9464".parse(), loopback("127.0.0.1:9464"));
        assert_eq!("127.8.0.1:0".parse(), loopback("127.8.0.1:0"));
        assert_eq!("[::1]:9464".parse(), loopback("[::1]:9464"));
        assert_eq!("localhost:9464".parse(), loopback("127.0.0.1:9464"));
    }

    #[test]
    fn addresses_of_others_are_refused() {
        for text in [
            "0.0.0.0:9464",
            "[::]:9464",
            "192.0.2.1:80",
            "[2001:db8::1]:80",
        ] {
            let refused = text.parse::<Address>();
            assert_eq!(refused, Err(BadAddress::Public(text.to_owned())));
        }
        for text in [
            "",
            "unix:",
            "unix:a.sock",
            "9464",
            "example.org:80",
            "localhost:x",
        ] {
            let refused = text.parse::<Address>();
            assert_eq!(refused, Err(BadAddress::Unknown(text.to_owned())));
        }
    }
}
