//! Connections to hosts by their names, as the machine's own programs find them.
//!
//! The daemon is linked statically. glibc has `/etc/hosts` and DNS built in as sources of names; for every
//! other one that `/etc/nsswitch.conf` names it loads a shared library, and in a static program that works
//! with the libraries of exactly its own version only, and crashes with others. So the machine's own
//! `getent` is asked. Where there is none there are no such libraries either, and the C library is asked.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;

/// Whether shared libraries have to be left alone.
const IS_STATIC: bool = cfg!(all(target_env = "gnu", target_feature = "crt-static"));

/// How long each address of a host may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What `getent` ends with where no source knows the name.
const UNKNOWN: i32 = 2;

/// Connects to `host`, a name or an address, at `port`: to the first of its addresses that answers.
///
/// # Errors
/// Of the kind [`io::ErrorKind::NotFound`] where nobody knows the name; else that of the last address.
pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = unknown(host);
    for address in addresses(host, port).await? {
        let tried = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await;
        match tried.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The addresses of `host`, a name or an address itself, each with `port`; the best ones first, and at
/// least one. To be called within a tokio runtime.
///
/// # Errors
/// Of the kind [`io::ErrorKind::NotFound`] where nobody knows the name; else what the operating system
/// says.
pub async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(host).parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if IS_STATIC {
        if let Some(found) = from_getent(host, port).await? {
            return Ok(found);
        }
    }
    let found: Vec<SocketAddr> = match tokio::net::lookup_host((host, port)).await {
        Ok(found) => found.collect(),
        // The C library's error has no kind that tells this from others.
        Err(error) => return Err(io::Error::new(io::ErrorKind::NotFound, error)),
    };
    match found.is_empty() {
        true => Err(unknown(host)),
        false => Ok(found),
    }
}

/// What `getent` answers; `None` where there is no such program.
async fn from_getent(host: &str, port: u16) -> io::Result<Option<Vec<SocketAddr>>> {
    let asked = Command::new("getent")
        .args(["--", "ahosts", host])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    let output = match asked {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let found = parse(&String::from_utf8_lossy(&output.stdout), port);
    match output.status.code() {
        Some(0) if !found.is_empty() => Ok(Some(found)),
        Some(0 | UNKNOWN) => Err(unknown(host)),
        _ => Err(io::Error::other(format!("getent: {}", output.status))),
    }
}

/// The addresses in what `getent ahosts` prints: a line for each and each kind of socket.
fn parse(text: &str, port: u16) -> Vec<SocketAddr> {
    let lines = text.lines().map(|line| line.split_whitespace());
    let streams = lines.filter_map(|mut words| {
        let address = words.next()?;
        (words.next() == Some("STREAM")).then_some(address)
    });
    let addresses = streams.filter_map(|address| match address.contains(':') {
        // With the number of its interface, where it is one of that alone.
        true => format!("[{address}]:{port}").parse().ok(),
        false => format!("{address}:{port}").parse().ok(),
    });
    addresses.collect()
}

fn unknown(host: &str) -> io::Error {
    let text = format!("no source of names knows {host:?}");
    io::Error::new(io::ErrorKind::NotFound, text)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn addresses_as_getent_prints_them() {
        // As getent(1) of glibc prints them: address, kind of socket, and the name once.
        let text = "::1             STREAM localhost\n\
                    ::1             DGRAM  \n\
                    fe80::1%2       STREAM \n\
                    127.0.0.1       STREAM \n\
                    127.0.0.1       RAW    \n";
        let found: Vec<String> = parse(text, 1883).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["[::1]:1883", "[fe80::1%2]:1883", "127.0.0.1:1883"]);
    }
}
