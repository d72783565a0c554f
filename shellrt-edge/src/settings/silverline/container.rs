//! The options of docker's run as upstream has them (`docker.run_opts`), mapped onto the config of a
//! container. Pure. What has no equivalent is named and left out.

use std::collections::BTreeMap;

use serde_json::{json, Map, Value};

/// What the options come to.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    /// Members of a `containerd` config.
    pub config: Map<String, Value>,
    /// The container's environment.
    pub env: BTreeMap<String, String>,
    /// The options that have no equivalent, or have one and make no sense.
    pub unknown: Vec<String>,
}

/// Options whose names and values are the same there.
const SAME: [&str; 24] = [
    "cap_add",
    "cap_drop",
    "cpu_shares",
    "devices",
    "dns",
    "dns_search",
    "entrypoint",
    "group_add",
    "hostname",
    "mem_limit",
    "mem_reservation",
    "memswap_limit",
    "network",
    "oom_score_adj",
    "pids_limit",
    "platform",
    "privileged",
    "read_only",
    "runtime",
    "security_opt",
    "shm_size",
    "stop_signal",
    "sysctls",
    "user",
];

/// Options with other names there.
const RENAMED: [(&str, &str); 6] = [
    ("cpuset_cpus", "cpuset"),
    ("network_mode", "network"),
    ("pid_mode", "pid"),
    ("ipc_mode", "ipc"),
    ("uts_mode", "uts"),
    ("tty", "tty"),
];

/// Options that hold anyway, or mean nothing on Linux.
const HELD: [&str; 9] = [
    "auto_remove",
    "cpu_count",
    "cpu_percent",
    "detach",
    "remove",
    "stderr",
    "stdin_open",
    "stdout",
    "stream",
];

/// Maps `run_opts`.
pub fn options(run_opts: Map<String, Value>) -> Options {
    let mut options = Options::default();
    let mut rest: BTreeMap<String, Value> = run_opts
        .into_iter()
        .map(|(key, value)| (key.to_lowercase(), value))
        .filter(|(key, value)| !value.is_null() && !HELD.contains(&key.as_str()))
        .collect();
    let listed = [
        "cap_add",
        "cap_drop",
        "devices",
        "group_add",
        "security_opt",
    ];
    for name in SAME {
        if let Some(value) = rest.remove(name) {
            let value = match value {
                Value::String(_) if listed.contains(&name) => json!([value]),
                value => value,
            };
            options.config.insert(name.to_owned(), value);
        }
    }
    for (name, other) in RENAMED {
        if let Some(value) = rest.remove(name) {
            options.config.insert(other.to_owned(), value);
        }
    }
    if rest.remove("network_disabled") == Some(Value::Bool(true)) {
        options.config.insert("network".to_owned(), json!("none"));
    }
    if let Some(cpus) = cpus(&mut rest) {
        options.config.insert("cpus".to_owned(), json!(cpus));
    }
    for (name, value) in rest {
        match translated(&name, &value) {
            Some((other, value)) => {
                options.config.insert(other.to_owned(), value);
            }
            None if name == "environment" => match environment(&value) {
                Some(env) => options.env = env,
                None => options.unknown.push(name),
            },
            None => options.unknown.push(name),
        }
    }
    options
}

/// How many processors: a quota in a period of 100 ms unless another is given, or billionths.
fn cpus(rest: &mut BTreeMap<String, Value>) -> Option<f64> {
    let period = rest.remove("cpu_period").and_then(|it| it.as_f64());
    let quota = rest.remove("cpu_quota").and_then(|it| it.as_f64());
    let nano = rest.remove("nano_cpus").and_then(|it| it.as_f64());
    let period = period.filter(|period| *period > 0.0).unwrap_or(100_000.0);
    let by_quota = quota
        .filter(|quota| *quota > 0.0)
        .map(|quota| quota / period);
    let by_nano = nano.filter(|nano| *nano > 0.0).map(|nano| nano / 1e9);
    by_quota.or(by_nano)
}

/// An option whose value is written in another way there.
fn translated(name: &str, value: &Value) -> Option<(&'static str, Value)> {
    match (name, value) {
        ("working_dir", Value::String(_)) => Some(("working_dir", value.clone())),
        ("extra_hosts", Value::Object(hosts)) => Some(("extra_hosts", pairs(hosts)?)),
        ("tmpfs", Value::Object(mounts)) => Some(("tmpfs", pairs(mounts)?)),
        ("extra_hosts", Value::Array(_)) => Some(("extra_hosts", value.clone())),
        ("tmpfs", Value::Array(_) | Value::String(_)) => Some(("tmpfs", value.clone())),
        ("volumes", Value::Object(volumes)) => {
            let mounts = volumes.iter().map(|(source, volume)| {
                let mode = volume.get("mode").and_then(Value::as_str).unwrap_or("rw");
                mount(source, volume.get("bind")?.as_str()?, mode)
            });
            Some(("mounts", Value::Array(mounts.collect::<Option<_>>()?)))
        }
        ("volumes", Value::Array(volumes)) => {
            let mounts = volumes.iter().map(|volume| {
                let mut parts = volume.as_str()?.splitn(3, ':');
                let (source, target) = (parts.next()?, parts.next()?);
                mount(source, target, parts.next().unwrap_or("rw"))
            });
            Some(("mounts", Value::Array(mounts.collect::<Option<_>>()?)))
        }
        ("ulimits", Value::Array(limits)) => {
            let limits = limits.iter().map(|limit| {
                let part = |small: &str, big: &str| limit.get(small).or(limit.get(big));
                let name = part("name", "Name")?.as_str()?.to_owned();
                let (soft, hard) = (part("soft", "Soft"), part("hard", "Hard"));
                let (soft, hard) = (soft.or(hard)?, hard.or(soft)?);
                Some((name, json!({"soft": soft, "hard": hard})))
            });
            Some(("ulimits", Value::Object(limits.collect::<Option<_>>()?)))
        }
        ("ports", Value::Object(ports)) => {
            let ports = ports.iter().map(|(inside, outside)| match outside {
                Value::Number(port) => Some(json!(format!("{port}:{inside}"))),
                Value::String(port) => Some(json!(format!("{port}:{inside}"))),
                _ => None,
            });
            Some(("ports", Value::Array(ports.collect::<Option<_>>()?)))
        }
        ("restart_policy", Value::Object(policy)) => {
            let part = |big: &str, small: &str| policy.get(big).or(policy.get(small));
            let name = part("Name", "name")?.as_str()?;
            let most = part("MaximumRetryCount", "maximum_retry_count").and_then(Value::as_u64);
            let restart = match (name, most.filter(|most| *most > 0)) {
                ("", _) => "no".to_owned(),
                ("on-failure", Some(most)) => format!("on-failure:{most}"),
                (name, _) => name.to_owned(),
            };
            Some(("restart", json!(restart)))
        }
        _ => None,
    }
}

/// A list of `name:value`.
fn pairs(table: &Map<String, Value>) -> Option<Value> {
    let pairs = table.iter().map(|(name, value)| match value.as_str()? {
        "" => Some(json!(name)),
        value => Some(json!(format!("{name}:{value}"))),
    });
    Some(Value::Array(pairs.collect::<Option<_>>()?))
}

/// A directory of the machine, or a volume by its name.
fn mount(source: &str, target: &str, mode: &str) -> Option<Value> {
    let kind = match source.starts_with('/') {
        true => "bind",
        false => "volume",
    };
    let read_only = match mode {
        "rw" | "" => false,
        "ro" => true,
        _ => return None,
    };
    Some(json!({"type": kind, "source": source, "target": target, "read_only": read_only}))
}

/// Variables as a table, as a list of `NAME=value`, or as text with spaces between these.
pub fn environment(value: &Value) -> Option<BTreeMap<String, String>> {
    let pair = |text: &str| {
        let (name, value) = text.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    };
    match value {
        Value::Null => Some(BTreeMap::new()),
        Value::String(text) => text.split_whitespace().map(pair).collect(),
        Value::Array(items) => items.iter().map(|item| pair(item.as_str()?)).collect(),
        Value::Object(table) => {
            let pairs = table.iter().map(|(name, value)| {
                let value = match value {
                    Value::String(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    Value::Bool(is_true) => is_true.to_string(),
                    Value::Null => String::new(),
                    Value::Array(_) | Value::Object(_) => return None,
                };
                Some((name.clone(), value))
            });
            pairs
                .filter(|pair| pair.as_ref().is_none_or(|(name, _)| !name.is_empty()))
                .collect()
        }
        Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use shellrt_api::v0::config::containerd::Config;

    use super::*;

    fn mapped(run_opts: Value) -> Options {
        options(run_opts.as_object().unwrap().clone())
    }

    /// The file that upstream ships: a quarter of a processor.
    #[test]
    fn upstreams_own_options_are_all_known() {
        let options = mapped(json!({
            "auto_remove": true, "stdin_open": true, "detach": true,
            "cpu_count": 1, "cpu_period": 100_000, "cpu_quota": 25_000,
        }));
        assert_eq!(Value::Object(options.config), json!({"cpus": 0.25}));
        assert_eq!(options.unknown, Vec::<String>::new());
    }

    #[test]
    fn options_become_a_config_that_is_valid() {
        let options = mapped(json!({
            "cap_drop": "all", "mem_limit": "64m", "network_mode": "host", "nano_cpus": 500_000_000,
            "environment": ["A=1", "B="], "volumes": {"/srv": {"bind": "/data", "mode": "ro"}},
            "ulimits": [{"name": "nofile", "soft": 10}], "tmpfs": {"/tmp": "size=64m", "/run": ""},
            "restart_policy": {"Name": "on-failure", "MaximumRetryCount": 3},
            "extra_hosts": {"db": "10.0.0.1"}, "read_only": true,
        }));
        let expected = json!({
            "cap_drop": ["all"], "mem_limit": "64m", "network": "host", "cpus": 0.5,
            "mounts": [{"type": "bind", "source": "/srv", "target": "/data", "read_only": true}],
            "ulimits": {"nofile": {"soft": 10, "hard": 10}}, "tmpfs": ["/run", "/tmp:size=64m"],
            "restart": "on-failure:3", "extra_hosts": ["db:10.0.0.1"], "read_only": true,
        });
        assert_eq!(Value::Object(options.config.clone()), expected);
        assert_eq!(
            options.env,
            BTreeMap::from([("A".into(), "1".into()), ("B".into(), String::new())])
        );
        let mut config = options.config;
        config.insert("image".to_owned(), json!("busybox"));
        let config: Config = serde_json::from_value(Value::Object(config)).unwrap();
        config.check().unwrap();
    }

    #[test]
    fn ports_and_volumes_have_short_forms() {
        let options = mapped(json!({
            "ports": {"80/tcp": 8080}, "volumes": ["/a:/b", "v:/c:ro"], "working_dir": "/w",
        }));
        let expected = json!({
            "ports": ["8080:80/tcp"],
            "mounts": [
                {"type": "bind", "source": "/a", "target": "/b", "read_only": false},
                {"type": "volume", "source": "v", "target": "/c", "read_only": true},
            ],
            "working_dir": "/w",
        });
        assert_eq!(Value::Object(options.config), expected);
    }

    #[test]
    fn what_has_no_equivalent_is_named() {
        let options = mapped(json!({
            "blkio_weight": 5, "Init": true, "labels": {"a": "b"}, "environment": 5, "volumes": "x",
            "mem_swappiness": null,
        }));
        assert_eq!(
            options.unknown,
            ["blkio_weight", "environment", "init", "labels", "volumes"]
        );
        assert_eq!(options.config, Map::new());
    }
}
