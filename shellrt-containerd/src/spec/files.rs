//! The content of the files that every container gets: its resolver, its host table, its host name.

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

/// `/etc/hosts` of a container with the name `hostname` and the given addresses, each as text.
pub fn hosts(hostname: &str, addresses: &[String]) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    for address in addresses {
        text.push_str(&format!("{address}\t{hostname}\n"));
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
    use super::{hostname, hosts, resolv_conf};

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
    fn the_host_table_names_the_container() {
        let text = hosts("web", &["10.4.0.7".to_owned()]);
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"), "{text}");
        assert!(text.ends_with("\n10.4.0.7\tweb\n"), "{text}");
        assert_eq!(hostname("web"), "web\n");
    }
}
