//! The networks of a machine as CNI's configuration describes them, and where they and their plugins
//! are.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{json, Map, Value};

use super::bridge;
use super::error::Error;

/// The variable that names the directory of the networks.
const NETWORKS_VARIABLE: &str = "NETCONFPATH";

/// Where they are unless the variable says otherwise.
pub const NETWORKS: &str = "/etc/cni/net.d";

/// The variable that names the directories of the plugins.
const PLUGINS_VARIABLE: &str = "CNI_PATH";

/// Where they are unless the variable says otherwise: the first of these that there is.
const PLUGINS: [&str; 5] = [
    "/opt/cni/bin",
    "/usr/local/libexec/cni",
    "/usr/local/lib/cni",
    "/usr/libexec/cni",
    "/usr/lib/cni",
];

/// Where the networks and their plugins are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cni {
    /// The directory of the networks.
    pub networks: PathBuf,
    /// The directories of the plugins.
    pub plugins: Vec<PathBuf>,
}

/// A network: the plugins that are asked one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// Its name.
    pub name: String,
    /// The version of CNI that it is written in.
    pub version: String,
    /// The plugins' configurations.
    pub plugins: Vec<Map<String, Value>>,
}

impl Cni {
    /// From `NETCONFPATH` and `CNI_PATH`.
    pub fn from_env() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let networks = variable(NETWORKS_VARIABLE).unwrap_or_else(|| NETWORKS.into());
        let plugins = match variable(PLUGINS_VARIABLE) {
            Some(paths) => std::env::split_paths(&paths).collect(),
            None => {
                let first = PLUGINS.iter().map(PathBuf::from).find(|dir| dir.is_dir());
                first.into_iter().collect()
            }
        };
        Cni {
            networks: networks.into(),
            plugins,
        }
    }

    /// The program of a plugin.
    pub fn plugin(&self, name: &str) -> Option<PathBuf> {
        let sound = !name.is_empty() && !name.contains('/');
        let mut programs = self.plugins.iter().map(|dir| dir.join(name));
        programs.find(|program| sound && program.is_file())
    }

    /// Where plugins are looked for, for people.
    pub fn plugin_dirs(&self) -> String {
        let dirs = self.plugins.iter();
        let dirs: Vec<String> = dirs.map(|dir| format!("{dir:?}")).collect();
        match dirs.is_empty() {
            true => format!("{:?} nor the other usual directories", PLUGINS[0]),
            false => dirs.join(" or "),
        }
    }

    /// The network `name`, `"bridge"` being the one in a file of its own.
    ///
    /// # Errors
    /// [`Error::Damaged`] where that file is.
    pub fn find(&self, name: &str) -> Result<Option<List>, Error> {
        if name == bridge::NAME {
            let path = bridge::file(self);
            return match path.exists() {
                true => List::read(&path).map(Some),
                false => Ok(None),
            };
        }
        let mut lists = self.lists().into_iter();
        Ok(lists.find(|list| list.name == name))
    }

    /// All networks that there are, in the order in which CNI reads them.
    pub fn lists(&self) -> Vec<List> {
        let entries = fs::read_dir(&self.networks).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        let is = |path: &Path, kinds: &[&str]| {
            let extension = path.extension().and_then(|it| it.to_str());
            extension.is_some_and(|extension| kinds.contains(&extension))
        };
        let (lists, singles): (Vec<_>, Vec<_>) = paths
            .into_iter()
            .filter(|path| is(path, &["conflist", "conf", "json"]))
            .partition(|path| is(path, &["conflist"]));
        let all = lists.into_iter().chain(singles);
        all.filter_map(|path| match List::read(&path) {
            Ok(list) => Some(list),
            Err(error) => {
                // Somebody else's, perhaps.
                log::warn!("{error}");
                None
            }
        })
        .collect()
    }
}

impl List {
    /// Reads a file, with a list of plugins or with one plugin.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let damaged = |reason: String| Error::Damaged {
            path: path.to_owned(),
            reason,
        };
        let text = fs::read(path).map_err(|source| damaged(source.to_string()))?;
        let document = serde_json::from_slice(&text).map_err(|source| damaged(source.to_string()));
        List::of(document?).map_err(|reason| damaged(reason.to_owned()))
    }

    /// The network that `document` describes, or what is wrong with it.
    pub fn of(document: Value) -> Result<Self, &'static str> {
        let Value::Object(document) = document else {
            return Err("it is no object");
        };
        let text = |key: &str| document.get(key).and_then(Value::as_str);
        let name = text("name").filter(|name| !name.is_empty());
        let name = name.ok_or("it has no name")?.to_owned();
        let version = text("cniVersion").unwrap_or("0.1.0").to_owned();
        let plugins: Vec<Map<String, Value>> = match document.get("plugins") {
            Some(Value::Array(plugins)) => {
                let maps = plugins.iter().map(|plugin| plugin.as_object().cloned());
                maps.collect::<Option<_>>().ok_or("a plugin is no object")?
            }
            Some(_) => return Err("\"plugins\" is no list"),
            None => vec![document],
        };
        let list = List {
            name,
            version,
            plugins,
        };
        let mut kinds = list.plugins.iter().map(kind);
        if list.plugins.is_empty() || kinds.any(str::is_empty) {
            return Err("there is no plugin, or one without a \"type\"");
        }
        Ok(list)
    }

    /// Whether the network publishes ports.
    pub fn publishes(&self) -> bool {
        self.plugins
            .iter()
            .any(|plugin| can(plugin, "portMappings"))
    }

    /// Whether its modules may get IPv6 addresses; only of ranges of its own that is known.
    pub fn may_have_ipv6(&self) -> bool {
        let mut ipams = self.plugins.iter().filter_map(|plugin| plugin.get("ipam"));
        let known = |ipam: &Value| ipam["type"] == json!("host-local");
        !self.subnets().iter().all(|subnet| !subnet.contains(':')) || !ipams.all(known)
    }

    /// The address ranges that it names.
    pub fn subnets(&self) -> Vec<String> {
        let mut found = Vec::new();
        for plugin in &self.plugins {
            collect(plugin, &mut found);
        }
        found
    }

    /// The names of the devices of the machine that it uses as bridges.
    pub fn bridges(&self) -> impl Iterator<Item = &str> {
        let bridges = self
            .plugins
            .iter()
            .filter_map(|plugin| plugin.get("bridge"));
        bridges.filter_map(Value::as_str)
    }
}

/// The name of the plugin that a configuration is for.
pub fn kind(plugin: &Map<String, Value>) -> &str {
    let kind = plugin.get("type").and_then(Value::as_str);
    kind.unwrap_or_default()
}

/// Whether a plugin has a capability.
pub fn can(plugin: &Map<String, Value>, capability: &str) -> bool {
    let capabilities = plugin.get("capabilities");
    capabilities.and_then(|all| all.get(capability)) == Some(&Value::Bool(true))
}

fn collect(object: &Map<String, Value>, found: &mut Vec<String>) {
    for (key, value) in object {
        match value {
            Value::String(subnet) if key == "subnet" => found.push(subnet.clone()),
            Value::Object(inner) => collect(inner, found),
            Value::Array(values) => walk(values, found),
            _ => {}
        }
    }
}

fn walk(values: &[Value], found: &mut Vec<String>) {
    for value in values {
        match value {
            Value::Object(inner) => collect(inner, found),
            Value::Array(values) => walk(values, found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::{json, Value};

    use super::{Cni, List};

    fn cni(dir: &Path) -> Cni {
        Cni {
            networks: dir.to_owned(),
            plugins: Vec::new(),
        }
    }

    #[test]
    fn networks_are_found_as_cni_finds_them() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let single = |name: &str| json!({"name": name, "type": "macvlan"}).to_string();
        let list = |name: &str| json!({"name": name, "plugins": [{"type": "ptp"}]}).to_string();
        write("00-lan.conf", &single("lan"));
        write("90-lan.conflist", &list("lan"));
        write("50-other.json", &single("other"));
        write("60-broken.conflist", "{");
        write("70-no.txt", &single("text"));
        write("10-shellrt.conflist", &list("mine"));
        let cni = cni(dir.path());
        let names: Vec<String> = cni.lists().into_iter().map(|list| list.name).collect();
        assert_eq!(names, ["mine", "lan", "lan", "other"]);
        let kind = |name: &str| {
            cni.find(name)
                .unwrap()
                .map(|list| list.plugins[0]["type"].clone())
        };
        assert_eq!(kind("lan"), Some(json!("ptp")));
        assert_eq!(kind("bridge"), Some(json!("ptp")));
        assert_eq!(kind("text"), None);
        write("10-shellrt.conflist", "[]");
        assert!(cni.find("bridge").is_err());
    }

    #[test]
    fn what_is_none_is_refused() {
        for wrong in [
            json!([]),
            json!({"plugins": [{"type": "ptp"}]}),
            json!({"name": "a", "plugins": []}),
            json!({"name": "a", "plugins": [{}]}),
            json!({"name": "a", "plugins": [1]}),
            json!({"name": "a", "plugins": 1}),
            json!({"name": "a"}),
        ] {
            assert!(List::of(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_network_can() {
        let list = |plugin: Value| List::of(json!({"name": "a", "plugins": [plugin]})).unwrap();
        let ranges = |subnets: &[&str]| {
            let ranges: Vec<Value> = subnets.iter().map(|it| json!([{"subnet": it}])).collect();
            json!({"type": "bridge", "bridge": "b0",
                   "ipam": {"type": "host-local", "ranges": ranges}})
        };
        let four = list(ranges(&["10.1.0.0/24"]));
        assert!(!four.may_have_ipv6());
        assert!(!four.publishes());
        assert_eq!(four.subnets(), ["10.1.0.0/24"]);
        assert_eq!(four.bridges().collect::<Vec<_>>(), ["b0"]);
        assert!(list(ranges(&["10.1.0.0/24", "fd00::/64"])).may_have_ipv6());
        assert!(list(json!({"type": "ptp", "ipam": {"type": "dhcp"}})).may_have_ipv6());
        let portmap = json!({"type": "portmap", "capabilities": {"portMappings": true}});
        assert!(list(portmap).publishes());
    }
}
