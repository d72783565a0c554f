//! What is wrong with a config on any machine.

mod health;
mod limits;
mod network;
pub(in super::super) mod places;

use std::collections::BTreeMap;

use super::super::super::Error;
use super::super::invalid;
use super::{capability, Config, Namespace, SecurityOpt};

impl Config {
    /// Finds what is wrong with the config on any machine: what can't be meant, what contradicts
    /// something else in it, what no kernel takes. What is left out for good reasons is left to the
    /// plugin: the image's reference, the limits of the log, the policy and names of this machine.
    ///
    /// # Errors
    /// [`Code::INVALID_CONFIG`](super::super::super::Code::INVALID_CONFIG); `detail.path` is a JSON
    /// pointer into the request.
    pub fn check(&self) -> Result<(), Error> {
        process(self)?;
        places::check(self)?;
        network::check(self)?;
        security(self)?;
        sysctls(self)?;
        limits::check(self)?;
        health::check(self)?;
        names(self)
    }
}

/// What is run, and as whom.
fn process(config: &Config) -> Result<(), Error> {
    for (field, words) in [
        ("entrypoint", &config.entrypoint),
        ("command", &config.command),
    ] {
        for (index, word) in words.iter().flatten().enumerate() {
            no_nul(&format!("/{field}/{index}"), word)?;
        }
    }
    if let Some(directory) = &config.working_dir {
        places::absolute("/working_dir", directory)?;
    }
    if let Some(user) = &config.user {
        if !is_user(user) {
            return Err(invalid(
                "/user",
                &format!(
                    "{user:?} is no user; write \"name\", \"uid\", \"name:group\" or \"uid:gid\""
                ),
            ));
        }
    }
    for (index, group) in config.group_add.iter().enumerate() {
        if !is_account(group) {
            let reason = format!("{group:?} is no group; write its name or its number");
            return Err(invalid(&format!("/group_add/{index}"), &reason));
        }
    }
    match &config.hostname {
        Some(_) if config.uts == Namespace::Host => Err(invalid(
            "/hostname",
            "a container with the machine's host name, \"uts\": \"host\", has none of its own",
        )),
        Some(name) if !is_hostname(name) => Err(invalid(
            "/hostname",
            &format!(
                "{name:?} is no host name; it has letters, digits, \"-\" and \".\", 64 at most"
            ),
        )),
        _ => Ok(()),
    }
}

pub(in super::super) fn no_nul(path: &str, text: &str) -> Result<(), Error> {
    match text.contains('\0') {
        true => Err(invalid(path, "a NUL can't be part of it")),
        false => Ok(()),
    }
}

fn is_user(text: &str) -> bool {
    match text.split_once(':') {
        Some((user, group)) => is_account(user) && is_account(group),
        None => is_account(text),
    }
}

/// A name as it may stand in `/etc/passwd` and `/etc/group`, or a number as those files have it.
fn is_account(text: &str) -> bool {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    // The largest number that docker takes; the kernel gives -1 a meaning of its own.
    let in_range = !is_number || text.parse::<i32>().is_ok();
    let sound = |letter: char| letter != ':' && !letter.is_whitespace() && !letter.is_control();
    !text.is_empty() && in_range && text.chars().all(sound)
}

fn is_hostname(text: &str) -> bool {
    let sound = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    let edge = |letter: char| "-.".contains(letter);
    (1..=64).contains(&text.len())
        && text.chars().all(sound)
        && !text.starts_with(edge)
        && !text.ends_with(edge)
}

fn security(config: &Config) -> Result<(), Error> {
    for (field, names) in [("cap_add", &config.cap_add), ("cap_drop", &config.cap_drop)] {
        for (index, name) in names.iter().enumerate() {
            if !name.eq_ignore_ascii_case("all") && capability(name).is_none() {
                let reason =
                    format!("{name:?} is no capability; \"man 7 capabilities\" lists them");
                return Err(invalid(&format!("/{field}/{index}"), &reason));
            }
        }
    }
    let mut subjects = Vec::new();
    for (index, option) in config.security_opt.iter().enumerate() {
        let subject = match option {
            SecurityOpt::NoNewPrivileges(_) => "no-new-privileges",
            SecurityOpt::SeccompUnconfined | SecurityOpt::Seccomp(_) => "seccomp",
            SecurityOpt::AppArmor(_) => "apparmor",
            // Labels add up: user, role, type and level are one each.
            SecurityOpt::Label(_) => continue,
        };
        if subjects.contains(&subject) {
            let reason = format!("{subject:?} is there twice");
            return Err(invalid(&format!("/security_opt/{index}"), &reason));
        }
        subjects.push(subject);
    }
    Ok(())
}

/// The parameters of System V and POSIX interprocess communication that each namespace has for
/// itself; the ones below `fs.mqueue.` are more.
const IPC_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Kernel parameters that would change the machine are refused, as docker does.
fn sysctls(config: &Config) -> Result<(), Error> {
    for (name, value) in &config.sysctls {
        let path = format!("/sysctls/{}", escaped(name));
        no_nul(&path, value)?;
        // sysctl(8) takes both forms.
        let dotted = name.replace('/', ".");
        let is_ipc = IPC_SYSCTLS.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.");
        let (owner, is_host) = if is_ipc {
            ("ipc", config.ipc == Namespace::Host)
        } else if dotted.starts_with("net.") {
            // Where nothing is said, the machine decides.
            ("network", config.network.as_deref() == Some("host"))
        } else if dotted == "kernel.domainname" {
            ("uts", config.uts == Namespace::Host)
        } else {
            let reason = "only \"net.*\", \"fs.mqueue.*\", \"kernel.domainname\" and the kernel's \
                          limits of shared memory, semaphores and messages belong to a container";
            return Err(invalid(&path, reason));
        };
        if is_host {
            let reason = format!(
                "it would change the machine, because {owner:?} is \"host\" here; give the \
                 container one of its own"
            );
            return Err(invalid(&path, &reason));
        }
    }
    Ok(())
}

/// Names that containerd and the runtime get as they are.
fn names(config: &Config) -> Result<(), Error> {
    for (field, map) in [
        ("labels", &config.labels),
        ("annotations", &config.annotations),
    ] {
        keys(field, map)?;
    }
    for (field, name) in [
        ("network", &config.network),
        ("platform", &config.platform),
        ("runtime", &config.runtime),
        ("snapshotter", &config.snapshotter),
    ] {
        if name.as_deref().is_some_and(|name| name.trim().is_empty()) {
            let reason = "it is empty; leave it out for the default";
            return Err(invalid(&format!("/{field}"), reason));
        }
    }
    match config.runtime.as_deref().filter(|it| it.starts_with('/')) {
        Some(program) if program.len() > 127 => {
            let reason = "a path of more than 127 bytes is too long for the runtime";
            Err(invalid("/runtime", reason))
        }
        Some(program) => places::absolute("/runtime", program),
        None => Ok(()),
    }
}

fn keys(field: &str, map: &BTreeMap<String, String>) -> Result<(), Error> {
    match map.contains_key("") {
        true => Err(invalid(&format!("/{field}/"), "it has no name")),
        false => Ok(()),
    }
}

/// A key as a part of a JSON pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
