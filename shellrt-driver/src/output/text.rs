//! Responses for people.

use serde::Serialize;
use serde_json::Value;
use shellrt_api::v0::{
    create, events, health, img_list, img_pull, list, prune, status, sys_info, top, version,
};

use super::quantity::{duration, size};
use super::table::{facts, table};
use super::{time, visible};

/// The answer to a message that has none: what was done to what.
pub fn done(what: &str, how: &str) -> String {
    format!("{}: {how}\n", visible(what))
}

pub fn created(name: &str, response: &create::Response) -> String {
    let create::Response { ignored } = response;
    let mut text = done(name, "created");
    for pointer in ignored {
        text.push_str(&format!("  ignored: {}\n", visible(pointer)));
    }
    text
}

pub fn pulled(image: &str, response: &img_pull::Response) -> String {
    let img_pull::Response {
        digest,
        image_id,
        platform,
        bytes_total,
        bytes_fetched,
        bytes_resumed,
        unpack,
        warning,
    } = response;
    let mut text = done(image, "pulled");
    let bytes = |bytes: &Option<u64>| bytes.map(size).unwrap_or_default();
    text.push_str(&facts(&[
        ("digest", digest.clone().unwrap_or_default()),
        ("image id", image_id.clone().unwrap_or_default()),
        ("platform", platform.clone().unwrap_or_default()),
        ("size", bytes(bytes_total)),
        ("fetched", bytes(bytes_fetched)),
        ("resumed", bytes(bytes_resumed)),
        ("unpack", unpack.clone().unwrap_or_default()),
        ("warning", warning.clone().unwrap_or_default()),
    ]));
    text
}

pub fn img_list(response: &img_list::Response) -> String {
    let row = |image: &img_list::Image| {
        let img_list::Image {
            reference,
            digest,
            size: bytes,
            created_at,
        } = image;
        [
            reference.clone(),
            short(digest),
            size(*bytes),
            time::ago(*created_at),
        ]
    };
    let rows: Vec<_> = response.images.iter().map(row).collect();
    table(["IMAGE", "DIGEST", "SIZE", "PULLED"], &rows)
}

/// Names only, one per line, so that they can be copied; with details a table.
pub fn list(response: &list::Response) -> String {
    let list::Response { modules, details } = response;
    let Some(details) = details else {
        let line = |name: &String| format!("{}\n", visible(name));
        return modules.iter().map(line).collect();
    };
    let row = |name: &String| {
        // A module may have appeared between the names and the details.
        let Some(status) = details.get(name) else {
            return [name.clone(), "-".into(), "-".into(), "-".into(), "-".into()];
        };
        let (state, since) = state(status);
        let or_dash = |text: String| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                text
            }
        };
        [
            name.clone(),
            state,
            or_dash(since.map(time::ago).unwrap_or_default()),
            or_dash(
                status
                    .exit_code
                    .map(|code| code.to_string())
                    .unwrap_or_default(),
            ),
            or_dash(
                status
                    .image
                    .clone()
                    .unwrap_or_else(|| short(&status.image_id)),
            ),
        ]
    };
    let rows: Vec<_> = modules.iter().map(row).collect();
    table(["NAME", "STATUS", "SINCE", "EXIT", "IMAGE"], &rows)
}

/// The finest word for how a module is, and since when it is so.
fn state(status: &status::Response) -> (String, Option<i64>) {
    let state = match (&status.state, status.status) {
        // These say more than the four words.
        (
            Some(
                state
                @ (status::State::Created | status::State::Paused | status::State::Restarting),
            ),
            _,
        ) => word(state),
        (_, status) => word(&status),
    };
    let since = match status.status {
        status::Status::Running => Some(status.started_at),
        status::Status::Stopped | status::Status::Failed => status.finished_at,
        status::Status::Unknown => status.created_at,
    };
    (state, since.filter(|since| *since != 0))
}

pub fn status(name: &str, response: &status::Response) -> String {
    let status::Response {
        status: _,
        status_description,
        image_id,
        started_at,
        finished_at,
        exit_code,
        state: _,
        end,
        pid,
        created_at,
        restart_count,
        config_type,
        image,
        labels,
        networks,
        ports,
        health,
    } = response;
    let at = |time: Option<i64>| time.map(time::both).unwrap_or_default();
    let number = |number: Option<i64>| number.map(|n| n.to_string()).unwrap_or_default();
    let labels: Vec<_> = labels
        .iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let networks: Vec<_> = networks
        .iter()
        .flatten()
        .map(|network| format!("{} {} {}", network.name, network.ip, network.mac))
        .collect();
    let ports: Vec<_> = ports
        .iter()
        .flatten()
        .map(|port| {
            let status::Port {
                host_ip,
                host_port,
                module_port,
                protocol,
            } = port;
            format!("{host_ip}:{host_port} -> {module_port}/{protocol}")
        })
        .collect();
    let mut text = done(name, &self::state(response).0);
    text.push_str(&facts(&[
        ("description", status_description.clone()),
        ("started", at(Some(*started_at).filter(|time| *time != 0))),
        ("finished", at(*finished_at)),
        ("exit code", number(*exit_code)),
        ("end", end.as_ref().map(word).unwrap_or_default()),
        ("pid", number(pid.map(i64::from))),
        ("created", at(*created_at)),
        ("restarts", number(restart_count.map(i64::from))),
        ("image", image.clone().unwrap_or_default()),
        ("image id", image_id.clone()),
        ("config type", config_type.clone().unwrap_or_default()),
        ("labels", labels.join(", ")),
        ("networks", networks.join(", ")),
        ("ports", ports.join(", ")),
        ("health", health.as_ref().map(word).unwrap_or_default()),
    ]));
    text
}

pub fn top(response: &top::Response) -> String {
    let top::Response {
        processes,
        cpu_ns,
        memory_bytes,
        memory_limit_bytes,
        network_rx_bytes,
        network_tx_bytes,
        block_read_bytes,
        block_write_bytes,
    } = response;
    let row = |process: &top::Process| {
        let top::Process {
            pid,
            ppid,
            command,
            cpu_ns,
            memory_bytes,
        } = process;
        [
            pid.to_string(),
            ppid.to_string(),
            duration(*cpu_ns),
            size(*memory_bytes),
            command.clone(),
        ]
    };
    let rows: Vec<_> = processes.iter().map(row).collect();
    let bytes = |bytes: &Option<u64>| bytes.map(size).unwrap_or_default();
    let mut text = table(["PID", "PPID", "CPU", "MEMORY", "COMMAND"], &rows);
    text.push_str(&facts(&[
        ("cpu", cpu_ns.map(duration).unwrap_or_default()),
        ("memory", bytes(memory_bytes)),
        ("memory limit", bytes(memory_limit_bytes)),
        ("network received", bytes(network_rx_bytes)),
        ("network sent", bytes(network_tx_bytes)),
        ("disk read", bytes(block_read_bytes)),
        ("disk written", bytes(block_write_bytes)),
    ]));
    text
}

pub fn health(response: &health::Response) -> String {
    let health::Response {
        health,
        output,
        checked_at,
        interval_ms,
    } = response;
    let mut text = format!("{}\n", word(health));
    text.push_str(&facts(&[
        ("checked", time::both(*checked_at)),
        (
            "next check in",
            interval_ms.map_or_else(String::new, |interval| format!("{interval} ms")),
        ),
        ("output", output.trim_end().to_owned()),
    ]));
    text
}

pub fn prune(response: &prune::Response) -> String {
    let prune::Response { images, bytes } = response;
    let removed = images.iter().map(|image| done(image, "removed"));
    let mut text: String = removed.collect();
    text.push_str(&format!("{} are free again\n", size(*bytes)));
    text
}

pub fn sys_info(response: &sys_info::Response) -> String {
    let sys_info::Response {
        os_type,
        operating_system,
        kernel_version,
        architecture,
        cpus,
        memory_bytes,
        hostname,
        runtime,
        runtime_version,
        more,
    } = response;
    let more: Vec<_> = more
        .iter()
        .filter(|(key, _)| !key.starts_with('_'))
        .map(|(key, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            (key.replace('_', " "), text)
        })
        .collect();
    let mut all = vec![
        ("hostname", hostname.clone()),
        ("system", format!("{operating_system} ({os_type})")),
        ("kernel", kernel_version.clone()),
        ("architecture", architecture.clone()),
        ("cpus", cpus.to_string()),
        ("memory", size(*memory_bytes)),
        ("runtime", format!("{runtime} {runtime_version}")),
    ];
    all.extend(
        more.iter()
            .map(|(key, value)| (key.as_str(), value.clone())),
    );
    facts(&all)
}

pub fn version(response: &version::Response) -> String {
    let version::Response {
        info,
        plugin,
        plugin_version,
        runtime,
        runtime_version,
        messages,
        config_types,
    } = response;
    let named = |name: &Option<String>, version: &Option<String>| {
        let parts = [name.as_deref(), version.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    let joined =
        |words: &Option<Vec<String>>| words.as_ref().map(|w| w.join(", ")).unwrap_or_default();
    let mut text: String = info
        .trim_end()
        .lines()
        .map(|line| format!("{}\n", visible(line)))
        .collect();
    text.push_str(&facts(&[
        ("plugin", named(plugin, plugin_version)),
        ("runtime", named(runtime, runtime_version)),
        ("messages", joined(messages)),
        ("config types", joined(config_types)),
    ]));
    text
}

/// One event, without a line end.
pub fn event(event: &events::Event) -> String {
    let events::Event {
        time,
        name,
        event,
        exit_code,
    } = event;
    let code = exit_code
        .map(|code| format!(" ({code})"))
        .unwrap_or_default();
    format!(
        "{}  {:8}  {}{code}",
        time::utc(*time),
        word(event),
        visible(name)
    )
}

/// A word of the protocol, as it goes over the wire.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        // These enums are words only.
        _ => String::new(),
    }
}

/// The first twelve digits of a digest, as people compare them.
pub fn short(digest: &str) -> String {
    let digits = digest.split_once(':').map_or(digest, |(_, digits)| digits);
    digits.chars().take(12).collect()
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
