//! The settings of the launchers: for each type of file, how a program is started. Three are there without
//! any setting: `PY` as upstream has it, `WA` and `CTN`. A launcher that is null is not there.

use std::collections::BTreeMap;

use serde_json::{json, Map, Value};
use shellrt_api::v0::config::{containerd, wasm};

use super::super::daemon::Daemon;
use super::super::table::Table;
use super::container;
use crate::link::silverline::dialect::Dialect;

/// What the launchers offer together, where the settings do not say it.
pub const APIS: &str = "python:python3 wasm:wasi_preview_1";

/// The same behind an orchestrator of 2023.
const APIS_OF_MANAGER: &str = "wasm wasi stdio:in stdio:out";

/// What runs python upstream.
const PYTHON_IMAGE: &str = "slframework/slruntime-python-runner";

/// How big a piece of output is at most.
const CHUNK: usize = 16 << 10;

/// How programs are started.
#[derive(Debug, Clone)]
pub struct Launchers {
    /// `pipe_stdout`: whether output goes to the topics. Default true.
    pub pipe_stdout: bool,
    /// `stdout_max_bytes_per_sec`: how much output of each stream of a module goes out at most; what is
    /// more waits. 0 = no limit, which is the default.
    pub stdout_max_bytes_per_sec: u64,
    /// `stdout_chunk_bytes`: how big a message with output is at most. Default 16 KiB.
    pub stdout_chunk_bytes: usize,
    /// `apis`: what the launchers offer together.
    pub apis: Vec<String>,
    /// By the type of the file, in upper case.
    pub types: BTreeMap<String, Launcher>,
}

/// How programs of one type are started.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// What is started.
    pub kind: Kind,
    /// `plugin`: by which plugin of `edge.plugins`. Default `wasm` for `WA`, else `containerd`.
    pub plugin: String,
    /// `env`, and `launcher.env` for all: what is in the module's environment beside its own.
    pub env: BTreeMap<String, String>,
    /// `docker.run_opts`, and `config` with the plugin's own names over that: what else its config has.
    pub config: Map<String, Value>,
    /// `inactivity_cpu_threshold_percent`: how much of a processor counts as idle. Default 0.5.
    pub inactivity_cpu_threshold_percent: f64,
    /// `inactivity_net_threshold_bytes`: how many bytes over its networks count as idle. Default 0.
    pub inactivity_net_threshold_bytes: u64,
    /// `inactivity_blkio_threshold_bytes`: how many bytes of its disks count as idle. Default 0.
    pub inactivity_blkio_threshold_bytes: u64,
}

/// What is started.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A container of an image, with the program's folder in it.
    Mounted {
        /// `docker.image`, or `image`.
        image: String,
        /// `docker.cmd`, or `cmd`: what comes before the file's name.
        cmd: Vec<String>,
        /// `docker.workdir`, or `workdir`: where the folder is.
        workdir: String,
        /// `arena_mqtt_auth`: whether the runtime's own name and password for the broker lie in the folder,
        /// where arena-py looks for them. Default true for `PY`, as upstream.
        arena_mqtt_auth: bool,
    },
    /// The file, a WebAssembly program.
    Wasm,
    /// A container of the image that the file names.
    Image,
}

/// Reads the table `launcher`.
pub(super) fn read(mut table: Table<'_>, dialect: Dialect, edge: &Daemon) -> Launchers {
    let apis = match dialect {
        Dialect::Manager => APIS_OF_MANAGER,
        Dialect::Sideload | Dialect::G2 | Dialect::AppLauncher => APIS,
    };
    let apis = || apis.split(' ').map(str::to_owned).collect();
    let mut launchers = Launchers {
        pipe_stdout: table.flag("pipe_stdout").unwrap_or(true),
        stdout_max_bytes_per_sec: table
            .whole("stdout_max_bytes_per_sec", 0)
            .map_or(0, i64::unsigned_abs),
        // The longest character of UTF-8 has to go into a piece.
        stdout_chunk_bytes: table
            .whole("stdout_chunk_bytes", 4)
            .map_or(CHUNK, super::to_size),
        apis: table.words("apis").unwrap_or_else(apis),
        types: BTreeMap::new(),
    };
    let env = environment(&mut table);
    table.ignore(&["class", "args"]);
    let mut keys = table.keys();
    for own in ["PY", "WA", "CTN"] {
        let is_set = keys.iter().any(|key| key.eq_ignore_ascii_case(own));
        if !is_set && edge.plugins.contains_key(own_plugin(own)) {
            keys.push(own.to_owned());
        }
    }
    for key in keys {
        let name = key.to_uppercase();
        if table.is_null(&key) {
            table.ignore(&[&key]);
            continue;
        }
        let mut launcher = launcher(&name, table.table(&key), edge);
        for (name, value) in &env {
            launcher
                .env
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
        launchers.types.insert(name, launcher);
    }
    launchers
}

/// The plugin for a type of file where the settings do not say it.
fn own_plugin(name: &str) -> &'static str {
    match name {
        "WA" => "wasm",
        _ => "containerd",
    }
}

fn environment(table: &mut Table<'_>) -> BTreeMap<String, String> {
    let env = table.take("env").unwrap_or(Value::Null);
    container::environment(&env).unwrap_or_else(|| {
        table.problem(
            "env",
            "must be a table, a list of \"NAME=value\", or text with such words",
        );
        BTreeMap::new()
    })
}

fn launcher(name: &str, mut table: Table<'_>, edge: &Daemon) -> Launcher {
    // The class that starts it upstream, and what its other launchers had.
    table.ignore(&["class", "apis", "script_path", "pipe_stdin_stdout"]);
    let plugin = table
        .text("plugin")
        .unwrap_or_else(|| own_plugin(name).to_owned());
    if !edge.plugins.contains_key(&plugin) {
        table.problem(
            "plugin",
            &format!("is {plugin:?}, which is not in \"edge.plugins\""),
        );
    }
    let mut docker = table.table("docker");
    let cmd = table.take("cmd").or_else(|| docker.take("cmd"));
    let image = table.text("image").or_else(|| docker.text("image"));
    let workdir = table.text("workdir").or_else(|| docker.text("workdir"));
    let arena_mqtt_auth = table.flag("arena_mqtt_auth").unwrap_or(name == "PY");
    let image = match (name, image) {
        ("PY", None) => Some(PYTHON_IMAGE.to_owned()),
        (_, image) => image,
    };
    let kind = match image {
        // Upstream's file names an image for WA too, of a launcher that never was.
        _ if plugin == "wasm" => Kind::Wasm,
        None => Kind::Image,
        Some(image) => Kind::Mounted {
            image,
            cmd: command(&table, cmd),
            workdir: workdir.unwrap_or_else(|| "/usr/src/app".to_owned()),
            arena_mqtt_auth,
        },
    };
    let mut env = environment(&mut table);
    let mut config = Map::new();
    if let Some(run_opts) = docker.take("run_opts") {
        match run_opts {
            Value::Object(run_opts) if kind != Kind::Wasm => {
                let options = container::options(run_opts);
                for option in options.unknown {
                    docker.warn(
                        &format!("run_opts.{option}"),
                        "is not supported and is ignored",
                    );
                }
                config = options.config;
                for (name, value) in options.env {
                    env.entry(name).or_insert(value);
                }
            }
            Value::Object(_) => docker.warn("run_opts", "means nothing for WebAssembly"),
            _ => docker.problem("run_opts", "must be a table"),
        }
    } else if name == "PY" {
        config.insert("cpus".to_owned(), json!(0.25));
    }
    docker.ignore(&[
        "monitor_interval_secs",
        "force_container_name",
        "connect_retries",
    ]);
    docker.end();
    match table.take("config") {
        Some(Value::Object(own)) => config.extend(own),
        Some(_) => table.problem("config", "must be a table"),
        None => {}
    }
    check(&table, &kind, &config);
    let threshold =
        |key: &str, table: &mut Table<'_>| table.whole(key, 0).map_or(0, i64::unsigned_abs);
    let launcher = Launcher {
        kind,
        plugin,
        env,
        config,
        inactivity_cpu_threshold_percent: table
            .number("inactivity_cpu_threshold_percent")
            .unwrap_or(0.5),
        inactivity_net_threshold_bytes: threshold("inactivity_net_threshold_bytes", &mut table),
        inactivity_blkio_threshold_bytes: threshold("inactivity_blkio_threshold_bytes", &mut table),
    };
    table.end();
    launcher
}

/// The words before the file's name: one, or a list.
fn command(table: &Table<'_>, cmd: Option<Value>) -> Vec<String> {
    match cmd {
        None => vec!["/entrypoint.sh".to_owned()],
        Some(Value::String(word)) => vec![word],
        Some(cmd) => serde_json::from_value(cmd).unwrap_or_else(|_| {
            table.problem("cmd", "must be text or a list of words");
            Vec::new()
        }),
    }
}

/// Finds what the plugin would refuse at every create.
fn check(table: &Table<'_>, kind: &Kind, config: &Map<String, Value>) {
    for own in ["image", "command", "labels"] {
        if config.contains_key(own) {
            table.problem(
                &format!("config.{own}"),
                "is set for each module and can't be set here",
            );
        }
    }
    let mut whole = config.clone();
    whole.insert("image".to_owned(), json!("image"));
    let whole = Value::Object(whole);
    let checked = match kind {
        Kind::Wasm => serde_json::from_value::<wasm::Config>(whole)
            .map(drop)
            .map_err(|error| error.to_string()),
        Kind::Mounted { .. } | Kind::Image => serde_json::from_value::<containerd::Config>(whole)
            .map_err(|error| error.to_string())
            .and_then(|config| config.check().map_err(|error| error.message)),
    };
    if let Err(message) = checked {
        table.problem(
            "config",
            &format!("or \"docker.run_opts\" is wrong: {message}"),
        );
    }
}
