//! What is run, as whom, and how it is asked to end.

use std::time::Duration;

use shellrt_api::v0::config::containerd::{Healthcheck, Namespace, Test};
use shellrt_api::v0::config::{self, docker, invalid};
use shellrt_api::v0::Error;

use super::{escaped, said, wrong, Mapped};

pub(super) fn map(mapped: &mut Mapped, body: &docker::Config) -> Result<(), Error> {
    if body.image.is_empty() {
        return Err(invalid("/Image", "it must name an image"));
    }
    mapped.config.image = body.image.clone();
    mapped.comes_from("/image", "/Image");
    command(mapped, body)?;
    environment(mapped, &body.env)?;
    names(mapped, body)?;
    for key in body.labels.keys() {
        let key = escaped(key);
        mapped.comes_from(format!("/labels/{key}"), format!("/Labels/{key}"));
    }
    mapped.config.labels = body.labels.clone();
    mapped.config.tty = body.tty;
    mapped.config.stdin = body.open_stdin;
    mapped.comes_from("/healthcheck", "/Healthcheck");
    mapped.config.healthcheck = match &body.healthcheck {
        Some(check) => healthcheck(check)?,
        None => None,
    };
    if let Some(signal) = said(&body.stop_signal) {
        let signal = signal.parse();
        mapped.config.stop_signal = Some(signal.map_err(|error| wrong("/StopSignal", &error))?);
    }
    if let Some(seconds) = body.stop_timeout {
        let seconds = u64::try_from(seconds).map_err(|_| {
            let reason = "it must be a number of seconds; a stop can't wait for ever";
            invalid("/StopTimeout", reason)
        })?;
        mapped.config.stop_grace_period = Some(config::Duration(Duration::from_secs(seconds)));
    }
    let host = &body.host_config;
    mapped.config.oom_score_adj = (host.oom_score_adj != 0).then_some(host.oom_score_adj);
    mapped.comes_from("/oom_score_adj", "/HostConfig/OomScoreAdj");
    if host.init {
        // Without it orphans are not waited for, which is neither a limit nor a matter of safety.
        mapped.ignore("/HostConfig/Init");
    }
    Ok(())
}

/// docker takes the image's command unless there is an entrypoint, and an empty one clears the image's.
fn command(mapped: &mut Mapped, body: &docker::Config) -> Result<(), Error> {
    let command = body.cmd.clone().filter(|words| !words.is_empty());
    let config = &mut mapped.config;
    match body.entrypoint.as_deref() {
        None => config.command = command,
        Some([]) if command.is_none() => {
            let reason = "it clears the image's, so \"Cmd\" must say what is run";
            return Err(invalid("/Entrypoint", reason));
        }
        Some([]) => {
            config.entrypoint = Some(Vec::new());
            config.command = command;
        }
        Some([word]) if word.is_empty() => {
            config.entrypoint = Some(Vec::new());
            config.command = command;
        }
        Some(words) => {
            config.entrypoint = Some(words.to_vec());
            config.command = command;
        }
    }
    mapped.comes_from("/entrypoint", "/Entrypoint");
    mapped.comes_from("/command", "/Cmd");
    Ok(())
}

fn environment(mapped: &mut Mapped, variables: &[String]) -> Result<(), Error> {
    for (index, variable) in variables.iter().enumerate() {
        let place = format!("/Env/{index}");
        match variable.split_once('=') {
            Some(("", _)) => {
                let reason = format!("{variable:?} has no name; write \"NAME=value\"");
                return Err(invalid(&place, &reason));
            }
            _ if variable.contains('\0') => {
                return Err(invalid(&place, "a variable can't have a NUL"));
            }
            Some((name, value)) => {
                mapped.env.insert(name.to_owned(), value.to_owned());
            }
            // It takes a variable of the image away, as docker has it.
            None => mapped.ignore(&place),
        }
    }
    Ok(())
}

/// Who it is, to others and to the machine.
fn names(mapped: &mut Mapped, body: &docker::Config) -> Result<(), Error> {
    let host = &body.host_config;
    mapped.config.user = said(&body.user);
    mapped.config.working_dir = said(&body.working_dir);
    mapped.config.hostname = said(&body.hostname);
    mapped.config.group_add = host.group_add.clone();
    mapped.comes_from("/user", "/User");
    mapped.comes_from("/working_dir", "/WorkingDir");
    mapped.comes_from("/hostname", "/Hostname");
    mapped.comes_from("/group_add", "/HostConfig/GroupAdd");
    if let Some(domain) = said(&body.domainname) {
        let sysctls = &mut mapped.config.sysctls;
        sysctls.insert("kernel.domainname".to_owned(), domain);
        mapped.comes_from("/sysctls/kernel.domainname", "/Domainname");
    }
    mapped.config.pid = whose("/HostConfig/PidMode", &host.pid_mode)?;
    mapped.config.ipc = whose("/HostConfig/IpcMode", &host.ipc_mode)?;
    mapped.config.uts = whose("/HostConfig/UTSMode", &host.uts_mode)?;
    mapped.comes_from("/pid", "/HostConfig/PidMode");
    mapped.comes_from("/ipc", "/HostConfig/IpcMode");
    mapped.comes_from("/uts", "/HostConfig/UTSMode");
    Ok(())
}

fn whose(place: &str, mode: &str) -> Result<Namespace, Error> {
    match mode {
        "" | "private" => Ok(Namespace::Private),
        // Others may have it too, if they ask; nobody can here.
        "shareable" if place.ends_with("IpcMode") => Ok(Namespace::Private),
        "host" => Ok(Namespace::Host),
        _ => {
            let reason = format!("{mode:?} can't be had here; \"private\" and \"host\" are there");
            Err(invalid(place, &reason))
        }
    }
}

/// A check that says nothing leaves everything to the image.
fn healthcheck(check: &docker::Healthcheck) -> Result<Option<Healthcheck>, Error> {
    if *check == docker::Healthcheck::default() {
        return Ok(None);
    }
    let test = match check.test.is_empty() {
        true => None,
        false => Some(Test::from_list(check.test.clone()).ok_or_else(|| {
            let reason = "it must be [\"NONE\"], [\"CMD\", ...] or [\"CMD-SHELL\", line]";
            invalid("/Healthcheck/Test", reason)
        })?),
    };
    let time = |field: &str, nanoseconds: i64| match u64::try_from(nanoseconds) {
        Ok(0) => Ok(None),
        Ok(nanoseconds) => Ok(Some(config::Duration(Duration::from_nanos(nanoseconds)))),
        Err(_) => Err(invalid(
            &format!("/Healthcheck/{field}"),
            "it must be a number of nanoseconds",
        )),
    };
    let retries = u32::try_from(check.retries)
        .map_err(|_| invalid("/Healthcheck/Retries", "it must be a number of failures"))?;
    Ok(Some(Healthcheck {
        test,
        interval: time("Interval", check.interval)?,
        timeout: time("Timeout", check.timeout)?,
        retries: (retries > 0).then_some(retries),
        start_period: time("StartPeriod", check.start_period)?,
    }))
}
