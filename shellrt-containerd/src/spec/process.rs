//! The first process of a container: what it runs, with which environment, as whom, with which
//! rights.

use std::collections::BTreeMap;

use shellrt_api::v0::config::containerd::SecurityOpt;
use shellrt_api::v0::{config, Error};

use super::capabilities::Set;
use super::document::{Process, ProcessUser};
use super::{limits, Facts, User};

/// Where programs are looked for unless the image or the caller says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The first process of a container with this host name and these capabilities.
///
/// # Errors
/// Error 4: there is nothing to run, or a limit or an AppArmor profile that the machine has not.
pub(super) fn process(facts: Facts, hostname: &str, capabilities: Set) -> Result<Process, Error> {
    let (config, image) = (facts.config, facts.image);
    let working_dir = [&config.working_dir, &image.working_dir];
    let working_dir = working_dir
        .into_iter()
        .flatten()
        .find(|dir| !dir.is_empty());
    Ok(Process {
        terminal: config.tty,
        user: process_user(facts.user),
        args: args(facts)?,
        env: env(facts, hostname),
        cwd: working_dir.map_or("/", String::as_str).to_owned(),
        capabilities: capabilities.of_process(facts.user.uid),
        rlimits: limits::rlimits(facts)?,
        no_new_privileges: no_new_privileges(facts),
        apparmor_profile: apparmor(facts)?,
        oom_score_adj: limits::oom_score_adj(facts)?,
    })
}

/// The user in the document's form. Its own group is among the others, as after initgroups(3):
/// without it a program that drops its group could get around a file's permissions.
pub(super) fn process_user(user: &User) -> ProcessUser {
    let mut additional_gids = vec![user.gid];
    for &gid in &user.additional_gids {
        if !additional_gids.contains(&gid) {
            additional_gids.push(gid);
        }
    }
    ProcessUser {
        uid: user.uid,
        gid: user.gid,
        additional_gids,
    }
}

/// The entrypoint and the command. The image's command belongs to the image's entrypoint, so it is
/// not for another one.
fn args(facts: Facts) -> Result<Vec<String>, Error> {
    let (config, image) = (facts.config, facts.image);
    let (entrypoint, command) = match (&config.entrypoint, &config.command) {
        (Some(entrypoint), command) => (Some(entrypoint), command.as_ref()),
        (None, Some(command)) => (image.entrypoint.as_ref(), Some(command)),
        (None, None) => (image.entrypoint.as_ref(), image.cmd.as_ref()),
    };
    let args: Vec<String> = [entrypoint, command]
        .into_iter()
        .flatten()
        .flatten()
        .cloned()
        .collect();
    match args.first() {
        Some(program) if !program.is_empty() => Ok(args),
        Some(_) => Err(config::invalid(
            "/command",
            "the name of the program is empty",
        )),
        None => Err(config::invalid(
            "/command",
            "neither the image nor the config says what to run",
        )),
    }
}

/// The environment: what every container has, then the image's, then the request's; a name that
/// comes again keeps its place and takes the later value.
fn env(facts: Facts, hostname: &str) -> Vec<String> {
    let mut order = Vec::new();
    let mut values = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        if values.insert(name.to_owned(), value.to_owned()).is_none() {
            order.push(name.to_owned());
        }
    };
    set("PATH", PATH);
    set("HOSTNAME", hostname);
    if facts.config.tty {
        set("TERM", "xterm");
    }
    if !facts.user.home.is_empty() {
        set("HOME", &facts.user.home);
    }
    for variable in facts.image.env.iter().flatten() {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        set(name, value);
    }
    for (name, value) in facts.env {
        set(name, value);
    }
    let entries = order.iter().map(|name| format!("{name}={}", values[name]));
    entries.collect()
}

/// As docker has it: only where it is asked for, since images have `sudo` and `ping`.
fn no_new_privileges(facts: Facts) -> bool {
    let options = &facts.config.security_opt;
    options.contains(&SecurityOpt::NoNewPrivileges(true))
}

/// The AppArmor profile; none unless one is named. The one that docker loads for itself is not
/// taken, because after a boot it is there only when docker has been started.
fn apparmor(facts: Facts) -> Result<String, Error> {
    let mut profile = String::new();
    for (index, option) in facts.config.security_opt.iter().enumerate() {
        let wrong = |reason: &str| Err(config::invalid(&format!("/security_opt/{index}"), reason));
        match option {
            SecurityOpt::AppArmor(name) if name == "unconfined" => profile.clear(),
            SecurityOpt::AppArmor(name) => match &facts.host.apparmor {
                None => return wrong("AppArmor is not in force on this machine"),
                Some(loaded) if !loaded.contains(name) => {
                    return wrong(&format!(
                        "the AppArmor profile {name:?} is not loaded; apparmor_parser loads it"
                    ));
                }
                Some(_) => profile.clone_from(name),
            },
            SecurityOpt::Label(_) => {
                return wrong("SELinux labels are not supported; leave it out");
            }
            SecurityOpt::NoNewPrivileges(_)
            | SecurityOpt::SeccompUnconfined
            | SecurityOpt::Seccomp(_) => {}
        }
    }
    Ok(profile)
}
