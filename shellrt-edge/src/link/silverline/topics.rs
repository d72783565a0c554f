//! Topics: templates with a default for each dialect, which the settings may replace.

use std::collections::BTreeMap;

use shellrt_api::v0::logs::Stream;

use super::dialect::Dialect;
use super::identity::Identity;

/// The topics of a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// Where it registers and the answer comes.
    pub registration: String,
    /// Where its keepalives go.
    pub keepalive: String,
    /// Where errors go; nothing where the dialect has no place for them.
    pub errors: Option<String>,
    /// Where requests for its modules come in: filters.
    pub requests: Vec<String>,
    /// The filters of requests that other runtimes get too.
    pub shared_requests: Vec<String>,
    dialect: Dialect,
    control: String,
    io: String,
    module: String,
}

/// What a module's topics are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The module's uuid.
    pub uuid: &'a str,
    /// Its scene, with the namespace in front.
    pub scene: &'a str,
}

/// The default of a template.
fn default(dialect: Dialect, name: &str) -> Option<&'static str> {
    use Dialect::{AppLauncher, Manager, Sideload, G2};
    Some(match (name, dialect) {
        ("runtimes", Sideload) => "{realm}/proc/reg",
        ("runtimes", G2 | Manager) => "{realm}/proc/reg/{uuid}",
        ("runtimes", AppLauncher) => "{realm}/g/{namespace}/p/{uuid}",
        ("modules", AppLauncher) => "{realm}/s/+/+/p/+/+",
        ("modules", _) => "{realm}/proc/control/{uuid}",
        ("modules_root", G2) => "{realm}/proc/control",
        ("keepalive", AppLauncher) => "{realm}/g/{namespace}/p/{uuid}",
        ("keepalive", _) => "{realm}/proc/keepalive/{uuid}",
        ("io", Sideload) => "{realm}/proc/io/{uuid}",
        ("io", G2) => "{realm}/proc/io",
        ("io", Manager) => "{realm}/proc/stdio",
        ("mio", AppLauncher) => "{realm}/s/{namespaced_scene}/p/{module_uuid}",
        // Its runtime forgot to set one, and whoever listens to its errors listens there.
        ("errors", Sideload) => "error_topic",
        ("errors", G2) => "{realm}/proc/io/{uuid}/stderr",
        ("errors", AppLauncher) => "{realm}/g/{namespace}/p/{uuid}",
        _ => return None,
    })
}

/// `template` with the values of `names`; what is not known stays as it is.
fn fill(template: &str, names: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let value = after.split_once('}').and_then(|(name, after)| {
            let known = names.iter().find(|(known, _)| *known == name)?;
            Some((known.1, after))
        });
        match value {
            Some((value, after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled + rest
}

impl Topics {
    /// The topics of `identity`; `replaced` are the templates of the settings, by their names there.
    pub fn new(identity: &Identity, replaced: &BTreeMap<String, String>) -> Topics {
        let dialect = identity.dialect;
        let names = [
            ("realm", identity.realm.as_str()),
            ("namespace", &identity.namespace),
            ("uuid", &identity.uuid),
            ("name", &identity.name),
        ];
        let topic = |name: &str| {
            let replaced = replaced.get(name).map(String::as_str);
            let template = replaced.or_else(|| default(dialect, name))?;
            Some(fill(template, &names))
        };
        let registration = topic("runtimes").unwrap_or_default();
        let control = topic("modules").unwrap_or_default();
        let beside_registration = |name: &str| match (dialect, replaced.get(name)) {
            // One topic carries all that the application launcher says of itself.
            (Dialect::AppLauncher, None) => Some(registration.clone()),
            _ => topic(name),
        };
        let mut requests = vec![control.clone()];
        // The topic above is for the orchestrator, but who has none asks there too.
        requests.extend(topic("modules_root"));
        Topics {
            keepalive: beside_registration("keepalive").unwrap_or_default(),
            errors: beside_registration("errors"),
            shared_requests: match dialect.words().shares_requests {
                true => requests.clone(),
                false => requests[1..].to_vec(),
            },
            requests,
            registration,
            dialect,
            control,
            io: topic("io").unwrap_or_default(),
            module: topic("mio").unwrap_or_default(),
        }
    }

    /// Where answers and reports about a module go.
    pub fn module(&self, place: Place<'_>) -> String {
        match self.dialect {
            Dialect::AppLauncher => self.of_module(place),
            Dialect::Sideload | Dialect::G2 | Dialect::Manager => self.control.clone(),
        }
    }

    /// Where a module's output goes.
    pub fn output(&self, place: Place<'_>, stream: Stream) -> String {
        match stream {
            Stream::Stdout => self.stdio(place, "stdout"),
            Stream::Stderr => self.stdio(place, "stderr"),
        }
    }

    /// Where a module's input comes in.
    pub fn input(&self, place: Place<'_>) -> String {
        self.stdio(place, "stdin")
    }

    fn stdio(&self, place: Place<'_>, stream: &str) -> String {
        match self.dialect {
            Dialect::AppLauncher => format!("{}/-/{stream}", self.of_module(place)),
            // One topic for both directions; a runtime does not get back what it has said.
            Dialect::Manager => format!("{}/{}", self.io, place.uuid),
            Dialect::Sideload | Dialect::G2 => format!("{}/{}/{stream}", self.io, place.uuid),
        }
    }

    fn of_module(&self, place: Place<'_>) -> String {
        let names = [
            ("namespaced_scene", place.scene),
            ("module_uuid", place.uuid),
        ];
        fill(&self.module, &names)
    }
}

/// Whether `filter` matches `topic`, as MQTT says.
pub fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

/// Whether `part` can be one level of a topic: brokers end the connection of who publishes to anything
/// with a wildcard, and a slash would make it somebody else's topic.
pub fn is_level(part: &str) -> bool {
    is_levels(part) && !part.contains('/')
}

/// Whether `part` can be some levels of a topic.
pub fn is_levels(part: &str) -> bool {
    !part.is_empty() && !part.contains(['+', '#']) && !part.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(dialect: Dialect) -> Identity {
        Identity {
            dialect,
            uuid: "RT".to_owned(),
            name: "aruntime".to_owned(),
            realm: "realm".to_owned(),
            namespace: "public".to_owned(),
            ..Identity::default()
        }
    }

    const PLACE: Place<'_> = Place {
        uuid: "m-1",
        scene: "ns1/sc1",
    };

    /// The rows of the dialects' table.
    #[test]
    fn each_dialect_has_its_topics() {
        let none = BTreeMap::new();
        let of = |dialect| Topics::new(&identity(dialect), &none);
        let row = |dialect| {
            let topics = of(dialect);
            [
                topics.registration.clone(),
                topics.requests.join(" "),
                topics.keepalive.clone(),
                topics.module(PLACE),
                topics.output(PLACE, Stream::Stdout),
                topics.input(PLACE),
                topics.errors.clone().unwrap_or_default(),
            ]
        };
        assert_eq!(
            row(Dialect::Sideload),
            [
                "realm/proc/reg",
                "realm/proc/control/RT",
                "realm/proc/keepalive/RT",
                "realm/proc/control/RT",
                "realm/proc/io/RT/m-1/stdout",
                "realm/proc/io/RT/m-1/stdin",
                "error_topic",
            ]
        );
        assert_eq!(
            row(Dialect::G2),
            [
                "realm/proc/reg/RT",
                "realm/proc/control/RT realm/proc/control",
                "realm/proc/keepalive/RT",
                "realm/proc/control/RT",
                "realm/proc/io/m-1/stdout",
                "realm/proc/io/m-1/stdin",
                "realm/proc/io/RT/stderr",
            ]
        );
        assert_eq!(
            row(Dialect::Manager),
            [
                "realm/proc/reg/RT",
                "realm/proc/control/RT",
                "realm/proc/keepalive/RT",
                "realm/proc/control/RT",
                "realm/proc/stdio/m-1",
                "realm/proc/stdio/m-1",
                "",
            ]
        );
        assert_eq!(
            row(Dialect::AppLauncher),
            [
                "realm/g/public/p/RT",
                "realm/s/+/+/p/+/+",
                "realm/g/public/p/RT",
                "realm/s/ns1/sc1/p/m-1",
                "realm/s/ns1/sc1/p/m-1/-/stdout",
                "realm/s/ns1/sc1/p/m-1/-/stdin",
                "realm/g/public/p/RT",
            ]
        );
    }

    #[test]
    fn the_settings_replace_templates() {
        let replaced = [
            ("runtimes", "r/s/public/default/p/RT"),
            // As three of the shipped configurations have it, after their own formatting.
            ("mio", "r/s/{namespaced_scene}/p/RT/{module_uuid}"),
            ("modules", "{realm}/s/+/+/p/+"),
        ];
        let replaced = replaced.map(|(name, template)| (name.to_owned(), template.to_owned()));
        let topics = Topics::new(&identity(Dialect::AppLauncher), &BTreeMap::from(replaced));
        assert_eq!(topics.registration, "r/s/public/default/p/RT");
        assert_eq!(topics.keepalive, "r/s/public/default/p/RT");
        assert_eq!(topics.errors.as_deref(), Some("r/s/public/default/p/RT"));
        assert_eq!(topics.requests, ["realm/s/+/+/p/+"]);
        assert_eq!(
            topics.output(PLACE, Stream::Stderr),
            "r/s/ns1/sc1/p/RT/m-1/-/stderr"
        );
    }

    #[test]
    fn values_are_not_templates() {
        let mut identity = identity(Dialect::Manager);
        identity.realm = "{uuid}".to_owned();
        let topics = Topics::new(&identity, &BTreeMap::new());
        assert_eq!(topics.registration, "{uuid}/proc/reg/RT");
        assert_eq!(fill("{a}{b{c}}", &[("c", "x")]), "{a}{bx}");
    }

    #[test]
    fn filters_match_as_mqtt_says() {
        assert!(matches("realm/s/+/+/p/+/+", "realm/s/a/b/p/RT/m"));
        assert!(!matches("realm/s/+/+/p/+/+", "realm/s/a/b/p/m"));
        assert!(!matches("realm/s/+/+/p/+", "realm/s/a/b/p/m/-/stdout"));
        assert!(matches("a/#", "a/b/c") && matches("a/#", "a"));
        assert!(!matches("a/b", "a"));
    }

    #[test]
    fn hostile_names_are_no_levels() {
        for bad in ["", "a/b", "+", "a#", "a\0", "a\n"] {
            assert!(!is_level(bad), "{bad:?}");
        }
        assert!(is_level("77aa-é"));
        assert!(is_levels("public/aa/bbb"));
    }
}
