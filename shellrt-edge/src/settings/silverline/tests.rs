//! Settings as people write them, with all that is wrong about them.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use shellrt_api::v0::Secret;

use super::super::{check, load, Error, Loaded, OnShutdown};
use super::*;

/// The smallest file.
const SMALL: &str = "runtime: {name: aruntime}\nmqtt: {host: localhost, port: 1883, ssl: false}\n";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

fn loaded(files: &[(&str, &str)], pairs: &[(&str, &str)]) -> Loaded<Settings> {
    load(Some(folder(files).path()), variables(pairs)).unwrap()
}

/// Problems and warnings, with DIR in place of the folder.
fn checked(files: &[(&str, &str)], pairs: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let folder = folder(files);
    let report = check(Some(folder.path()), variables(pairs));
    let dir = folder.path().display().to_string();
    let short = |texts: Vec<String>| texts.iter().map(|text| text.replace(&dir, "DIR")).collect();
    (short(report.problems), short(report.warnings))
}

#[test]
fn the_file_with_all_settings_has_the_defaults() {
    let all = include_str!("../../../silverline/settings.yaml");
    let all = loaded(&[("settings.yaml", all)], &[]);
    assert_eq!(all.warnings, Vec::<String>::new());
    let small = SMALL.replace("aruntime", "device-1");
    let mut small = loaded(&[("settings.yaml", &small)], &[]).settings;
    // Said and not said is the same; of no limit and no keepalive there is only one.
    small.loglevel = all.settings.loglevel;
    assert_eq!(format!("{:?}", all.settings), format!("{small:?}"));
}

/// The defaults of the table of keys.
#[test]
fn a_small_file_has_upstreams_defaults() {
    let Loaded {
        settings, warnings, ..
    } = loaded(&[("settings.yaml", SMALL)], &[]);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(settings.dialect, Dialect::Sideload);
    let runtime = settings.runtime;
    assert_eq!((runtime.name.as_str(), runtime.uuid), ("aruntime", None));
    assert_eq!(runtime.runtime_type, "containerized-modules");
    assert_eq!(runtime.apis, ["python:python3", "wasm:wasi_preview_1"]);
    assert_eq!(
        (runtime.namespace.as_str(), runtime.realm.as_str()),
        ("public", "realm")
    );
    assert_eq!(
        (runtime.reg_attempts, runtime.reg_timeout_seconds),
        (1, 5.0)
    );
    assert_eq!((runtime.reg_fail_error, runtime.max_nmodules), (true, 100));
    assert_eq!(
        (runtime.ka_interval_sec, runtime.inactivity_timeout),
        (None, None)
    );
    assert_eq!(runtime.inactivity_check_interval, Duration::from_secs(30));
    assert_eq!(
        (runtime.tags, runtime.is_orchestration_runtime),
        (vec![], false)
    );
    let mqtt = settings.mqtt;
    assert_eq!(
        (mqtt.host.as_str(), mqtt.port, mqtt.ssl),
        ("localhost", 1883, false)
    );
    assert_eq!(
        (mqtt.ssl_verify, mqtt.username, mqtt.password),
        (true, None, None)
    );
    assert_eq!(mqtt.keepalive, Duration::from_secs(60));
    let launcher = settings.launcher;
    assert!(launcher.pipe_stdout && launcher.stdout_max_bytes_per_sec == 0);
    assert_eq!(
        launcher.types.keys().collect::<Vec<_>>(),
        ["CTN", "PY", "WA"]
    );
    let python = &launcher.types["PY"];
    let kind = Kind::Mounted {
        image: "slframework/slruntime-python-runner".to_owned(),
        cmd: vec!["/entrypoint.sh".to_owned()],
        workdir: "/usr/src/app".to_owned(),
        arena_mqtt_auth: true,
    };
    assert_eq!(
        (&python.kind, python.plugin.as_str()),
        (&kind, "containerd")
    );
    assert_eq!(Value::Object(python.config.clone()), json!({"cpus": 0.25}));
    assert_eq!(launcher.types["WA"].kind, Kind::Wasm);
    assert_eq!(launcher.types["CTN"].kind, Kind::Image);
    assert_eq!(settings.edge, Daemon::default());
}

/// Three files as upstream has them: of the user, of secrets, of the program.
#[test]
fn three_files_are_one() {
    let user = "loglevel: DEBUG\nversion: 0.1\ndialect: applauncher\n\
        runtime: {name: rt1, uuid: , reg_attempts: 0, ka_interval_sec: 5, realm: r}\n\
        mqtt: {host: broker.example, port: 8883, ssl: true}\n\
        repository: {url: https://files.example/store/}\n\
        launcher: {pipe_stdout: true, env: 'A=1 B=2'}\n";
    let secret = "dynaconf_merge: true\nmqtt: {username: me, password: hunter2}\n";
    let program = "dynaconf_merge: true\nlauncher:\n  apis: python:python3 wasm:wasi_preview_1\n  \
        PY: {class: a.B, cmd: /entrypoint.sh, docker: {image: own/python, workdir: /w, \
        monitor_interval_secs: 0.5, run_opts: {auto_remove: True, cpu_count: 1, cpu_period: 100000, \
        cpu_quota: 50000, mem_limit: 64m}}}\n  WA: {class: a.C, image: python}\n\
        runtime: {runtime_type: mine, apis: '@format {this.launcher.apis}', dft_scene: s}\n\
        topics:\n  \
        runtimes: '@format {this.runtime.realm}/g/{this.runtime.namespace}/p/{this.runtime.uuid}'\n  \
        mio: '@format {this.runtime.realm}/s/{{namespaced_scene}}/p/{{module_uuid}}'\n\
        repository: {class: x.Y}\n";
    let files = [
        ("settings.yaml", user),
        (".secrets.yaml", secret),
        (".appsettings.yaml", program),
    ];
    let Loaded {
        settings,
        warnings,
        files,
    } = loaded(&files, &[]);
    assert_eq!(warnings, Vec::<String>::new());
    let names = files
        .iter()
        .map(|file| file.file_name().unwrap().to_str().unwrap());
    let names: Vec<&str> = names.collect();
    assert_eq!(
        names,
        ["settings.yaml", ".secrets.yaml", ".appsettings.yaml"]
    );
    assert_eq!(settings.dialect, Dialect::AppLauncher);
    assert_eq!(settings.topics["runtimes"], "r/g/public/p/{uuid}");
    assert_eq!(
        settings.topics["mio"],
        "r/s/{namespaced_scene}/p/{module_uuid}"
    );
    assert_eq!(
        settings.runtime.apis,
        ["python:python3", "wasm:wasi_preview_1"]
    );
    assert_eq!(
        (settings.runtime.uuid, settings.runtime.ka_interval_sec),
        (None, Some(5))
    );
    assert_eq!(settings.mqtt.host, "broker.example");
    assert_eq!(settings.mqtt.password, Some(Secret::new("hunter2")));
    let python = &settings.launcher.types["PY"];
    assert!(matches!(&python.kind, Kind::Mounted { image, .. } if image == "own/python"));
    assert_eq!(
        Value::Object(python.config.clone()),
        json!({"cpus": 0.5, "mem_limit": "64m"})
    );
    assert_eq!(
        python.env,
        BTreeMap::from([("A".into(), "1".into()), ("B".into(), "2".into())])
    );
    assert_eq!(settings.launcher.types["WA"].kind, Kind::Wasm);
}

#[test]
fn the_environment_has_the_last_word() {
    let pairs = [
        ("DYNACONF_MQTT__HOST", "other"),
        ("DYNACONF_MQTT__PASSWORD", "1e5"),
        ("DYNACONF_RUNTIME__NAME", "5"),
        ("DYNACONF_LAUNCHER__PY__ENV__Path", "x"),
        ("DYNACONF_EDGE__ON_SHUTDOWN", "stop"),
        ("DYNACONF_EDGE__PLUGINS__docker", "/usr/bin/d"),
        ("DYNACONF_DIALECT", "G2"),
    ];
    let Loaded {
        settings, warnings, ..
    } = loaded(&[("settings.yaml", SMALL)], &pairs);
    assert_eq!(settings.mqtt.host, "other");
    // As it was written, and not as the number that it looks like.
    assert_eq!(settings.mqtt.password, Some(Secret::new("1e5")));
    assert_eq!(settings.runtime.name, "5");
    assert_eq!(settings.launcher.types["PY"].env["Path"], "x");
    assert_eq!(settings.edge.on_shutdown, OnShutdown::Stop);
    assert_eq!(settings.edge.plugins["docker"], Path::new("/usr/bin/d"));
    assert_eq!(settings.edge.plugins["wasm"], Path::new("shellrt-wasm"));
    assert_eq!(settings.dialect, Dialect::G2);
    let alone = "\"mqtt.username\" and \"mqtt.password\" are only used together";
    assert_eq!(warnings, [alone]);
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let text = "runtime: {uuid: 'a/#', reg_attempts: -2, max_nmodules: many}\n\
        mqtt: {port: 70000, cert: /nowhere}\nlauncher: {PY: {plugin: none}, CTN: {config: {cpus: x}}}\n\
        version: 0\ndialect: g7\ntopics: {a: '@format {this.nope}'}\nedge: {on_shutdown: maybe}\nrepository: {url: 'https://me:hunter2@h/'}\n";
    let (problems, _) = checked(&[("settings.yaml", text)], &[("DYNACONF_LOGLEVEL", "loud")]);
    let expected = [
        "\"dialect\" must be \"sideload\", \"g2\", \"manager\" or \"applauncher\" (DIR/settings.yaml)",
        "\"edge.on_shutdown\" is wrong: take \"leave\" or \"stop\" (DIR/settings.yaml)",
        "\"launcher.PY.plugin\" is \"none\", which is not in \"edge.plugins\" (DIR/settings.yaml)",
        "\"loglevel\" is wrong: \"loud\" is no log level; take critical, error, warning, info, debug or \
         trace (variable DYNACONF_LOGLEVEL)",
        "\"mqtt.cert\" and \"mqtt.key\" need each other (DIR/settings.yaml)",
        "\"mqtt.cert\" is not there (DIR/settings.yaml)",
        "\"mqtt.host\" is missing (DIR/settings.yaml)",
        "\"mqtt.port\" must be 65535 at most (DIR/settings.yaml)",
        "\"mqtt.ssl\" is missing (DIR/settings.yaml)",
        "\"repository.url\" can't be used: it must not have a name and a password in it; \
         \"repository.username\" and \"repository.password\" are for them (DIR/settings.yaml)",
        "\"runtime.max_nmodules\" must be a whole number, 0 or more (DIR/settings.yaml)",
        "\"runtime.name\" is missing (DIR/settings.yaml)",
        "\"runtime.reg_attempts\" must be a whole number, -1 or more (DIR/settings.yaml)",
        "\"runtime.uuid\" must not have \"+\", \"#\" or a NUL in it, as it is a part of topics \
         (DIR/settings.yaml)",
        "\"topics.a\" there is no setting \"nope\" (DIR/settings.yaml)",
        "\"version\" must be 0.1 or more (DIR/settings.yaml)",
    ];
    let mut others = problems.clone();
    others.retain(|problem| !problem.starts_with("\"launcher.CTN.config\""));
    others.sort();
    assert_eq!(others, expected);
    assert_eq!(problems.len(), expected.len() + 1);
}

/// What happens to everybody once: a table without the word that has it merged.
#[test]
fn who_takes_a_setting_away_is_named() {
    let files = [
        ("settings.yaml", SMALL),
        (".secrets.yaml", "mqtt: {username: u, password: p}\n"),
    ];
    let (problems, _) = checked(&files, &[]);
    let lost = |key: &str| {
        format!(
            "\"mqtt.{key}\" is missing, as DIR/.secrets.yaml replaces its table; write \
             \"dynaconf_merge: true\" at the top of that file"
        )
    };
    assert_eq!(problems, [lost("port"), lost("ssl"), lost("host")]);
}

#[test]
fn what_is_strange_is_said_by_name() {
    let text = "runtime: {name: a, nmae: b}\nnonsense: 1\nedge: {colour: red}\n\
        mqtt: {host: h, port: 1, ssl: no, ca: /etc/hosts, username: u, password: hunter2}\n\
        launcher: {PY: {docker: {run_opts: {blkio_weight: 3}, net: 1}}}\n\
        repository: {url: 'https://localhost/store'}\ndialect: g2\n\
        topics: {mio: x}\n";
    let folder = folder(&[("settings.yaml", text), (".secrets.yaml", "")]);
    let secrets = folder.path().join(".secrets.yaml");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(secrets, std::fs::Permissions::from_mode(0o640)).unwrap();
    let report = check(Some(folder.path()), variables(&[]));
    assert_eq!(report.problems, Vec::<String>::new());
    let dir = folder.path().display().to_string();
    let mut warnings: Vec<String> = report
        .warnings
        .iter()
        .map(|it| it.replace(&dir, "DIR"))
        .collect();
    warnings.sort();
    let expected = [
        "\"edge.colour\" is not known and is ignored",
        "\"launcher.PY.docker.net\" is not known and is ignored",
        "\"launcher.PY.docker.run_opts.blkio_weight\" is not supported and is ignored",
        "\"mqtt.password\" stands in DIR/settings.yaml; its place is .secrets.yaml or the environment",
        "\"mqtt.ssl\" is false, so the certificates are not used",
        "\"nonsense\" is not known and is ignored",
        "\"repository.url\" has no slash at its end, so its last part is left out, as upstream does",
        "\"runtime.nmae\" is not known and is ignored",
        "\"topics.mio\" is a topic of the applauncher runtime; is \"dialect: applauncher\" missing?",
        "DIR/.secrets.yaml can be read by others; run \"chmod 600 DIR/.secrets.yaml\"",
    ];
    assert_eq!(warnings, expected);
}

#[test]
fn no_message_has_a_secret() {
    let secret = "dynaconf_merge: true\nmqtt: {password: '@int hunter2'}\nrepository: {password: [hunter2]}\n";
    let folder = folder(&[("settings.yaml", SMALL), (".secrets.yaml", secret)]);
    let error = load(
        Some(folder.path()),
        variables(&[("DYNACONF_MQTT__USERNAME", "@int hunter2")]),
    );
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Wrong { .. }), "{error}");
    assert!(
        !format!("{error} {error:?}").contains("hunter2"),
        "{error:?}"
    );
    let fine = "dynaconf_merge: true\nmqtt: {username: u, password: hunter2}\n";
    let loaded = loaded(&[("settings.yaml", SMALL), (".secrets.yaml", fine)], &[]);
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn null_takes_a_launcher_and_a_plugin_away() {
    let text = format!("{SMALL}launcher: {{CTN: , sh: {{image: busybox, cmd: [sh, -e]}}}}\nedge: {{plugins: {{wasm: }}}}\n");
    let Loaded {
        settings, warnings, ..
    } = loaded(&[("settings.yaml", &text)], &[]);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(
        settings.launcher.types.keys().collect::<Vec<_>>(),
        ["PY", "SH"]
    );
    let kind = Kind::Mounted {
        image: "busybox".to_owned(),
        cmd: vec!["sh".to_owned(), "-e".to_owned()],
        workdir: "/usr/src/app".to_owned(),
        arena_mqtt_auth: false,
    };
    assert_eq!(settings.launcher.types["SH"].kind, kind);
    assert_eq!(settings.launcher.types["SH"].config, Map::new());
}
