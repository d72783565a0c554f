//! What a container finds under `/etc`: written anew at every start, because the machine's resolver may
//! be another one by then.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Definition, Files};
use crate::error::Error;
use crate::{network, spec};

/// Writes it. The host table of a module of a CNI network gets its addresses when it is joined.
///
/// # Errors
/// What the operating system refuses.
pub fn write(files: &Files, definition: &Definition) -> Result<(), Error> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let host = read("/etc/resolv.conf").unwrap_or_default();
    let upstream = read("/run/systemd/resolve/resolv.conf");
    let is_private = definition.cni.is_some();
    let config = &definition.config;
    let resolver = spec::files::resolv_conf(&host, upstream.as_deref(), is_private);
    let texts = [
        (
            files.resolv_conf(),
            spec::files::with_resolvers(&resolver, &config.dns, &config.dns_search),
        ),
        (files.hosts(), hosts(definition)),
        (
            files.hostname(),
            spec::files::hostname(&definition.hostname),
        ),
    ];
    for (path, text) in texts {
        write_public(&path, &text)?;
    }
    Ok(())
}

/// With the machine's network the machine's own table, as docker has it.
fn hosts(definition: &Definition) -> String {
    let config = &definition.config;
    let is_host = spec::has_host_network(config);
    let lines: Vec<(IpAddr, String)> =
        network::hosts::extra(&config.extra_hosts, is_host.then_some(network::hosts::OWN));
    let own = match is_host {
        true => fs::read_to_string("/etc/hosts").ok(),
        false => None,
    };
    match own {
        Some(own) => spec::files::with_hosts(&own, &lines),
        None => spec::files::hosts(&lines),
    }
}

/// Writes a file that every user in the container may read.
fn write_public(path: &Path, text: &str) -> Result<(), Error> {
    let written = fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o644)));
    written.map_err(|source| Error::file("write", path, source))
}
