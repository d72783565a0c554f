//! What a keepalive says of each module.

use serde_json::{json, Map, Value};

use crate::supervisor::Usage;

use super::dialect::Dialect;

/// What is known of a module.
#[derive(Debug, Clone, PartialEq)]
pub struct Child<'a> {
    /// Its uuid.
    pub uuid: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its program's file.
    pub file: &'a str,
    /// What kind of program it is.
    pub filetype: Option<&'a str>,
    /// The runtime's uuid.
    pub parent: &'a str,
    /// When something went over its topics last, as ISO time.
    pub active: Option<String>,
    /// What it uses; nothing where that can't be found out.
    pub usage: Option<Usage>,
}

/// A megabyte, in bytes.
const MB: f64 = 1e6;

impl Child<'_> {
    /// The module in a keepalive of `dialect`. What its plugin does not know is not there.
    pub fn describe(&self, dialect: Dialect) -> Value {
        let mut child = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                child.insert(key.to_owned(), value);
            }
        };
        put("uuid", Some(json!(self.uuid)));
        let usage = self.usage.as_ref();
        let cpu = usage.map(|usage| json!(usage.cpu_percent));
        let memory = usage
            .and_then(|usage| usage.top.memory_bytes)
            .map(Value::from);
        match dialect {
            Dialect::Manager => {
                let active = self.active.clone().map(Value::from);
                put("active", Some(active.unwrap_or(json!(-1))));
                put("cpu_usage_percent", cpu);
                put("mem_usage", memory);
                return Value::Object(child);
            }
            Dialect::Sideload => {
                put("name", Some(json!(self.name)));
                put("cpu_percent", cpu);
            }
            Dialect::G2 | Dialect::AppLauncher => {
                // A module that can't be asked is a hole in the list there.
                if usage.is_none() {
                    return Value::Null;
                }
                put("name", Some(json!(self.name)));
                put("file", Some(json!(self.file)));
                put("filetype", Some(json!(self.filetype)));
                put("parent", Some(json!(self.parent)));
                put("cpu_usage_percent", cpu);
                put("mem_usage", memory);
            }
        }
        let megabytes = |bytes: Option<u64>| bytes.map(|bytes| json!(bytes as f64 / MB));
        let top = usage.map(|usage| &usage.top);
        put(
            "network_rx_mb",
            megabytes(top.and_then(|top| top.network_rx_bytes)),
        );
        put(
            "network_tx_mb",
            megabytes(top.and_then(|top| top.network_tx_bytes)),
        );
        Value::Object(child)
    }
}

#[cfg(test)]
mod tests {
    use shellrt_api::v0::top;

    use super::*;

    fn child(usage: Option<Usage>) -> Child<'static> {
        Child {
            uuid: "m-1",
            name: "mod1",
            file: "prog.py",
            filetype: Some("PY"),
            parent: "RT",
            active: Some("2026-11-21T10:36:39Z".to_owned()),
            usage,
        }
    }

    fn usage() -> Option<Usage> {
        Some(Usage {
            cpu_percent: 12.5,
            top: top::Response {
                memory_bytes: Some(1000),
                network_rx_bytes: Some(2_500_000),
                ..top::Response::default()
            },
        })
    }

    #[test]
    fn each_dialect_has_its_members() {
        let of = |dialect| child(usage()).describe(dialect);
        let launched = json!({
            "uuid": "m-1", "name": "mod1", "file": "prog.py", "filetype": "PY", "parent": "RT",
            "cpu_usage_percent": 12.5, "mem_usage": 1000, "network_rx_mb": 2.5,
        });
        assert_eq!(of(Dialect::AppLauncher), launched);
        assert_eq!(of(Dialect::G2), launched);
        let sideload = json!({
            "uuid": "m-1", "name": "mod1", "cpu_percent": 12.5, "network_rx_mb": 2.5,
        });
        assert_eq!(of(Dialect::Sideload), sideload);
        let managed = json!({
            "uuid": "m-1", "active": "2026-11-21T10:36:39Z", "cpu_usage_percent": 12.5,
            "mem_usage": 1000,
        });
        assert_eq!(of(Dialect::Manager), managed);
    }

    #[test]
    fn a_module_that_can_not_be_asked_is_still_told_of() {
        assert_eq!(child(None).describe(Dialect::AppLauncher), Value::Null);
        let quiet = Child {
            active: None,
            ..child(None)
        };
        let wanted = json!({"uuid": "m-1", "active": -1});
        assert_eq!(quiet.describe(Dialect::Manager), wanted);
        let wanted = json!({"uuid": "m-1", "name": "mod1"});
        assert_eq!(quiet.describe(Dialect::Sideload), wanted);
    }
}
