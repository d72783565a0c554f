//! The process that changes the networks of modules: one thread, in the namespaces of containerd, and
//! never two on a machine at once, because CNI's plugins don't take care of that.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{getpid, getppid};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shellrt_api::v0;
use shellrt_api::v0::config::containerd::{HostAddress, PublishedPort};
use shellrt_plugin::lock::Lock;
use shellrt_plugin::{file, process};

use super::error::Error;
use super::joined::{Joined, Whose};
use super::list::{Cni, List};
use super::plugin::Caller;
use super::{bridge, hosts, namespace, port};

/// The internal mode of this program that changes a module's network. What is to be done comes on stdin,
/// what came of it goes to stdout.
pub const MODE: &str = "network";

/// Held while a network is changed, by all plugins of this machine. It is not CNI's own directory that
/// is locked: other programs have locks of their own there.
const LOCK: &str = "/run/shellrt/cni.lock";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The module's id on this machine.
    pub id: String,
    /// The process of containerd, where it is known.
    pub daemon: Option<i32>,
    /// How long it may take, in milliseconds.
    pub time: Option<u64>,
    /// The process that asks.
    pub asker: i32,
    /// What.
    pub work: Work,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// A module is joined to its network.
    Join(Box<Wish>),
    /// It is taken off. Where nothing is known of it any more, it is taken off the named network, if
    /// there is one.
    Leave(Option<(String, Cni)>),
}

/// How a module wants to be joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// The module.
    pub module: Whose,
    /// The network, as the module's config calls it.
    pub network: String,
    /// Where the networks are.
    pub cni: Cni,
    /// What is to be published.
    pub ports: Vec<PublishedPort>,
}

/// Has it done by a process of its own.
///
/// # Errors
/// What that says, in the form for the wire, and what keeps it from being started.
pub fn ask(order: &Order) -> Result<(), v0::Error> {
    let failed = |doing: &'static str, source: io::Error| wire(&Error::system(doing, source));
    let input = serde_json::to_vec(order).map_err(|source| failed("ask", source.into()))?;
    let mut child = Command::new("/proc/self/exe")
        .args([MODE, &order.id])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| failed("start a process", source))?;
    if let Some(mut stdin) = child.stdin.take() {
        let written = stdin.write_all(&input);
        written.map_err(|source| failed("ask", source))?;
    }
    let output = child.wait_with_output();
    let output = output.map_err(|source| failed("wait for a process", source))?;
    serde_json::from_slice::<Result<(), v0::Error>>(&output.stdout).unwrap_or_else(|_| {
        let words = format!("it ended with {}", output.status);
        Err(failed("change a network", io::Error::other(words)))
    })
}

fn wire(error: &Error) -> v0::Error {
    v0::Error::new(error.code(), error)
}

/// Does what stdin says.
///
/// # Errors
/// What is wrong with that; what is wrong with the network goes to stdout.
pub fn serve() -> Result<(), crate::Error> {
    // Whoever asked may end its process group, and that must not end this.
    let _ = rustix::process::setsid();
    let failed = |source| crate::Error::system("understand what is to be done", source);
    let mut input = Vec::new();
    io::stdin().read_to_end(&mut input).map_err(failed)?;
    let order: Order = serde_json::from_slice(&input).map_err(|source| failed(source.into()))?;
    let answer = work(&order).map_err(|error| wire(&error));
    let answer = serde_json::to_vec(&answer).map_err(|source| failed(source.into()))?;
    // Whoever asked may be gone.
    let _ = io::stdout().write_all(&answer);
    Ok(())
}

fn work(order: &Order) -> Result<(), Error> {
    let time = order.time.map(Duration::from_millis);
    let deadline = time.map(|time| Instant::now() + time);
    if let Some(daemon) = order.daemon {
        namespace::enter(daemon)?;
    }
    let path = Path::new(LOCK);
    file::make_dir(path.parent().unwrap_or(path))?;
    let _lock = Lock::exclusive(path, deadline)?;
    let place = Place {
        id: &order.id,
        namespace: namespace::path(&order.id),
        deadline,
    };
    match &order.work {
        Work::Join(wish) => {
            // Whoever asked was killed while we waited, and what comes of it would be nobody's.
            let asker = getppid().map(|pid| pid.as_raw_nonzero().get());
            if asker != Some(order.asker) {
                return Err(Error::Abandoned);
            }
            place.join(wish)
        }
        Work::Leave(known) => place.leave(known.as_ref()),
    }
}

/// The process that asks, as an [`Order`] has it.
pub fn asker() -> i32 {
    getpid().as_raw_nonzero().get()
}

/// What is done for one module.
struct Place<'a> {
    id: &'a str,
    namespace: PathBuf,
    deadline: Option<Instant>,
}

impl Place<'_> {
    fn join(&self, wish: &Wish) -> Result<(), Error> {
        let list = match wish.network.as_str() {
            bridge::NAME => bridge::make(&wish.cni)?,
            name => wish.cni.find(name)?.ok_or_else(|| Error::Gone {
                name: name.to_owned(),
                dir: wish.cni.networks.clone(),
            })?,
        };
        // What a crash or a reboot has left would keep the address from being given, or the rules from
        // being made.
        self.clear(Joined::read(self.id).as_ref(), Some((&wish.cni, &list)));
        let chosen = port::choose(self.id, &wish.ports, list.may_have_ipv6())?;
        let boot = process::boot_id().map_err(|source| Error::system("read the boot id", source));
        let mut joined = Joined {
            boot: boot?,
            module: wish.module.clone(),
            network: wish.network.clone(),
            cni: wish.cni.clone(),
            list,
            ports: chosen.mappings.clone(),
            result: Value::Null,
        };
        let made = self.make(&mut joined);
        if made.is_err() {
            self.clear(Some(&joined), None);
        }
        made?;
        hosts::refresh(&joined);
        Ok(())
    }

    fn make(&self, joined: &mut Joined) -> Result<(), Error> {
        joined.write(self.id)?;
        namespace::make(&self.namespace)?;
        let list = joined.list.clone();
        let (cni, ports) = (joined.cni.clone(), joined.ports.clone());
        let caller = self.caller(&cni, &ports, Some(&self.namespace));
        caller.add(&list, |result| {
            joined.result = result.clone();
            joined.write(self.id)
        })?;
        let needs_gateway = joined
            .module
            .extra_hosts
            .iter()
            .any(|host| host.address == HostAddress::Gateway);
        if needs_gateway && hosts::gateway(joined).is_none() {
            return Err(Error::NoGateway(joined.network.clone()));
        }
        let (has_ipv4, has_ipv6) = (joined.has_ipv4(), joined.has_ipv6());
        for mapping in &joined.ports {
            let is_reached = mapping
                .host_ip
                .is_none_or(|address| match address.is_ipv4() {
                    true => has_ipv4,
                    false => has_ipv6,
                });
            if !is_reached {
                return Err(Error::Port {
                    address: mapping.to_string(),
                    reason: format!("the network {:?} has no such addresses", joined.network),
                });
            }
        }
        Ok(())
    }

    fn leave(&self, known: Option<&(String, Cni)>) -> Result<(), Error> {
        let joined = Joined::read(self.id);
        let other = match (&joined, known) {
            (None, Some((name, cni))) => cni.find(name)?.map(|list| (cni, list)),
            _ => None,
        };
        self.clear(
            joined.as_ref(),
            other.as_ref().map(|(cni, list)| (*cni, list)),
        );
        if let Some(joined) = joined {
            hosts::refresh(&joined);
        }
        Ok(())
    }

    /// Takes the module off the network that it is `joined` to, and off `other`, as far as that can be
    /// done.
    fn clear(&self, joined: Option<&Joined>, other: Option<(&Cni, &List)>) {
        let warn = |result: Result<(), Error>| {
            if let Err(error) = result {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                log::warn!("{}: {error}{}", self.id, cause.unwrap_or_default());
            }
        };
        let namespace = Some(self.namespace.as_path()).filter(|path| path.exists());
        if let Some(joined) = joined {
            let caller = self.caller(&joined.cni, &joined.ports, namespace);
            warn(caller.delete(&joined.list, Some(&joined.result)));
        }
        let other = other.filter(|(_, list)| joined.is_none_or(|it| it.list.name != list.name));
        if let Some((cni, list)) = other {
            let result = self.caller(cni, &[], namespace).delete(list, None);
            // There was nothing to be taken back, most likely.
            if let Err(error) = result {
                log::debug!("{}: {error}", self.id);
            }
        }
        warn(namespace::remove(&self.namespace));
        warn(Joined::remove(self.id));
    }

    fn caller<'b>(
        &'b self,
        cni: &'b Cni,
        ports: &'b [port::Mapping],
        namespace: Option<&'b Path>,
    ) -> Caller<'b> {
        Caller {
            cni,
            id: self.id,
            namespace,
            ports,
            deadline: self.deadline,
        }
    }
}
