//! The settings of a Silverline runtime, with the keys and defaults of the sideload runtime, and a few of
//! our own. What upstream ships in `.appsettings.yaml` is the default here, so that file may be missing.

mod container;
mod launcher;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{json, Map, Value};
use shellrt_api::v0::Secret;

use super::daemon::{self, Daemon};
use super::table::{Sources, Table};
use crate::link::silverline::dialect::Dialect;
use crate::link::silverline::files;
use crate::logging::LogLevel;

pub use container::environment;
pub use launcher::{Kind, Launcher, Launchers};

/// What stands for the identity of a runtime in templates where the settings have none: it is generated
/// and kept.
pub const UUID: &str = "{uuid}";

/// All settings of a runtime.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `dialect`: which generation of the protocol is spoken. Default [`Dialect::Sideload`].
    pub dialect: Dialect,
    /// `loglevel`, for when neither the command line nor the environment says it.
    pub loglevel: Option<LogLevel>,
    /// `runtime`: what it is and how it registers.
    pub runtime: Runtime,
    /// `mqtt`: the broker.
    pub mqtt: Mqtt,
    /// `repository`: where the programs' files come from.
    pub repository: Repository,
    /// `launcher`: how programs are started.
    pub launcher: Launchers,
    /// `topics`: templates that replace the dialect's own, by their names. In braces is what is known
    /// later: [`UUID`], `{namespaced_scene}`, `{module_uuid}`.
    pub topics: BTreeMap<String, String>,
    /// `types`: words of the runtime's own messages.
    pub types: Types,
    /// `edge`: what all links share.
    pub edge: Daemon,
}

/// What stands as `type` in the runtime's own messages, where it is not the dialect's word. The oldest
/// orchestrator takes only `arts_req` and `arts_resp`, which some runtimes of its time said too.
#[derive(Debug, Clone, Default)]
pub struct Types {
    /// `request`. Default: the dialect's, for `sideload` that is `runtime_req`.
    pub request: Option<String>,
    /// `response`. Default: the dialect's, for `sideload` that is `runtime_resp`.
    pub response: Option<String>,
}

/// What a runtime is and how it registers.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// `name`. Required.
    pub name: String,
    /// `uuid`; without it one is generated and kept.
    pub uuid: Option<String>,
    /// `runtime_type`. Default `containerized-modules`, and `linux/shellrt` behind a manager.
    pub runtime_type: String,
    /// `apis`. Default: those of the launchers.
    pub apis: Vec<String>,
    /// `namespace`. Default `public`.
    pub namespace: String,
    /// `dft_scene`: the scene of requests that name none. Default `default`.
    pub dft_scene: String,
    /// `realm`. Default `realm`.
    pub realm: String,
    /// `reg_attempts`: how often it registers: -1 not at all, 0 for ever. Default 1.
    pub reg_attempts: i64,
    /// `reg_timeout_seconds`: how long it waits for an answer before it tries again. Default 5.
    pub reg_timeout_seconds: f64,
    /// `reg_fail_error`: whether it ends when nobody answers. Default true.
    pub reg_fail_error: bool,
    /// `max_nmodules`: how many modules there may be; 0 = no limit. Default 100.
    pub max_nmodules: usize,
    /// `ka_interval_sec`: the time between keepalives; 0 or null for none, which is the default.
    pub ka_interval_sec: Option<u64>,
    /// `tags`. Default none.
    pub tags: Vec<Value>,
    /// `is_orchestration_runtime`. Default false.
    pub is_orchestration_runtime: bool,
    /// `inactivity_timeout_sec`: how long a module may be idle before it is stopped; 0 for ever, which is
    /// the default.
    pub inactivity_timeout: Option<Duration>,
    /// `inactivity_check_interval_sec`: the time between two looks at that. Default 30 s.
    pub inactivity_check_interval: Duration,
}

/// The broker.
#[derive(Debug, Clone)]
pub struct Mqtt {
    /// `host`. Required.
    pub host: String,
    /// `port`. Required.
    pub port: u16,
    /// `ssl`: whether the connection is encrypted. Required.
    pub ssl: bool,
    /// `ssl_verify`: whether the broker has to prove who it is. Default true.
    pub ssl_verify: bool,
    /// `ca`: the authorities that the broker's certificate may come from, as PEM. Default: the system's.
    pub ca: Option<PathBuf>,
    /// `cert`: the own certificate, as PEM.
    pub cert: Option<PathBuf>,
    /// `key`: the key of the own certificate, as PEM.
    pub key: Option<PathBuf>,
    /// `username`.
    pub username: Option<String>,
    /// `password`.
    pub password: Option<Secret>,
    /// `keepalive_sec`. Default 60 s.
    pub keepalive: Duration,
}

/// Where the programs' files come from.
#[derive(Debug, Clone)]
pub struct Repository {
    /// `url`: an `http` or `https` URL of a server that lists directories, or a folder, as a path or a
    /// `file` URL.
    pub url: Option<String>,
    /// `ssl_verify`: whether the server has to prove who it is. Default true.
    pub ssl_verify: bool,
    /// `ca`: the authorities that its certificate may come from beside the system's, as PEM.
    pub ca: Option<PathBuf>,
    /// `username`, for a server that asks for it.
    pub username: Option<String>,
    /// `password`, for a server that asks for it.
    pub password: Option<Secret>,
    /// `max_bytes`: how big all files of a program may be together. Default 256 MiB.
    pub max_bytes: u64,
    /// `max_files`: how many files and folders a program may have. Default 10000.
    pub max_files: usize,
}

/// What other settings see in place of the ones that are not there.
fn defaults() -> Map<String, Value> {
    let defaults = json!({
        "loglevel": "INFO",
        "runtime": {
            "uuid": UUID, "realm": "realm", "namespace": "public", "dft_scene": "default",
            "reg_attempts": 1, "reg_timeout_seconds": 5, "max_nmodules": 100,
        },
        "mqtt": {"username": "", "password": ""},
        "launcher": {"apis": launcher::APIS, "pipe_stdout": true},
    });
    match defaults {
        Value::Object(defaults) => defaults,
        _ => Map::new(),
    }
}

/// Reads all settings. What is wrong is noted, and a default stands in its place.
pub fn read(sources: &Sources) -> Settings {
    let mut top = sources.tree(&defaults());
    let dialect = dialect(&mut top);
    let loglevel = top.word("loglevel");
    let version = top.number("version");
    if version.is_some_and(|version| version < 0.1) {
        top.problem("version", "must be 0.1 or more");
    }
    let edge = daemon::read(top.table("edge"));
    let launcher = launcher::read(top.table("launcher"), dialect, &edge);
    let runtime = runtime(top.table("runtime"), dialect, &launcher.apis);
    let mqtt = mqtt(top.table("mqtt"));
    let repository = repository(top.table("repository"), dialect);
    let topics = topics(top.table("topics"), dialect);
    let types = types(top.table("types"), dialect);
    let mut docker = top.table("docker");
    docker.ignore(&["force_container_name"]);
    docker.end();
    top.end();
    Settings {
        dialect,
        loglevel,
        runtime,
        mqtt,
        repository,
        launcher,
        topics,
        types,
        edge,
    }
}

fn dialect(top: &mut Table<'_>) -> Dialect {
    let word = top.text("dialect").map(|word| word.to_lowercase());
    let dialect = word.map(|word| serde_json::from_value(Value::String(word)));
    dialect
        .unwrap_or(Ok(Dialect::default()))
        .unwrap_or_else(|_| {
            top.problem(
                "dialect",
                "must be \"sideload\", \"g2\", \"manager\" or \"applauncher\"",
            );
            Dialect::default()
        })
}

fn runtime(mut table: Table<'_>, dialect: Dialect, apis: &[String]) -> Runtime {
    let own_type = match dialect {
        Dialect::Manager => "linux/shellrt",
        Dialect::Sideload | Dialect::G2 | Dialect::AppLauncher => "containerized-modules",
    };
    let or = |text: Option<String>, default: &str| text.unwrap_or_else(|| default.to_owned());
    let runtime = Runtime {
        name: table.required_text("name"),
        uuid: table.text("uuid"),
        runtime_type: or(table.text("runtime_type"), own_type),
        apis: table.words("apis").unwrap_or_else(|| apis.to_vec()),
        namespace: or(table.text("namespace"), "public"),
        dft_scene: or(table.text("dft_scene"), "default"),
        realm: or(table.text("realm"), "realm"),
        reg_attempts: table.whole("reg_attempts", -1).unwrap_or(1),
        reg_timeout_seconds: table
            .seconds("reg_timeout_seconds")
            .map_or(5.0, |time| time.as_secs_f64()),
        reg_fail_error: table.flag("reg_fail_error").unwrap_or(true),
        max_nmodules: table.whole("max_nmodules", 0).map_or(100, to_size),
        ka_interval_sec: table
            .seconds("ka_interval_sec")
            .map(|time| time.as_secs().max(1)),
        tags: tags(&mut table),
        is_orchestration_runtime: table.flag("is_orchestration_runtime").unwrap_or(false),
        inactivity_timeout: table.seconds("inactivity_timeout_sec"),
        inactivity_check_interval: table
            .seconds("inactivity_check_interval_sec")
            .unwrap_or(Duration::from_secs(30)),
    };
    let in_topics = [
        ("name", Some(&runtime.name)),
        ("uuid", runtime.uuid.as_ref()),
        ("namespace", Some(&runtime.namespace)),
        ("dft_scene", Some(&runtime.dft_scene)),
        ("realm", Some(&runtime.realm)),
    ];
    for (key, text) in in_topics {
        if key != "name" && text.is_some_and(|text| text.contains(['+', '#', '\0'])) {
            table.problem(
                key,
                "must not have \"+\", \"#\" or a NUL in it, as it is a part of topics",
            );
        }
    }
    table.end();
    runtime
}

/// Tags are whatever the orchestrator makes of them; text is split into words.
fn tags(table: &mut Table<'_>) -> Vec<Value> {
    match table.take("tags") {
        Some(Value::Array(tags)) => tags,
        Some(Value::String(tags)) => tags.split_whitespace().map(Value::from).collect(),
        Some(_) => {
            table.problem("tags", "must be a list");
            Vec::new()
        }
        None => Vec::new(),
    }
}

fn mqtt(mut table: Table<'_>) -> Mqtt {
    for key in ["port", "ssl"] {
        table.require(key);
    }
    let port = table.whole("port", 1).unwrap_or(1883);
    let port = u16::try_from(port).unwrap_or_else(|_| {
        table.problem("port", "must be 65535 at most");
        1883
    });
    let mqtt = Mqtt {
        host: table.required_text("host"),
        port,
        ssl: table.flag("ssl").unwrap_or(false),
        ssl_verify: table.flag("ssl_verify").unwrap_or(true),
        ca: file(&mut table, "ca"),
        cert: file(&mut table, "cert"),
        key: file(&mut table, "key"),
        username: table.text("username"),
        password: table.secret("password"),
        keepalive: table
            .seconds("keepalive_sec")
            .unwrap_or(Duration::from_secs(60)),
    };
    if mqtt.cert.is_some() != mqtt.key.is_some() {
        table.problem("cert", "and \"mqtt.key\" need each other");
    }
    if !mqtt.ssl && (mqtt.ca.is_some() || mqtt.cert.is_some()) {
        table.warn("ssl", "is false, so the certificates are not used");
    }
    if mqtt.username.is_some() != mqtt.password.is_some() {
        table.warn("username", "and \"mqtt.password\" are only used together");
    }
    table.end();
    mqtt
}

/// Takes the path of a file that has to be there.
fn file(table: &mut Table<'_>, key: &str) -> Option<PathBuf> {
    let path = PathBuf::from(table.text(key)?);
    if !path.is_file() {
        table.problem(key, "is not there");
    }
    Some(path)
}

fn repository(mut table: Table<'_>, dialect: Dialect) -> Repository {
    let repository = Repository {
        url: table.text("url"),
        ssl_verify: table.flag("ssl_verify").unwrap_or(true),
        ca: file(&mut table, "ca"),
        username: table.text("username"),
        password: table.secret("password"),
        max_bytes: table
            .whole("max_bytes", 1)
            .map_or(256 << 20, |max| max as u64),
        max_files: table.whole("max_files", 1).map_or(10_000, to_size),
    };
    if let Some(url) = &repository.url {
        if let Err(error) = files::check_repository(dialect, url) {
            table.problem("url", &format!("can't be used: {error}"));
        }
        let is_joined = matches!(dialect, Dialect::G2 | Dialect::AppLauncher);
        let path = url
            .strip_prefix("http")
            .and_then(|rest| rest.split_once("://"));
        let path = path.and_then(|(_, rest)| rest.split_once('/'));
        if is_joined && path.is_some_and(|(_, path)| !path.is_empty() && !path.ends_with('/')) {
            table.warn(
                "url",
                "has no slash at its end, so its last part is left out, as upstream does",
            );
        }
    }
    // The class that fetches the files upstream.
    table.ignore(&["class", "args"]);
    table.end();
    repository
}

fn topics(mut table: Table<'_>, dialect: Dialect) -> BTreeMap<String, String> {
    let mut topics = BTreeMap::new();
    for key in table.keys() {
        if let Some(topic) = table.text(&key) {
            topics.insert(key.to_lowercase(), topic);
        }
    }
    let is_of_applauncher = topics.contains_key("mio");
    if is_of_applauncher && dialect != Dialect::AppLauncher {
        table.warn(
            "mio",
            "is a topic of the applauncher runtime; is \"dialect: applauncher\" missing?",
        );
    }
    topics
}

fn types(mut table: Table<'_>, dialect: Dialect) -> Types {
    let types = Types {
        request: table.text("request"),
        response: table.text("response"),
    };
    if types.response.is_some() && dialect.words().own_answer.is_none() {
        table.warn("response", "is not used: the dialect has no such answers");
    }
    table.end();
    types
}

fn to_size(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
