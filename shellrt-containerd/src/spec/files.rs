//! The content of the files that every container gets: its resolver, its host table, its host name.

use std::net::IpAddr;

/// `/etc/resolv.conf`, from `host`, the machine's own.
///
/// With the machine's network, or none, it is the machine's text as it is. In a `private` network a
/// resolver on the machine's loopback device can't be reached: if `host` names only such ones,
/// `upstream` takes its place, the file in which systemd-resolved writes where it asks itself.
/// Public resolvers are not made up.
pub fn resolv_conf(host: &str, upstream: Option<&str>, private: bool) -> String {
    if !private {
        return host.to_owned();
    }
    let kept = without_loopback(host);
    match upstream {
        Some(upstream) if !has_server(&kept) => without_loopback(upstream),
        _ => kept,
    }
}

/// A resolver's text with these servers and domains in the place of its own, where there are any; the
/// domain `.` is none.
pub fn with_resolvers(text: &str, servers: &[IpAddr], domains: &[String]) -> String {
    let replaced = |line: &str| match line.split_whitespace().next() {
        Some("nameserver") => !servers.is_empty(),
        Some("search" | "domain") => !domains.is_empty(),
        _ => false,
    };
    let kept = text.lines().filter(|line| !replaced(line));
    let mut text: String = kept.flat_map(|line| [line, "\n"]).collect();
    let domains: Vec<&str> = domains.iter().map(String::as_str).collect();
    if !domains.is_empty() && domains != ["."] {
        text.push_str(&format!("search {}\n", domains.join(" ")));
    }
    for server in servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    text
}

/// `/etc/hosts` of a container, with these addresses and names.
pub fn hosts(lines: &[(IpAddr, String)]) -> String {
    let own = "\
        127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n";
    with_hosts(own, lines)
}

/// A host table with more addresses and names.
pub fn with_hosts(table: &str, lines: &[(IpAddr, String)]) -> String {
    let mut text = table.to_owned();
    for (address, names) in lines {
        text.push_str(&format!("{address}\t{names}\n"));
    }
    text
}

/// `/etc/hostname` of a container with the name `hostname`.
pub fn hostname(hostname: &str) -> String {
    format!("{hostname}\n")
}

fn without_loopback(text: &str) -> String {
    let lines = text.lines().filter(|line| !is_loopback(line));
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn has_server(text: &str) -> bool {
    text.lines().any(|line| server(line).is_some())
}

fn is_loopback(line: &str) -> bool {
    let address = server(line).map(|server| {
        let server = server.split('%').next().unwrap_or(server);
        server.parse::<std::net::IpAddr>()
    });
    matches!(address, Some(Ok(address)) if address.is_loopback())
}

/// The address in a line `nameserver ADDRESS`.
fn server(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    (words.next() == Some("nameserver")).then_some(())?;
    words.next()
}

#[cfg(test)]
mod tests {
    use super::{hostname, hosts, resolv_conf, with_resolvers};

    const STUB: &str =
        "# made by systemd-resolved\nnameserver 127.0.0.53\noptions edns0\nsearch lan\n";

    #[test]
    fn the_machines_own_resolver_is_kept_as_it_is() {
        assert_eq!(resolv_conf(STUB, Some("nameserver 9.9.9.9\n"), false), STUB);
    }

    #[test]
    fn a_private_network_has_no_loopback_resolver() {
        let mixed = "nameserver 127.0.0.1\nnameserver ::1\nnameserver 10.0.0.2\nsearch lan\n";
        assert_eq!(
            resolv_conf(mixed, Some("nameserver 9.9.9.9\n"), true),
            "nameserver 10.0.0.2\nsearch lan\n"
        );
        assert_eq!(
            resolv_conf(STUB, Some("nameserver 192.168.1.1\n"), true),
            "nameserver 192.168.1.1\n"
        );
        assert_eq!(
            resolv_conf(STUB, None, true),
            "# made by systemd-resolved\noptions edns0\nsearch lan\n"
        );
    }

    #[test]
    fn what_is_said_replaces_what_is_there() {
        let text = "nameserver 10.0.0.2\nsearch lan\noptions edns0\n";
        let servers = ["192.0.2.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        let domains = ["a".to_owned(), "b".to_owned()];
        assert_eq!(with_resolvers(text, &[], &[]), text);
        assert_eq!(
            with_resolvers(text, &servers, &[]),
            "search lan\noptions edns0\nnameserver 192.0.2.1\nnameserver fd00::1\n"
        );
        assert_eq!(
            with_resolvers(text, &[], &domains),
            "nameserver 10.0.0.2\noptions edns0\nsearch a b\n"
        );
        assert_eq!(
            with_resolvers(text, &[], &[".".to_owned()]),
            "nameserver 10.0.0.2\noptions edns0\n"
        );
    }

    #[test]
    fn the_host_table_names_the_container() {
        let text = hosts(&[("10.4.0.7".parse().unwrap(), "web".to_owned())]);
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"), "{text}");
        assert!(text.ends_with("\n10.4.0.7\tweb\n"), "{text}");
        assert_eq!(hostname("web"), "web\n");
    }
}
