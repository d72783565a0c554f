//! What is wrong with a config on any machine.

use super::super::super::Error;
use super::super::containerd::capability;
use super::super::containerd::check::{no_nul, places};
use super::super::containerd::MountKind;
use super::super::{invalid, Log, Restart};
use super::{Config, NamespaceMode, ProfileType, SecurityContext, SecurityProfile};

impl Config {
    /// Finds what is wrong with the config on any machine. The image's reference and the limits of
    /// the log are left to the plugin.
    ///
    /// # Errors
    /// [`Code::INVALID_CONFIG`](super::super::super::Code::INVALID_CONFIG); `detail.path` is a JSON
    /// pointer into the request.
    pub fn check(&self) -> Result<(), Error> {
        for (field, words) in [("command", &self.command), ("args", &self.args)] {
            for (index, word) in words.iter().flatten().enumerate() {
                no_nul(&format!("/{field}/{index}"), word)?;
            }
        }
        // An empty list is what the interface takes for none.
        for (field, words) in [("command", &self.command), ("args", &self.args)] {
            if words.as_ref().is_some_and(Vec::is_empty) {
                let reason = "an empty list means the image's own here; leave it out";
                return Err(invalid(&format!("/{field}"), reason));
            }
        }
        if let Some(directory) = &self.working_dir {
            places::absolute("/working_dir", directory)?;
        }
        mounts(self)?;
        labels(self)?;
        resources(self)?;
        security(&self.linux.security_context)?;
        if self.log.streams != Log::default().streams {
            let reason = "containerd logs both streams of such a module; leave it out";
            return Err(invalid("/log/streams", reason));
        }
        if self.restart != Restart::No {
            let reason = "such a module is not restarted; use \"no\", or the config type \
                          \"containerd\"";
            return Err(invalid("/restart", reason));
        }
        Ok(())
    }
}

fn mounts(config: &Config) -> Result<(), Error> {
    let mut taken = Vec::new();
    for (index, mount) in config.mounts.iter().enumerate() {
        let path = format!("/mounts/{index}");
        places::sound(&path, mount)?;
        if mount.kind != MountKind::Bind {
            let reason = "there is only \"bind\" here; the config type \"containerd\" has others";
            return Err(invalid(&format!("{path}/type"), reason));
        }
        places::free(&mut taken, &format!("{path}/target"), &mount.target)?;
    }
    Ok(())
}

/// Labels have a meaning for Kubernetes and for containerd where they have its names.
fn labels(config: &Config) -> Result<(), Error> {
    const RESERVED: [&str; 5] = [
        "containerd.io/",
        "io.cri-containerd",
        "io.containerd.",
        "io.kubernetes.",
        "shellrt.",
    ];
    for (key, value) in &config.labels {
        let reason = if key.is_empty() {
            "it has no name"
        } else if RESERVED.iter().any(|reserved| key.starts_with(reserved)) {
            "this label has a meaning for containerd or its clients; take another name"
        } else if key.len() + value.len() > 4096 {
            "containerd takes 4096 bytes for a label's name and value together"
        } else {
            continue;
        };
        let place = key.replace('~', "~0").replace('/', "~1");
        return Err(invalid(&format!("/labels/{place}"), reason));
    }
    Ok(())
}

fn resources(config: &Config) -> Result<(), Error> {
    let resources = &config.linux.resources;
    for (field, value) in [
        ("cpu_period", resources.cpu_period),
        ("cpu_shares", resources.cpu_shares),
        ("memory_limit_in_bytes", resources.memory_limit_in_bytes),
    ] {
        if value < 0 {
            let reason = "it must not be negative; leave it out for no limit";
            return Err(invalid(&format!("/linux/resources/{field}"), reason));
        }
    }
    if !(-1000..=1000).contains(&resources.oom_score_adj) {
        let reason = "it is from -1000 to 1000";
        return Err(invalid("/linux/resources/oom_score_adj", reason));
    }
    Ok(())
}

fn security(context: &SecurityContext) -> Result<(), Error> {
    const PATH: &str = "/linux/security_context";
    let capabilities = &context.capabilities;
    for (field, names) in [
        ("add_capabilities", &capabilities.add_capabilities),
        ("drop_capabilities", &capabilities.drop_capabilities),
    ] {
        for (index, name) in names.iter().enumerate() {
            if !name.eq_ignore_ascii_case("all") && capability(name).is_none() {
                let reason =
                    format!("{name:?} is no capability; \"man 7 capabilities\" lists them");
                return Err(invalid(
                    &format!("{PATH}/capabilities/{field}/{index}"),
                    &reason,
                ));
            }
        }
    }
    for (field, number) in [
        ("run_as_user", context.run_as_user),
        ("run_as_group", context.run_as_group),
    ] {
        if number.is_some_and(|number| !(0..=i64::from(i32::MAX)).contains(&number)) {
            return Err(invalid(
                &format!("{PATH}/{field}"),
                "there is no such number",
            ));
        }
    }
    if context.run_as_user.is_some() && context.run_as_username.is_some() {
        let reason = "the user has a number already; leave one of the two out";
        return Err(invalid(&format!("{PATH}/run_as_username"), reason));
    }
    if context.run_as_group.is_some()
        && context.run_as_user.is_none()
        && context.run_as_username.is_none()
    {
        let reason = "a group needs a user; write \"run_as_user\" too";
        return Err(invalid(&format!("{PATH}/run_as_group"), reason));
    }
    if context.namespace_options.ipc == Some(NamespaceMode::Container) {
        let reason = "all containers of a pod share this; use \"pod\" or \"node\"";
        return Err(invalid(&format!("{PATH}/namespace_options/ipc"), reason));
    }
    for (field, profile) in [
        ("seccomp", &context.seccomp),
        ("apparmor", &context.apparmor),
    ] {
        if let Some(profile) = profile {
            sound(&format!("{PATH}/{field}"), profile)?;
        }
    }
    Ok(())
}

fn sound(path: &str, profile: &SecurityProfile) -> Result<(), Error> {
    let is_local = profile.profile_type == ProfileType::Localhost;
    match &profile.localhost_ref {
        None if is_local => Err(invalid(
            path,
            "a \"localhost\" profile needs \"localhost_ref\"",
        )),
        Some(_) if !is_local => {
            let reason = "it is for profiles of the type \"localhost\" only";
            Err(invalid(&format!("{path}/localhost_ref"), reason))
        }
        _ => Ok(()),
    }
}
