//! Requests as they were seen, and what becomes of them.

use std::time::Duration;

use super::*;
use crate::link::silverline::files::Source;
use crate::settings;

const DIR: &str = "/state/files/m";

/// The settings of a file with `more` in it.
fn settings(more: &str) -> Settings {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "runtime: {{name: rt, inactivity_timeout_sec: 60}}\n\
         mqtt: {{host: h, port: 1883, ssl: false, username: me}}\n\
         repository: {{url: 'https://files/store/'}}\n{more}"
    );
    std::fs::write(folder.path().join("settings.yaml"), text).unwrap();
    let variables = [("DYNACONF_MQTT__PASSWORD", "hunter2")];
    settings::load(Some(folder.path()), variables)
        .unwrap()
        .settings
}

fn program(file: &str) -> Program {
    Program {
        uuid: "77aa".to_owned(),
        name: "hello".to_owned(),
        file: file.to_owned(),
        ..Program::default()
    }
}

fn planned(settings: &Settings, program: &Program) -> Plan {
    plan(settings, program, Path::new(DIR)).unwrap()
}

fn config(plan: &Plan) -> Value {
    Value::Object(plan.spec.config.clone())
}

/// The request of an applauncher runtime, as it was seen, and what upstream makes of it.
#[test]
fn python_runs_as_upstream_has_it() {
    let settings = settings("dialect: applauncher\n");
    let plan = planned(
        &settings,
        &Program {
            location: Some("user/dir".to_owned()),
            filetype: Some("PY".to_owned()),
            args: json!(["a"]),
            env: json!(["NAMESPACE=ns1", "SCENE=sc1"]),
            apis: json!(["python:python3"]),
            ..program("prog.py")
        },
    );
    let expected = json!({
        "image": "slframework/slruntime-python-runner",
        "command": ["/entrypoint.sh", "prog.py", "a"],
        "working_dir": "/usr/src/app",
        "mounts": [{"type": "bind", "source": DIR, "target": "/usr/src/app"}],
        "cpus": 0.25,
        "stdin": true,
    });
    assert_eq!(config(&plan), expected);
    let checked: containerd::Config = serde_json::from_value(config(&plan)).unwrap();
    checked.check().unwrap();
    assert_eq!(
        (plan.spec.plugin.as_str(), plan.spec.config_type.as_str()),
        ("containerd", "containerd")
    );
    assert_eq!(plan.spec.image.image, "slframework/slruntime-python-runner");
    assert!(!plan.spec.remove_image);
    let env = [
        ("NAMESPACE", "ns1"),
        ("PROGRAM_OBJECT_ID", "77aa"),
        ("SCENE", "sc1"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(plan.spec.env, BTreeMap::from(env));
    let files = plan.files.unwrap();
    assert_eq!(files.source.to_string(), "https://files/store/user/dir/");
    assert_eq!(
        (files.program.as_str(), files.extent),
        ("prog.py", Extent::Folder)
    );
    let (username, password) = files.arena_mqtt_auth.unwrap();
    assert_eq!((username.as_str(), password.expose()), ("me", "hunter2"));
    let idle = IdleRule {
        timeout_sec: 60,
        check_interval_sec: 30,
        cpu_threshold_percent: 0.5,
        net_threshold_bytes: 0,
        blkio_threshold_bytes: 0,
    };
    assert_eq!(plan.handling.idle, Some(idle));
    assert_eq!(plan.handling.streams, [Stream::Stdout, Stream::Stderr]);
}

/// The request of a runtime behind the orchestrator of 2023, as it was seen.
#[test]
fn webassembly_runs_without_a_filetype() {
    let settings = settings("dialect: manager\nlauncher: {env: B=2, pipe_stdout: false}\n");
    let args = json!({"argv": ["x"], "env": ["A=1"], "limit": 60.0});
    let plan = planned(
        &settings,
        &Program {
            args,
            ..program("wasm/hello.wasm")
        },
    );
    let expected = json!({
        "image": "file:/state/files/m/hello.wasm", "command": ["x"], "stdin": true, "timeout": 60.0,
    });
    assert_eq!(config(&plan), expected);
    serde_json::from_value::<wasm::Config>(config(&plan)).unwrap();
    assert_eq!(
        (plan.spec.plugin.as_str(), plan.spec.config_type.as_str()),
        ("wasm", "wasm")
    );
    assert_eq!(plan.spec.image.image, "file:/state/files/m/hello.wasm");
    assert!(plan.spec.remove_image);
    assert_eq!(plan.spec.env.len(), 3);
    assert_eq!(plan.handling.longest_run_sec, None);
    assert_eq!(plan.handling.streams, []);
    let files = plan.files.unwrap();
    assert_eq!(files.source.to_string(), "https://files/store/wasm/");
    assert_eq!(
        (files.program.as_str(), files.extent),
        ("hello.wasm", Extent::File)
    );
    assert_eq!(files.arena_mqtt_auth, None);
}

#[test]
fn arguments_come_in_four_shapes() {
    let settings = settings("");
    let command = |args: Value| {
        let plan = planned(
            &settings,
            &Program {
                args,
                ..program("u/x.wasm")
            },
        );
        config(&plan)["command"].clone()
    };
    assert_eq!(command(Value::Null), json!([]));
    assert_eq!(command(json!([])), json!([]));
    assert_eq!(
        command(json!(["a b", 1, true])),
        json!(["a b", "1", "true"])
    );
    assert_eq!(command(json!("a  b")), json!(["a", "b"]));
    assert_eq!(
        command(json!({"argv": "a b", "channels": null})),
        json!(["a", "b"])
    );
    assert_eq!(
        command(json!({"argv": null, "dirs": null, "limit": null})),
        json!([])
    );
}

#[test]
fn limits_are_kept_by_whoever_can() {
    let settings = settings("");
    let args = json!({
        "limit": 1.5, "fault_crash": "restart", "resources": {"period": 10_000_000, "runtime": 2_500_000},
    });
    let of = |file: &str| {
        planned(
            &settings,
            &Program {
                args: args.clone(),
                ..program(file)
            },
        )
    };
    let wasm = of("u/x.wasm");
    assert_eq!(wasm.spec.config["timeout"], json!(1.5));
    assert_eq!(wasm.spec.config["restart"], json!("on-failure"));
    assert_eq!(wasm.spec.config["cpus"], json!(0.25));
    assert_eq!(wasm.handling.longest_run_sec, None);
    serde_json::from_value::<wasm::Config>(config(&wasm)).unwrap();
    let python = of("u/x.py");
    assert_eq!(python.spec.config.get("timeout"), None);
    assert_eq!(python.handling.longest_run_sec, Some(1.5));
    // The newest dialect has them beside the arguments, and then these hold.
    let beside = Program {
        resources: json!({"runtime": 5_000_000}),
        fault_crash: json!("ignore"),
        args: args.clone(),
        ..program("u/x.py")
    };
    let plan = planned(&settings, &beside);
    assert_eq!(plan.spec.config["cpus"], json!(0.5));
    assert_eq!(plan.spec.config.get("restart"), None);
}

#[test]
fn folders_are_given_only_from_below_the_programs_own() {
    let settings = settings("");
    let of = |dirs: Value| {
        let program = Program {
            args: json!({"dirs": dirs}),
            ..program("u/x.wasm")
        };
        plan(&settings, &program, Path::new(DIR))
    };
    let plan = of(json!([".", "./data/"])).unwrap();
    let mounts = json!([
        {"type": "bind", "source": "/state/files/m/", "target": ".", "read_only": false},
        {"type": "bind", "source": "/state/files/m/data", "target": "/data", "read_only": false},
    ]);
    assert_eq!(config(&plan)["mounts"], mounts);
    assert_eq!(plan.files.unwrap().extent, Extent::Folder);
    for bad in ["/", "/etc", "..", "data/../..", "", "a\0", "host:/etc/.."] {
        let error = of(json!([bad])).unwrap_err();
        assert!(
            matches!(error, Error::Member("args.dirs", _)),
            "{bad:?}: {error}"
        );
    }
    let in_a_container = Program {
        args: json!({"dirs": ["data"]}),
        ..program("u/x.py")
    };
    let error = super::plan(&settings, &in_a_container, Path::new(DIR)).unwrap_err();
    assert!(matches!(error, Error::Member("args.dirs", _)));
}

#[test]
fn an_image_runs_as_it_is() {
    let settings = settings("");
    let of = |file: &str, args: Value| Program {
        filetype: Some("ctn".to_owned()),
        args,
        ..program(file)
    };
    let plan = planned(
        &settings,
        &of("docker.io/library/busybox:1", json!(["sh", "-c", "true"])),
    );
    let expected = json!({
        "image": "docker.io/library/busybox:1", "command": ["sh", "-c", "true"], "stdin": true,
    });
    assert_eq!(config(&plan), expected);
    assert!(plan.files.is_none());
    let plan = planned(&settings, &of("busybox", Value::Null));
    assert_eq!(config(&plan), json!({"image": "busybox", "stdin": true}));
    for bad in [
        "",
        " ",
        "file:/etc/passwd",
        "oci:/x",
        "/x",
        "./x",
        "a b",
        "a\nb",
    ] {
        let error = super::plan(&settings, &of(bad, Value::Null), Path::new(DIR)).unwrap_err();
        assert_eq!(error, Error::Image(bad.to_owned()));
    }
}

#[test]
fn other_types_are_data() {
    let settings = settings(
        "dialect: g2\nlauncher: {SH: {image: busybox, cmd: [sh, -e], workdir: /w, \
         env: {A: 1, B: 2}, config: {network: none}}, CTN: null}\n",
    );
    let program = Program {
        filetype: Some("SH".to_owned()),
        env: json!({"B": "own"}),
        ..program("run.sh")
    };
    let plan = planned(&settings, &program);
    let expected = json!({
        "image": "busybox", "command": ["sh", "-e", "run.sh"], "working_dir": "/w", "stdin": true,
        "network": "none", "mounts": [{"type": "bind", "source": DIR, "target": "/w"}],
    });
    assert_eq!(config(&plan), expected);
    assert_eq!(
        (plan.spec.env["A"].as_str(), plan.spec.env["B"].as_str()),
        ("1", "own")
    );
    assert_eq!(plan.files.unwrap().arena_mqtt_auth, None);
    let none = Program {
        filetype: Some("CTN".to_owned()),
        ..program
    };
    let error = super::plan(&settings, &none, Path::new(DIR)).unwrap_err();
    assert_eq!(error.to_string(), "No launcher configured for type CTN");
}

#[test]
fn what_can_not_be_meant_is_an_error() {
    let settings = settings("");
    let with = |args: Value| Program {
        args,
        ..program("u/x.wasm")
    };
    let cases = [
        with(json!({"limit": 0})),
        with(json!({"limit": -1})),
        with(json!({"limit": "soon"})),
        with(json!({"repeat": 3})),
        with(json!({"argv": [["a"], ["b"]]})),
        with(json!({"argv": ["a\0b"]})),
        with(json!({"env": ["A"]})),
        with(json!({"fault_crash": "panic"})),
        with(json!({"resources": {"runtime": 20_000_000}})),
        with(json!({"resources": {"runtime": 0}})),
        with(json!({"resources": 5})),
        with(json!(5)),
        Program {
            env: json!("A"),
            ..program("u/x.wasm")
        },
        Program {
            env: json!({"A=B": "x"}),
            ..program("u/x.wasm")
        },
        Program {
            env: json!({"A": ["x"]}),
            ..program("u/x.wasm")
        },
    ];
    for program in cases {
        let error = plan(&settings, &program, Path::new(DIR)).unwrap_err();
        assert!(matches!(error, Error::Member(..)), "{program:?}: {error}");
    }
    let error = |file: &str| plan(&settings, &program(file), Path::new(DIR)).unwrap_err();
    assert_eq!(error("hello"), Error::NoType("hello".to_owned()));
    assert!(matches!(error("../x.wasm"), Error::File(_)));
    assert!(matches!(error("/etc/x.py"), Error::File(_)));
    let mut none = settings.clone();
    none.repository.url = None;
    let error = plan(&none, &program("x.py"), Path::new(DIR)).unwrap_err();
    assert_eq!(error, Error::NoRepository);
}

#[test]
fn a_folder_of_this_machine_is_a_repository_too() {
    let mut settings = settings("");
    settings.repository.url = Some("/srv/programs".to_owned());
    let plan = planned(&settings, &program("user/x.py"));
    let source = Source::Folder {
        root: "/srv/programs".into(),
        below: "user".into(),
    };
    assert_eq!(plan.files.unwrap().source, source);
    assert_eq!(
        settings.runtime.inactivity_timeout,
        Some(Duration::from_secs(60))
    );
}
