//! What the container reaches, and where it is reached.

use super::super::super::super::Error;
use super::super::super::invalid;
use super::super::{Config, HostAddress};

pub(super) fn check(config: &Config) -> Result<(), Error> {
    let network = config.network.as_deref();
    for (index, port) in config.ports.iter().enumerate() {
        let path = format!("/ports/{index}");
        let has_none = network.filter(|network| matches!(*network, "host" | "none"));
        if let Some(network) = has_none {
            let reason = format!(
                "with \"network\": {network:?} nothing is published; take \"bridge\" or leave the \
                 port out"
            );
            return Err(invalid(&path, &reason));
        }
        let wanted = port
            .published
            .filter(|it| it.count() != port.target.count());
        if let Some(published) = wanted {
            let reason = format!(
                "{published} are {} ports of the machine for {} of the container",
                published.count(),
                port.target.count()
            );
            return Err(invalid(&path, &reason));
        }
        let mut before = config.ports[..index].iter();
        if let Some(other) = before.position(|other| other.conflicts_with(port)) {
            let reason = format!("\"ports/{other}\" has the same port of the machine already");
            return Err(invalid(&path, &reason));
        }
    }
    for (index, domain) in config.dns_search.iter().enumerate() {
        let sound = |letter: char| !letter.is_whitespace() && !letter.is_control();
        if domain.is_empty() || !domain.chars().all(sound) {
            let reason = format!("{domain:?} is no domain; \".\" searches none");
            return Err(invalid(&format!("/dns_search/{index}"), &reason));
        }
    }
    for (index, host) in config.extra_hosts.iter().enumerate() {
        if host.address == HostAddress::Gateway && network == Some("none") {
            let reason = "without a network the machine can't be reached";
            return Err(invalid(&format!("/extra_hosts/{index}"), reason));
        }
    }
    Ok(())
}
