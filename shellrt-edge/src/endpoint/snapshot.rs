//! What the daemon is like at one moment, and that as JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use shellrt_api::v0::top;

use crate::supervisor::{Stage, Usage, View};

/// A link's part of the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Its name: `silverline/` and a runtime's uuid, for example.
    pub name: String,
    /// Whether its orchestrator is there.
    pub connected: bool,
    /// What it counts since the daemon was started; names of lower case letters and `_`.
    pub counters: BTreeMap<&'static str, u64>,
}

/// The daemon at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Snapshot {
    pub daemon: About,
    pub links: Vec<Link>,
    pub modules: Vec<Module>,
}

/// The daemon itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct About {
    pub version: &'static str,
    pub pid: u32,
    #[serde(serialize_with = "as_text")]
    pub started: Timestamp,
    pub uptime_sec: u64,
}

/// A module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Module {
    pub id: String,
    /// Its name in its plugin.
    pub name: String,
    pub plugin: String,
    pub stage: Stage,
    /// When the daemon took it on.
    #[serde(serialize_with = "as_text")]
    pub since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Used>,
}

/// What a module uses. Command lines are left out: some have passwords in them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Used {
    /// Of one processor, between the last two looks.
    pub cpu_percent: f64,
    pub processes: usize,
    #[serde(flatten)]
    pub numbers: BTreeMap<&'static str, u64>,
}

fn as_text<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

impl Module {
    /// The module of a view, taken at `now`.
    pub fn of(view: View, now: Timestamp) -> Module {
        let age = view.since.elapsed();
        Module {
            id: view.order.id.clone(),
            name: view.order.name(),
            plugin: view.order.spec.plugin.clone(),
            stage: view.stage,
            since: now.checked_sub(age).unwrap_or(now),
            usage: view.usage.map(|(usage, _)| Used::of(&usage)),
        }
    }
}

impl Used {
    fn of(usage: &Usage) -> Used {
        let top::Response {
            processes,
            cpu_ns,
            memory_bytes,
            memory_limit_bytes,
            network_rx_bytes,
            network_tx_bytes,
            block_read_bytes,
            block_write_bytes,
        } = &usage.top;
        let numbers = [
            ("cpu_ns", cpu_ns),
            ("memory_bytes", memory_bytes),
            ("memory_limit_bytes", memory_limit_bytes),
            ("network_rx_bytes", network_rx_bytes),
            ("network_tx_bytes", network_tx_bytes),
            ("block_read_bytes", block_read_bytes),
            ("block_write_bytes", block_write_bytes),
        ];
        Used {
            cpu_percent: usage.cpu_percent,
            processes: processes.len(),
            numbers: numbers
                .into_iter()
                .filter_map(|(name, value)| Some((name, (*value)?)))
                .collect(),
        }
    }
}

/// The answer to `GET /`.
pub(super) fn json(snapshot: &Snapshot) -> String {
    // Text and numbers always become JSON.
    let mut text = serde_json::to_string(snapshot).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub fn example() -> Snapshot {
        Snapshot {
            daemon: About {
                version: "0.1.0",
                pid: 7,
                started: "2026-11-21T10:36:39.5Z".parse().unwrap(),
                uptime_sec: 90,
            },
            links: vec![Link {
                name: "silverline/rt".to_owned(),
                connected: true,
                counters: BTreeMap::from([("published", 3), ("dropped_out", 0)]),
            }],
            modules: vec![
                Module {
                    id: "a\"\\\nb".to_owned(),
                    name: "id-00".to_owned(),
                    plugin: "wasm".to_owned(),
                    stage: Stage::Running,
                    since: "2026-11-21T10:36:40Z".parse().unwrap(),
                    usage: Some(Used::of(&Usage {
                        cpu_percent: 12.5,
                        top: top::Response {
                            processes: vec![top::Process {
                                command: "serve --password=hunter2".to_owned(),
                                ..Default::default()
                            }],
                            cpu_ns: Some(1_500_000_000),
                            memory_bytes: Some(4096),
                            ..Default::default()
                        },
                    })),
                },
                Module {
                    id: "c".to_owned(),
                    name: "c".to_owned(),
                    plugin: "containerd".to_owned(),
                    stage: Stage::Preparing,
                    since: "2026-11-21T10:36:41Z".parse().unwrap(),
                    usage: None,
                },
            ],
        }
    }

    #[test]
    fn everything_is_in_it_but_command_lines() {
        let text = json(&example());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            json!({
                "daemon": {
                    "version": "0.1.0", "pid": 7, "started": "2026-11-21T10:36:39.500Z",
                    "uptime_sec": 90,
                },
                "links": [{
                    "name": "silverline/rt", "connected": true,
                    "counters": {"published": 3, "dropped_out": 0},
                }],
                "modules": [
                    {
                        "id": "a\"\\\nb", "name": "id-00", "plugin": "wasm", "stage": "running",
                        "since": "2026-11-21T10:36:40.000Z",
                        "usage": {
                            "cpu_percent": 12.5, "processes": 1, "cpu_ns": 1_500_000_000,
                            "memory_bytes": 4096,
                        },
                    },
                    {
                        "id": "c", "name": "c", "plugin": "containerd", "stage": "preparing",
                        "since": "2026-11-21T10:36:41.000Z",
                    },
                ],
            })
        );
    }
}
