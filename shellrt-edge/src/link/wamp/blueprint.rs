//! What a component is made from: from what the user named to the order for its module.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{json, Map, Value};
use shellrt_api::v0::img_pull;
use shellrt_api::v0::logs::Stream;

use crate::order::{Handling, Order, Spec};
use crate::settings::wamp::{Component, Kind, Settings};

/// Where a component that connects by itself finds its extra, below [`EXTRAS_DIR`].
pub const EXTRAS_FILE: &str = "extras.json";

/// The directory of the module that has the file.
pub const EXTRAS_DIR: &str = "/run/wamp";

/// The longest part of a component's name in its module's, in bytes.
const STEM: usize = 40;

/// A component, before it has instances.
#[derive(Debug, Clone, PartialEq)]
pub struct Blueprint {
    /// As the user named it.
    pub name: String,
    /// The id of its module.
    pub id: String,
    /// How it talks to the router.
    pub kind: Kind,
    /// What it is started with.
    pub extra: Value,
    spec: Spec,
}

/// Why there is no such component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is neither in the settings nor a plugin and a reference.
    #[error(
        "there is no component {0:?}: write PLUGIN:REFERENCE, as in \"wasm:./sensor.wasm\", or name it in \
         \"components\" of the file that \"--config\" gives"
    )]
    Unknown(String),
    /// The plugin is not in the settings.
    #[error("component {name:?} wants the plugin {plugin:?}, which is not configured; there are: {known}")]
    NoPlugin {
        /// The component.
        name: String,
        /// The plugin.
        plugin: String,
        /// What there is.
        known: String,
    },
    /// A part of its config is the daemon's business.
    #[error("component {name:?} sets {key:?} to something that the daemon can't work with: {why}")]
    Config {
        /// The component.
        name: String,
        /// The member.
        key: &'static str,
        /// Why.
        why: &'static str,
    },
    /// The extras are not keyed by names.
    #[error("the extra file must be an object with the names of the components, because there are several")]
    Extras,
}

impl Blueprint {
    /// The components `names`, where `tag` tells this daemon's modules from others'. `extras` is what the
    /// extra file says.
    ///
    /// # Errors
    /// [`Error`].
    pub fn all(
        names: &[String],
        settings: &Settings,
        extras: Option<Value>,
        tag: &str,
    ) -> Result<Vec<Blueprint>, Error> {
        let extras = extras.unwrap_or_else(|| json!({}));
        if names.len() > 1 && !extras.is_object() {
            return Err(Error::Extras);
        }
        let numbered = names.iter().enumerate();
        let blueprints = numbered.map(|(index, name)| {
            let extra = match names.len() {
                1 => extras.clone(),
                _ => extras.get(name).cloned().unwrap_or_else(|| json!({})),
            };
            let id = format!("wamp-{}-{index}-{tag}", stem(name));
            Blueprint::one(name, id, settings, extra)
        });
        blueprints.collect()
    }

    fn one(name: &str, id: String, settings: &Settings, extra: Value) -> Result<Blueprint, Error> {
        let component = match settings.components.get(name) {
            Some(component) => component.clone(),
            None => named(name).ok_or_else(|| Error::Unknown(name.to_owned()))?,
        };
        let Component {
            plugin,
            component: kind,
            image,
            config_type,
            env,
            mut config,
        } = component;
        if !settings.edge.plugins.contains_key(&plugin) {
            let known: Vec<&str> = settings.edge.plugins.keys().map(String::as_str).collect();
            return Err(Error::NoPlugin {
                name: name.to_owned(),
                plugin,
                known: known.join(", "),
            });
        }
        let image = reference(&image);
        config.insert("image".to_owned(), image.as_str().into());
        if kind == Kind::Lines {
            speak_lines(name, &mut config)?;
        }
        let spec = Spec {
            config_type: config_type.unwrap_or_else(|| plugin.clone()),
            plugin,
            config,
            env,
            image: img_pull::Request {
                image,
                ..Default::default()
            },
            remove_image: false,
        };
        Ok(Blueprint {
            name: name.to_owned(),
            id,
            kind,
            extra,
            spec,
        })
    }

    /// The plugin that runs it.
    pub fn plugin(&self) -> &str {
        &self.spec.plugin
    }

    /// The order for an instance that the daemon speaks lines with.
    pub fn order(&self) -> Order {
        let handling = Handling {
            streams: match self.kind {
                Kind::Lines => vec![Stream::Stderr],
                Kind::Itself => vec![Stream::Stdout, Stream::Stderr],
            },
            text: true,
            attach: self.kind == Kind::Lines,
            // One that was told by its stdin has had its time.
            stop_timeout: (self.kind == Kind::Lines).then_some(1),
            ..Handling::default()
        };
        Order {
            id: self.id.clone(),
            spec: self.spec.clone(),
            handling,
            note: Value::Null,
        }
    }

    /// The order for an instance that connects by itself. `variables` say where to; `files` is the directory
    /// with its extra.
    pub fn order_of_itself(&self, variables: BTreeMap<String, String>, files: &Path) -> Order {
        let mut order = self.order();
        for (name, value) in variables {
            // What the settings say comes first.
            order.spec.env.entry(name).or_insert(value);
        }
        let mount = json!({
            "type": "bind", "source": files, "target": EXTRAS_DIR, "read_only": true,
        });
        let mounts = order
            .spec
            .config
            .entry("mounts")
            .or_insert_with(|| json!([]));
        if let Value::Array(mounts) = mounts {
            mounts.push(mount);
        }
        order
    }
}

/// The component that a plugin and a reference are.
fn named(name: &str) -> Option<Component> {
    let (plugin, image) = name.split_once(':')?;
    if plugin.is_empty() || image.is_empty() || plugin.contains(['/', '.']) {
        return None;
    }
    Some(Component {
        plugin: plugin.to_owned(),
        component: Kind::Lines,
        image: image.to_owned(),
        config_type: None,
        env: BTreeMap::new(),
        config: Map::new(),
    })
}

/// A path of this machine is a reference when it says `file:` and is absolute.
fn reference(image: &str) -> String {
    let path = image.strip_prefix("file:").unwrap_or(image);
    let is_path =
        path.len() < image.len() || ["/", "./", "../"].iter().any(|it| path.starts_with(it));
    if !is_path {
        return image.to_owned();
    }
    match std::path::absolute(path) {
        Ok(absolute) => format!("file:{}", absolute.display()),
        Err(_) => image.to_owned(),
    }
}

/// Its stdin is open, and what it says on stdout is not kept in its log.
fn speak_lines(name: &str, config: &mut Map<String, Value>) -> Result<(), Error> {
    let wrong = |key, why| Error::Config {
        name: name.to_owned(),
        key,
        why,
    };
    if config.get("tty") == Some(&Value::Bool(true)) {
        return Err(wrong("tty", "lines don't go through a terminal"));
    }
    config.insert("stdin".to_owned(), true.into());
    let log = config.entry("log").or_insert_with(|| json!({}));
    let log = log.as_object_mut();
    let log = log.ok_or_else(|| wrong("log", "it must be an object"))?;
    log.insert("streams".to_owned(), json!(["stderr"]));
    Ok(())
}

/// What people recognise a component by, of letters and digits.
fn stem(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    let mut stem = String::new();
    for letter in last.chars() {
        match letter.is_ascii_alphanumeric() {
            true => stem.push(letter.to_ascii_lowercase()),
            false if stem.ends_with('-') || stem.is_empty() => {}
            false => stem.push('-'),
        }
        if stem.len() >= STEM {
            break;
        }
    }
    let stem = stem.trim_end_matches('-');
    match stem {
        "" => "component".to_owned(),
        stem => stem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blueprints(names: &[&str], extras: Option<Value>) -> Result<Vec<Blueprint>, Error> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Blueprint::all(&names, &Settings::default(), extras, "tag")
    }

    #[test]
    fn one_component_gets_the_whole_extra() {
        let one = blueprints(&["wasm:/a/sensor.wasm"], Some(json!({"period": 5}))).unwrap();
        assert_eq!(one[0].extra, json!({"period": 5}));
        assert_eq!(blueprints(&["wasm:/a"], None).unwrap()[0].extra, json!({}));
    }

    #[test]
    fn several_get_their_own() {
        let extras = json!({"wasm:/a": {"period": 5}, "other": 1});
        let all = blueprints(&["wasm:/a", "wasm:/b", "wasm:/a"], Some(extras)).unwrap();
        let extras: Vec<&Value> = all.iter().map(|one| &one.extra).collect();
        assert_eq!(
            extras,
            [&json!({"period": 5}), &json!({}), &json!({"period": 5})]
        );
        assert_ne!(all[0].id, all[2].id);
        assert_eq!(
            blueprints(&["wasm:/a", "wasm:/b"], Some(json!([]))),
            Err(Error::Extras)
        );
    }

    #[test]
    fn a_plugin_and_a_reference_are_an_order() {
        let order = blueprints(&["wasm:/a/my_sensor.wasm"], None).unwrap()[0].order();
        assert_eq!(order.name(), "wamp-my-sensor-wasm-0-tag");
        assert_eq!(
            (&*order.spec.plugin, &*order.spec.config_type),
            ("wasm", "wasm")
        );
        assert_eq!(order.spec.image.image, "file:/a/my_sensor.wasm");
        let config = json!({
            "image": "file:/a/my_sensor.wasm", "stdin": true, "log": {"streams": ["stderr"]},
        });
        assert_eq!(Value::Object(order.spec.config), config);
        let order = blueprints(&["containerd:registry:5000/app:1"], None).unwrap()[0].order();
        assert_eq!(order.spec.image.image, "registry:5000/app:1");
        assert!(order.handling.attach);
    }

    #[test]
    fn what_connects_by_itself_gets_variables_and_a_file() {
        let text = json!({"components": {"app.Sensor": {
            "component": "self", "plugin": "containerd", "image": "runners:1",
            "env": {"WAMP_REALM": "own"},
            "mounts": [{"type": "bind", "source": "/app", "target": "/app"}],
        }}});
        let settings: Settings = serde_json::from_value(text).unwrap();
        let all = Blueprint::all(&["app.Sensor".to_owned()], &settings, None, "tag").unwrap();
        let variables = [("WAMP_URL", "ws://r/ws"), ("WAMP_REALM", "realm1")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let order = all[0].order_of_itself(variables.into(), Path::new("/files/x"));
        assert!(!order.handling.attach);
        assert_eq!(order.spec.env["WAMP_URL"], "ws://r/ws");
        assert_eq!(order.spec.env["WAMP_REALM"], "own");
        let mounts = &order.spec.config["mounts"];
        assert_eq!(mounts[1]["source"], "/files/x");
        assert_eq!(mounts[1]["target"], "/run/wamp");
        assert!(!order.spec.config.contains_key("stdin"));
    }

    #[test]
    fn what_is_not_known_is_told() {
        let unknown = blueprints(&["app.Sensor"], None);
        assert_eq!(unknown, Err(Error::Unknown("app.Sensor".to_owned())));
        let error = blueprints(&["podman:x"], None).unwrap_err().to_string();
        assert!(
            error.contains("\"podman\"") && error.contains("containerd, wasm"),
            "{error}"
        );
    }
}
