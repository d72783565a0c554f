//! The networks of modules, by the plugins of CNI: which one a module gets is decided when it is created,
//! and it is joined before its task is made and taken off when that has ended.
//!
//! ```text
//! create ── decide      config and machine -> a network of the machine, kept in the record
//! start  ── join  ─┐                                     lock       network namespace
//! end    ── leave ─┼──► a process in containerd's own ────────────► CNI plugins
//! remove ── forget ┘    namespaces: `worker`                        host tables
//! ```

mod bridge;
mod error;
pub mod hosts;
mod joined;
mod list;
mod namespace;
mod plugin;
pub mod port;
pub mod worker;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Instant;

use shellrt_api::v0;
use shellrt_api::v0::config::containerd::Config;
use shellrt_api::v0::config::invalid;
use shellrt_plugin::lock::Lock;
use shellrt_plugin::names;

use crate::containerd::Containerd;
use crate::error::Error as PluginError;
use crate::module::{Module, State};
use crate::store::Store;
use crate::Context;

pub use error::Error;
pub use joined::Joined;
use joined::Whose;
pub use list::Cni;
use list::{kind, List};
use worker::{Order, Wish, Work};

/// The network of a config, and where it is kept for a module; nothing with the machine's network or
/// with none.
///
/// # Errors
/// Error 4, where it can't be had on this machine.
pub fn decide(config: &Config) -> Result<(Config, Option<Cni>), v0::Error> {
    let cni = Cni::from_env();
    let mut config = config.clone();
    let name = match &config.network {
        Some(name) => name.clone(),
        None => default(&config, &cni)?.to_owned(),
    };
    config.network = Some(name.clone());
    // What nobody could say before the network was known.
    config.check()?;
    if name == "host" || name == "none" {
        return Ok((config, None));
    }
    let wrong = |reason: String| invalid("/network", &reason);
    let found = cni.find(&name).map_err(|error| wrong(error.to_string()))?;
    let list = match found {
        Some(list) => list,
        None if name == bridge::NAME => {
            // It is written at the first start.
            List::of(bridge::document(&cni, "shellrt0", [0; 3]))
                .map_err(|it| wrong(it.to_owned()))?
        }
        None => return Err(wrong(no_network(&name, &cni))),
    };
    let mut plugins = list.plugins.iter().map(kind);
    let absent = match name == bridge::NAME && !bridge::file(&cni).exists() {
        true => bridge::missing(&cni).first().copied(),
        false => plugins.find(|plugin| cni.plugin(plugin).is_none()),
    };
    if let Some(plugin) = absent {
        let (plugin, dirs) = (plugin.to_owned(), cni.plugin_dirs());
        return Err(wrong(Error::NoPlugin { plugin, dirs }.to_string()));
    }
    check_ports(&config, &name, &list)?;
    Ok((config, Some(cni)))
}

/// The network where a config names none.
fn default(config: &Config, cni: &Cni) -> Result<&'static str, v0::Error> {
    let missing = bridge::missing(cni);
    let is_root = rustix::process::geteuid().is_root();
    match (is_root && missing.is_empty(), config.ports.is_empty()) {
        (true, _) => Ok(bridge::NAME),
        (false, true) => Ok("host"),
        (false, false) => {
            let reason = match missing.first() {
                Some(plugin) => format!(
                    "there is no network that publishes it: the CNI plugin {plugin:?} is not in \
                     {}; install it, or set CNI_PATH to where it is",
                    cni.plugin_dirs()
                ),
                None => "only root can make the network that publishes it".to_owned(),
            };
            Err(invalid("/ports/0", &reason))
        }
    }
}

fn no_network(name: &str, cni: &Cni) -> String {
    let mut known = vec!["bridge".to_owned(), "host".to_owned(), "none".to_owned()];
    let others = cni.lists().into_iter().map(|list| list.name);
    let others = others.filter(|name| !known.contains(name));
    let others: Vec<String> = others.collect();
    known.extend(others);
    let known: Vec<String> = known.iter().map(|name| format!("{name:?}")).collect();
    format!(
        "there is no network {name:?} in {:?}; there are {}",
        cni.networks,
        known.join(", ")
    )
}

fn check_ports(config: &Config, name: &str, list: &List) -> Result<(), v0::Error> {
    for (index, port) in config.ports.iter().enumerate() {
        let reason = match port.host_ip {
            _ if !list.publishes() => format!(
                "the network {name:?} publishes nothing: none of its plugins has the capability \
                 \"portMappings\""
            ),
            Some(IpAddr::V6(address)) if address.is_loopback() => {
                "the kernel forwards nothing from the loopback address of IPv6; publish it at \
                 \"127.0.0.1\""
                    .to_owned()
            }
            Some(IpAddr::V6(_)) if !list.may_have_ipv6() => {
                format!("the network {name:?} has no IPv6 addresses")
            }
            _ => continue,
        };
        return Err(invalid(&format!("/ports/{index}"), &reason));
    }
    Ok(())
}

/// The network namespace of a module, which exists while it runs; only for a module of a CNI network.
pub fn namespace(store: &Store, name: &str) -> PathBuf {
    namespace::path(&store.machine_wide(name))
}

/// What is known of a module while it is joined to a network.
pub fn joined(store: &Store, name: &str) -> Option<Joined> {
    Joined::find(&store.machine_wide(name))
}

/// Joins a module to its network, before its task is made. The caller has the lock of its tasks.
///
/// # Errors
/// The words of a plugin, or who has a port; then the module is on no network.
pub fn join(module: &Module) -> Result<(), PluginError> {
    let definition = &module.definition;
    let (Some(network), Some(cni)) = (&definition.config.network, &definition.cni) else {
        return Ok(());
    };
    let wish = Wish {
        module: Whose {
            root: module.store.root().to_owned(),
            name: module.name.to_string(),
            hostname: definition.hostname.clone(),
            hosts: module.files.hosts(),
            extra_hosts: definition.config.extra_hosts.clone(),
        },
        network: network.clone(),
        cni: cni.clone(),
        ports: definition.config.ports.clone(),
    };
    let work = Work::Join(Box::new(wish));
    let order = order(
        &module.containerd,
        &module.store,
        module.name.as_str(),
        work,
    );
    let joined = worker::ask(&order);
    if joined.is_err() {
        // There is something only if the one who was asked was killed.
        let patient = module.containerd.to_undo();
        leave(&patient, &module.store, module.name.as_str());
    }
    Ok(joined?)
}

/// Takes a module off its network, when its task is deleted. The caller has the lock of its tasks.
pub fn leave(containerd: &Containerd, store: &Store, name: &str) {
    let id = store.machine_wide(name);
    if Joined::read(&id).is_some() || namespace::path(&id).exists() {
        take_off(containerd, store, name, None);
    }
}

/// Takes a module that is being removed off its network, and frees what a reboot has left of it.
pub fn forget(module: &Module) {
    let (store, name) = (&module.store, module.name.as_str());
    leave(&module.containerd, store, name);
    let definition = &module.definition;
    let (Some(network), Some(cni)) = (&definition.config.network, &definition.cni) else {
        return;
    };
    // What was joined since the boot is known, unless it is off already.
    let boot = shellrt_plugin::process::boot_id().unwrap_or_default();
    let run = module.files.run().ok().flatten();
    let is_of_now = run.is_some_and(|run| run.boot == boot);
    let was_started = module.files.attempt().is_some() || !module.files.dir().exists();
    if was_started && !is_of_now {
        let known = Some((network.clone(), cni.clone()));
        take_off(&module.containerd, store, name, known);
    }
}

fn take_off(containerd: &Containerd, store: &Store, name: &str, known: Option<(String, Cni)>) {
    let order = order(containerd, store, name, Work::Leave(known));
    if let Err(error) = worker::ask(&order) {
        log::warn!("what is left of the network of {name}: {error}");
    }
}

fn order(containerd: &Containerd, store: &Store, name: &str, work: Work) -> Order {
    let left = containerd.deadline().map(|deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    });
    Order {
        id: store.machine_wide(name),
        daemon: containerd.pid(),
        time: left,
        asker: worker::asker(),
        work,
    }
}

/// Takes off what is joined to a network and does not run: whoever started or ended it was killed.
///
/// # Errors
/// What containerd refuses.
pub fn prune(context: &Context) -> Result<(), PluginError> {
    let root = context.store.root();
    let mut all = Joined::all();
    all.retain(|(_, joined)| joined.module.root == root);
    for (_, joined) in all {
        let name = names::check(&joined.module.name)?;
        // Somebody may be starting it in this moment.
        let Ok(Some(lock)) = Lock::try_exclusive(&context.store.module_lock(&name)) else {
            continue;
        };
        let (is_known, is_active) = match Module::find(context, name.as_str()) {
            Ok(module) => (true, module.now()?.state() == State::Active),
            Err(PluginError::ModuleNotFound(_)) => (false, false),
            Err(error) => return Err(error),
        };
        if !is_active {
            leave(context.containerd()?, &context.store, name.as_str());
        }
        if !is_known {
            lock.remove()?;
        }
    }
    Ok(())
}
