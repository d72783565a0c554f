//! The OCI runtime specification of a container: docker's defaults, the image and the config in one
//! document.
//!
//! It is a function of [`Facts`]; beside them only devices, the sources of binds and a seccomp
//! profile are looked at on the machine. What can't be done on this machine is error 4, with the
//! place in the config; nothing is dropped in silence.

mod capabilities;
pub mod cdi;
mod devices;
pub mod document;
pub mod files;
mod host;
mod image;
pub mod layers;
mod limits;
mod mounts;
mod namespaces;
mod process;
mod seccomp;
#[cfg(test)]
mod tests;
pub mod user;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use shellrt_api::v0::config::containerd::{Config, Namespace};
use shellrt_api::v0::Error;

use capabilities::Set;
pub use document::Spec;
use document::{Hooks, Linux, Resources, Root};
pub use host::Host;
pub use image::ImageConfig;
pub use layers::Layers;
pub use mounts::make_sources;
pub use namespaces::{has_host_network, hostname};
pub use namespaces::{MASKED_PATHS, READONLY_PATHS};

/// All that the document of a container follows from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The module's name, which is the container's id.
    pub name: &'a str,
    /// containerd's namespace.
    pub namespace: &'a str,
    /// What the caller wants. It has been checked.
    pub config: &'a Config,
    /// The request's variables, which win over the image's.
    pub env: &'a BTreeMap<String, String>,
    /// What the image says.
    pub image: &'a ImageConfig,
    /// Whom the first process runs as.
    pub user: &'a User,
    /// The generated files.
    pub files: Files<'a>,
    /// The directories on the machine of the volumes, by the path in the container: those of the
    /// config, and those that the image wants.
    pub volumes: &'a BTreeMap<String, PathBuf>,
    /// The network namespace that is made for it, where it has a network of CNI's.
    pub network: Option<&'a Path>,
    /// What the machine can do.
    pub host: &'a Host,
}

/// The generated files, by their paths on the machine.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// For `/etc/resolv.conf`.
    pub resolv_conf: &'a Path,
    /// For `/etc/hosts`.
    pub hosts: &'a Path,
    /// For `/etc/hostname`.
    pub hostname: &'a Path,
}

/// Whom a process runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The other groups.
    pub additional_gids: Vec<u32>,
    /// The home directory, empty where it is not known.
    pub home: String,
}

/// The document of a container.
///
/// # Errors
/// Error 4; `detail.path` is a JSON pointer into the request.
pub fn spec(facts: Facts) -> Result<Spec, Error> {
    let config = facts.config;
    let capabilities = Set::new(
        &config.cap_add,
        &config.cap_drop,
        config.privileged,
        facts.host.capabilities,
    )?;
    let hostname = hostname(config, facts.name, facts.host);
    let (mounts, rootfs_propagation) = mounts::mounts(facts)?;
    let (devices, device_rules) = devices::devices(facts)?;
    Ok(Spec {
        // What every runtime knows; nothing newer is used.
        oci_version: "1.0.2",
        process: process::process(facts, &hostname, capabilities)?,
        root: Root {
            path: "rootfs",
            readonly: config.read_only,
        },
        // Who shares the machine's name does not set it.
        hostname: match config.uts {
            Namespace::Private => hostname,
            Namespace::Host => String::new(),
        },
        mounts,
        hooks: Hooks::default(),
        annotations: config.annotations.clone(),
        linux: Linux {
            sysctl: namespaces::sysctls(facts)?,
            resources: Resources {
                devices: device_rules,
                ..limits::resources(facts)?
            },
            cgroups_path: namespaces::cgroups_path(facts),
            namespaces: namespaces::namespaces(facts),
            devices,
            // It follows from the capabilities and so comes after them.
            seccomp: seccomp::filter(facts, capabilities)?,
            rootfs_propagation,
            masked_paths: namespaces::masked_paths(facts),
            readonly_paths: namespaces::readonly_paths(facts),
        },
    })
}
