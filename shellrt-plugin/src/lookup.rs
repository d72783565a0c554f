//! The addresses of a host's name, as the machine's own programs find them.
//!
//! Our programs are linked statically. glibc has two sources of names built in, `/etc/hosts` and DNS; for
//! every other one that `/etc/nsswitch.conf` names it loads a shared library, and in a static program
//! that works with the libraries of exactly its own version only, and crashes with others. So the
//! machine's own `getent` is asked where there are such sources.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;

use tokio::process::Command;

/// Where the machine says which sources of names it has.
const SOURCES: &str = "/etc/nsswitch.conf";

/// Whether other sources than the built-in ones have to be left alone. Other C libraries know no others.
const IS_STATIC: bool = cfg!(all(target_env = "gnu", target_feature = "crt-static"));

/// What `getent` ends with where no source knows the name.
const UNKNOWN: i32 = 2;

/// The addresses of `host`, a name or an address itself, each with `port`; the best ones first, and at
/// least one. To be called within a tokio runtime.
///
/// # Errors
/// What the operating system says, mostly that nobody knows the name.
pub async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if IS_STATIC && !is_built_in(&std::fs::read_to_string(SOURCES).unwrap_or_default()) {
        match from_getent(host, port).await? {
            Some(found) => return Ok(found),
            None => keep_to_built_in(),
        }
    }
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    match found.is_empty() {
        true => Err(unknown(host)),
        false => Ok(found),
    }
}

/// Whether what nsswitch.conf(5) has as `text` names no sources of hosts but the built-in ones.
fn is_built_in(text: &str) -> bool {
    let lines = text.lines().map(|line| match line.split_once('#') {
        Some((line, _)) => line,
        None => line,
    });
    let hosts = lines.filter_map(|line| {
        let (database, sources) = line.split_once(':')?;
        (database.trim() == "hosts").then_some(sources)
    });
    let mut sources = hosts.flat_map(|sources| {
        // What is to be done after a source stands in brackets.
        let parts = sources.split('[').enumerate();
        parts.flat_map(|(index, part)| match index {
            0 => part.split_whitespace(),
            _ => part
                .split_once(']')
                .map_or("", |(_, rest)| rest)
                .split_whitespace(),
        })
    });
    sources.all(|source| matches!(source, "files" | "dns"))
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
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("no source of names knows {host:?}"),
    )
}

/// Keeps the C library of this process to its built-in sources of hosts from now on, where it is in a
/// static program: for look-ups that somebody else makes, and that must not end the process.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
#[allow(unsafe_code, reason = "glibc has no other way to choose the sources")]
pub fn keep_to_built_in() {
    use std::ffi::{c_char, c_int};

    extern "C" {
        fn __nss_configure_lookup(database: *const c_char, sources: *const c_char) -> c_int;
    }
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // SAFETY: it takes two texts that end with a NUL and keeps neither. A look-up that goes on in
        // another thread has the list of before, which is never freed.
        let result = unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) };
        if result != 0 {
            log::warn!("the sources of names can't be chosen");
        }
    });
}

/// Nothing: a dynamic program can use all sources, and other C libraries have no others.
#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
pub fn keep_to_built_in() {}

#[cfg(test)]
mod tests {
    use super::{is_built_in, parse};

    #[test]
    fn sources_as_nsswitch_conf_5_has_them() {
        for built_in in [
            "",
            "passwd: files systemd\nhosts: files dns\n",
            "hosts:\tdns [!UNAVAIL=return] files # mdns\n",
            " hosts : files [NOTFOUND=return]dns",
            "#hosts: files mdns\nhosts: files\n",
        ] {
            assert!(is_built_in(built_in), "{built_in:?}");
        }
        for other in [
            "hosts: files mdns4_minimal [NOTFOUND=return] dns",
            "hosts: files resolve [!UNAVAIL=return] dns myhostname",
            "passwd: files\nhosts:files dns mymachines",
            "hosts: files [SUCCESS=continue] [NOTFOUND=continue] ldap",
        ] {
            assert!(!is_built_in(other), "{other:?}");
        }
    }

    /// As getent(1) of glibc prints it.
    #[test]
    fn an_address_is_taken_once() {
        let text =
            "::1             STREAM localhost\n::1             DGRAM  \n::1             RAW    \n\
                    192.0.2.7       STREAM \n192.0.2.7       DGRAM  \nfe80::1%2       STREAM \n";
        let found = parse(text, 80).into_iter().map(|it| it.to_string());
        let expected = ["[::1]:80", "192.0.2.7:80", "[fe80::1%2]:80"];
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert!(parse("", 80).is_empty());
    }
}
