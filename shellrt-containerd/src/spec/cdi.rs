//! Devices of the Container Device Interface: what a vendor's files say that a container needs beside
//! the device's node, put into the document.

mod file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use shellrt_api::v0::config::containerd::{Config, Device};
use shellrt_api::v0::{config, Error};

use super::devices;
use super::document::{Hook, Mount, Spec};
use file::{Description, Edits, Node};

/// The variable that names the directories, with colons between them.
const VARIABLE: &str = "SHELLRT_CDI_DIRS";

/// The directories of the specification. What is in a later one wins.
const DIRS: &str = "/etc/cdi:/var/run/cdi";

/// When hooks may be run, as the runtime specification has it.
const HOOKS: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

/// The directories in which devices are described.
pub fn dirs() -> Vec<PathBuf> {
    let dirs = std::env::var_os(VARIABLE).unwrap_or_else(|| DIRS.into());
    std::env::split_paths(&dirs).collect()
}

/// Puts into `document` what the devices of `config` need, by the files in `dirs`.
///
/// # Errors
/// Error 4 at a device that no file describes, that two describe, or that needs what can't be done
/// here.
pub fn apply(document: &mut Spec, config: &Config, dirs: &[PathBuf]) -> Result<(), Error> {
    let names = config.devices.iter().enumerate();
    let mut names = names
        .filter_map(|(index, device)| match device {
            Device::Cdi(name) => Some((index, name)),
            Device::Node(_) => None,
        })
        .peekable();
    if names.peek().is_none() {
        return Ok(());
    }
    let known = Known::read(dirs);
    let mut applied = Vec::new();
    for (index, name) in names {
        let wrong = |reason: String| config::invalid(&format!("/devices/{index}"), &reason);
        let (number, edits) = known.find(name).map_err(wrong)?;
        // What a file wants for all of its devices it wants once.
        if !applied.contains(&number) {
            applied.push(number);
            let of_all = &known.files[number].container_edits;
            edit(document, of_all, config.privileged).map_err(wrong)?;
        }
        edit(document, edits, config.privileged).map_err(wrong)?;
    }
    Ok(())
}

/// All that is described.
struct Known {
    files: Vec<Description>,
    /// By the device's name: the numbers of the file and of the device in it, or what is wrong.
    devices: BTreeMap<String, Result<(usize, usize), String>>,
    /// Files that can't be read, and why.
    broken: Vec<String>,
}

impl Known {
    fn read(dirs: &[PathBuf]) -> Known {
        let mut known = Known {
            files: Vec::new(),
            devices: BTreeMap::new(),
            broken: Vec::new(),
        };
        for dir in dirs {
            let mut of_dir = BTreeMap::new();
            for path in file::paths(dir) {
                match file::read(&path) {
                    Ok(description) => known.add(&path, description, &mut of_dir),
                    Err(reason) => known.broken.push(format!("{path:?}: {reason}")),
                }
            }
            // A later directory wins.
            known.devices.extend(of_dir);
        }
        known
    }

    fn add(
        &mut self,
        path: &Path,
        description: Description,
        of_dir: &mut BTreeMap<String, Result<(usize, usize), String>>,
    ) {
        let number = self.files.len();
        for (index, device) in description.devices.iter().enumerate() {
            let name = format!("{}={}", description.kind, device.name);
            let is_there = of_dir.contains_key(&name);
            let entry = match is_there {
                false => Ok((number, index)),
                true => Err(format!(
                    "{path:?} describes {name:?}, and so does another file"
                )),
            };
            of_dir.insert(name, entry);
        }
        self.files.push(description);
    }

    /// The number of the file that describes a device, and what the device needs.
    fn find(&self, name: &str) -> Result<(usize, &Edits), String> {
        match self.devices.get(name) {
            Some(Ok((number, index))) => {
                let device = &self.files[*number].devices[*index];
                Ok((*number, &device.container_edits))
            }
            Some(Err(reason)) => Err(reason.clone()),
            None => {
                let known: Vec<&str> = self.devices.keys().map(String::as_str).collect();
                let mut reason = match known.is_empty() {
                    true => format!("no file describes {name:?}, or any other device"),
                    false => format!("no file describes {name:?}; there are {}", known.join(", ")),
                };
                for broken in &self.broken {
                    reason = format!("{reason}; {broken}");
                }
                Err(reason)
            }
        }
    }
}

fn edit(document: &mut Spec, edits: &Edits, privileged: bool) -> Result<(), String> {
    for (what, is_wanted) in [
        ("intelRdt", edits.intel_rdt.is_some()),
        ("netDevices", edits.net_devices.is_some()),
    ] {
        if is_wanted {
            return Err(format!("it needs {what:?}, which can't be given here"));
        }
    }
    for variable in &edits.env {
        let Some((name, _)) = variable.split_once('=') else {
            return Err(format!("{variable:?} is no variable"));
        };
        let has_name = |other: &String| other.split('=').next() == Some(name);
        document.process.env.retain(|other| !has_name(other));
        document.process.env.push(variable.clone());
    }
    for wanted in &edits.device_nodes {
        node(document, wanted, privileged)?;
    }
    for mount in &edits.mounts {
        let mut options = mount.options.clone();
        let kind = mount.kind.clone().unwrap_or_else(|| "bind".to_owned());
        let is_bind = |option: &String| option == "bind" || option == "rbind";
        if kind == "bind" && !options.iter().any(is_bind) {
            options.insert(0, "rbind".to_owned());
        }
        let destination = mount.container_path.clone();
        document
            .mounts
            .retain(|other| other.destination != destination);
        document.mounts.push(Mount {
            destination,
            kind,
            source: mount.host_path.clone(),
            options,
        });
    }
    for hook in &edits.hooks {
        if !HOOKS.contains(&hook.hook_name.as_str()) {
            return Err(format!(
                "it has a hook {:?}, which there is not",
                hook.hook_name
            ));
        }
        let hooks = document.hooks.entry(hook.hook_name.clone()).or_default();
        hooks.push(Hook {
            path: hook.path.clone(),
            args: hook.args.clone(),
            env: hook.env.clone(),
            timeout: hook.timeout,
        });
    }
    let groups = &mut document.process.user.additional_gids;
    for gid in edits.additional_gids.iter().filter(|gid| **gid != 0) {
        if !groups.contains(gid) {
            groups.push(*gid);
        }
    }
    Ok(())
}

/// Adds a node, and the right to use it.
fn node(document: &mut Spec, wanted: &Node, privileged: bool) -> Result<(), String> {
    let source = wanted.host_path.as_ref().unwrap_or(&wanted.path);
    let found = Path::new(source)
        .canonicalize()
        .ok()
        .and_then(|real| devices::node(&real, Path::new(&wanted.path)));
    let Some(mut node) = found else {
        return Err(format!(
            "it needs {source:?}, which is no device of this machine"
        ));
    };
    if let (Some(major), Some(minor)) = (wanted.major, wanted.minor) {
        (node.major, node.minor) = (major, minor);
    }
    match wanted.kind.as_deref() {
        None => {}
        Some("b") => node.kind = "b",
        Some("c" | "u") => node.kind = "c",
        Some(other) => return Err(format!("{other:?} is no kind of device")),
    }
    node.file_mode = wanted
        .file_mode
        .map_or(node.file_mode, |mode| mode & 0o7777);
    node.uid = wanted.uid.unwrap_or(node.uid);
    node.gid = wanted.gid.unwrap_or(node.gid);
    if !privileged {
        let permissions = wanted.permissions.as_deref().unwrap_or("rwm");
        let rule = devices::rule(node.kind, node.major, node.minor, permissions);
        document.linux.resources.devices.push(rule);
    }
    let nodes = &mut document.linux.devices;
    nodes.retain(|other| other.path != node.path);
    nodes.push(node);
    Ok(())
}
