//! Every command line of the issue tracker and of the help texts, and the bytes that it sends. The
//! bytes are written by hand, from SPEC.md.

use super::harness::{answers, driver, OK};

/// An answer with everything that any message needs.
const EVERYTHING: &str = r#"{"_version":"0.1.0","_status":"ok","modules":[],"status":"running","status_description":"","image_id":"","started_at":0,"info":"","processes":[],"os_type":"","operating_system":"","kernel_version":"","architecture":"","cpus":1,"memory_bytes":1,"hostname":"","runtime":"","runtime_version":"","images":[],"bytes":0,"exit_code":0,"stdout":"","stderr":"","truncated":false,"health":"none","output":"","checked_at":0}"#;

/// What each line sends, without `_version`.
const LINES: &[(&str, &str)] = &[
    // The lines that are known from the field.
    (
        "PLUGIN img_pull IMAGE",
        r#""_type":"img_pull","image":"IMAGE","credentials":{}"#,
    ),
    (
        "PLUGIN img_pull -u USER -p PASS IMAGE",
        r#""_type":"img_pull","image":"IMAGE","credentials":{"password":"PASS","username":"USER"}"#,
    ),
    (
        "PLUGIN img_pull IMAGE -u USER -p PASS",
        r#""_type":"img_pull","image":"IMAGE","credentials":{"password":"PASS","username":"USER"}"#,
    ),
    (
        "PLUGIN -u USER -p PASS img_pull IMAGE",
        r#""_type":"img_pull","image":"IMAGE","credentials":{"password":"PASS","username":"USER"}"#,
    ),
    (
        "-u USER -p PASS PLUGIN img_pull IMAGE",
        r#""_type":"img_pull","image":"IMAGE","credentials":{"password":"PASS","username":"USER"}"#,
    ),
    (
        "PLUGIN create containerd-cri NAME IMAGE",
        r#""_type":"create","name":"NAME","env":{},"config_type":"containerd-cri","config":{"image":"IMAGE"}"#,
    ),
    ("PLUGIN start NAME", r#""_type":"start","name":"NAME""#),
    ("PLUGIN restart NAME", r#""_type":"restart","name":"NAME""#),
    ("PLUGIN remove NAME", r#""_type":"remove","name":"NAME""#),
    ("PLUGIN status NAME", r#""_type":"status","name":"NAME""#),
    (
        "PLUGIN stop NAME",
        r#""_type":"stop","name":"NAME","timeout":10"#,
    ),
    (
        "PLUGIN stop NAME 0",
        r#""_type":"stop","name":"NAME","timeout":0"#,
    ),
    (
        "PLUGIN stop NAME -1",
        r#""_type":"stop","name":"NAME","timeout":-1"#,
    ),
    (
        "PLUGIN logs NAME",
        r#""_type":"logs","name":"NAME","follow":false,"tail":null,"since":null"#,
    ),
    (
        "PLUGIN logs NAME -f --since 1700000000 -n 5",
        r#""_type":"logs","name":"NAME","follow":true,"tail":5,"since":1700000000"#,
    ),
    ("PLUGIN list", r#""_type":"list""#),
    (
        "PLUGIN img_remove IMAGE",
        r#""_type":"img_remove","image":"IMAGE""#,
    ),
    ("PLUGIN version", r#""_type":"version""#),
    // The additions.
    (
        "PLUGIN img_pull IMAGE --platform linux/arm64/v8 --policy if_reachable --progress",
        r#""_type":"img_pull","image":"IMAGE","credentials":{},"platform":"linux/arm64/v8","policy":"if_reachable","progress":true"#,
    ),
    (
        "PLUGIN img_pull -u USER IMAGE",
        r#""_type":"img_pull","image":"IMAGE","credentials":{"username":"USER"}"#,
    ),
    (
        "PLUGIN img_remove IMAGE --force",
        r#""_type":"img_remove","image":"IMAGE","force":true"#,
    ),
    ("PLUGIN img_list", r#""_type":"img_list""#),
    (
        "PLUGIN remove NAME --force",
        r#""_type":"remove","name":"NAME","force":true"#,
    ),
    ("PLUGIN list --details", r#""_type":"list","details":true"#),
    (
        "PLUGIN logs NAME --since -1 --until 7 --since-ns 9 --timestamps --stream stdout",
        r#""_type":"logs","name":"NAME","follow":false,"tail":null,"since":-1,"until":7,"since_ns":9,"timestamps":true,"streams":["stdout"]"#,
    ),
    (
        "PLUGIN logs -t --stream stderr,stdout NAME",
        r#""_type":"logs","name":"NAME","follow":false,"tail":null,"since":null,"timestamps":true,"streams":["stderr","stdout"]"#,
    ),
    ("PLUGIN top NAME", r#""_type":"top","name":"NAME""#),
    ("PLUGIN sys_info", r#""_type":"sys_info""#),
    ("PLUGIN wait NAME", r#""_type":"wait","name":"NAME""#),
    (
        "PLUGIN wait NAME --timeout 5m",
        r#""_type":"wait","name":"NAME","timeout":300"#,
    ),
    (
        "PLUGIN attach NAME --stream stderr",
        r#""_type":"attach","name":"NAME","stdin":false,"streams":["stderr"],"close_stdin":false"#,
    ),
    (
        "PLUGIN exec -e A=b --timeout 3 NAME ls -l --all",
        r#""_type":"exec","name":"NAME","args":["ls","-l","--all"],"env":{"A":"b"},"timeout":3"#,
    ),
    (
        "PLUGIN exec NAME -- -x -- y",
        r#""_type":"exec","name":"NAME","args":["-x","--","y"]"#,
    ),
    ("PLUGIN health NAME", r#""_type":"health","name":"NAME""#),
    ("PLUGIN prune", r#""_type":"prune","images":false"#),
    (
        "PLUGIN prune --images --older-than 24h",
        r#""_type":"prune","images":true,"older_than":86400"#,
    ),
    ("PLUGIN events", r#""_type":"events","follow":false"#),
    (
        "PLUGIN events --follow --since 7",
        r#""_type":"events","since":7,"follow":true"#,
    ),
    (
        "PLUGIN create wasm NAME IMAGE -e A=b=c --memory 64m --restart on-failure:3 -- --fast",
        r#""_type":"create","name":"NAME","env":{"A":"b=c"},"config_type":"wasm","config":{"command":["--fast"],"image":"IMAGE","mem_limit":67108864,"restart":"on-failure:3"}"#,
    ),
    (
        "PLUGIN create wasm NAME IMAGE --mount /srv/data:/data:ro --mount /srv/out:/out",
        r#""_type":"create","name":"NAME","env":{},"config_type":"wasm","config":{"image":"IMAGE","mounts":[{"read_only":true,"source":"/srv/data","target":"/data","type":"bind"},{"read_only":false,"source":"/srv/out","target":"/out","type":"bind"}]}"#,
    ),
    (
        "PLUGIN create containerd NAME IMAGE -u 33:33 --volume data:/data --cap-drop ALL --pids-limit -1 --stop-timeout 30 -t -- -v",
        r#""_type":"create","name":"NAME","env":{},"config_type":"containerd","config":{"cap_drop":["ALL"],"command":["-v"],"image":"IMAGE","mounts":[{"source":"data","target":"/data","type":"volume"}],"pids_limit":-1,"stop_grace_period":30,"tty":true,"user":"33:33"}"#,
    ),
    (
        "PLUGIN create containerd NAME IMAGE --entrypoint /bin/sh --mount /srv:/a:ro --tmpfs /run",
        r#""_type":"create","name":"NAME","env":{},"config_type":"containerd","config":{"entrypoint":["/bin/sh"],"image":"IMAGE","mounts":[{"read_only":true,"source":"/srv","target":"/a","type":"bind"}],"tmpfs":["/run"]}"#,
    ),
    (
        "--timeout 1.5 PLUGIN list",
        r#""_type":"list","_deadline_ms":1500"#,
    ),
];

#[test]
fn lines_send_exactly_this() {
    for (line, expected) in LINES {
        let expected = format!("{{\"_version\":\"0.1.0\",{expected}}}");
        let is_stream = ["logs", "attach", "events"]
            .iter()
            .any(|message| expected.contains(&format!("\"_type\":\"{message}\"")));
        let answer = if expected.contains("\"progress\"") {
            format!("{OK}\\0{{\"event\":\"done\",\"digest\":\"d\"}}\\n")
        } else if is_stream {
            format!("{OK}\\0")
        } else {
            EVERYTHING.to_owned()
        };
        let ran = driver(line, &answers(&answer)).run().expect(0);
        assert_eq!(ran.sent(), expected, "{ran}");

        let dry = driver(line, &answers(&answer)).arg("--dry-run");
        // After "--" it would be an argument of the command.
        let dry = if line.contains(" -- ") || line.contains(" ls ") {
            driver(&format!("--dry-run {line}"), &answers(&answer))
        } else {
            dry
        };
        let ran = dry.run().expect(0);
        assert_eq!(ran.text(), format!("{expected}\n"), "{ran}");
        assert!(ran.sent.is_none(), "a dry run started the plugin\n{ran}");
    }
}

#[test]
fn variables_come_from_everywhere() {
    let run = driver(
        "--dry-run PLUGIN create x NAME IMAGE -e HERE -e B=flag --env-file",
        "",
    );
    let file = run.folder().join("env");
    std::fs::write(&file, "# comment\n\nA=from file \nB=file\nHERE\n").expect("it is our folder");
    let file = file.to_string_lossy().into_owned();
    let ran = run.arg(&file).env("HERE", "from here").run().expect(0);
    let env = ran.json()["env"].clone();
    let expected = serde_json::json!({"A": "from file ", "B": "flag", "HERE": "from here"});
    assert_eq!(env, expected, "{ran}");

    let unset = "--dry-run PLUGIN create x NAME IMAGE -e SURELY_NOT_SET";
    let ran = driver(unset, "").run().expect(64);
    ran.says(&["SURELY_NOT_SET"]);
}

#[test]
fn a_config_comes_from_a_file_or_stdin() {
    let odd = r#"{"anything":["goes",{"here":null}],"big":18446744073709551615}"#;
    let line = "PLUGIN create their-type NAME --config -";
    let ran = driver(line, &answers(OK)).stdin(odd).run().expect(0);
    let expected = format!(
        r#"{{"_version":"0.1.0","_type":"create","name":"NAME","env":{{}},"config_type":"their-type","config":{odd}}}"#
    );
    assert_eq!(ran.sent(), expected, "{ran}");

    let run = driver(
        "--dry-run PLUGIN create wasm NAME --memory 64m --config",
        "",
    );
    let file = run.folder().join("config.json");
    std::fs::write(&file, r#"{"image":"a","mem_limit":1,"command":["x"]}"#).expect("our folder");
    let file = file.to_string_lossy().into_owned();
    let ran = run.arg(&file).run().expect(0);
    let expected = serde_json::json!({"image": "a", "mem_limit": 67108864, "command": ["x"]});
    assert_eq!(ran.json()["config"], expected, "{ran}");
}

#[test]
fn a_wrong_config_is_never_sent() {
    for (line, stdin, word) in [
        (
            "wasm NAME --config -",
            r#"{"image":"a","comand":[]}"#,
            "comand",
        ),
        ("wasm NAME --config -", "{", "not JSON"),
        ("wasm NAME --config /does/not/exist", "", "/does/not/exist"),
        ("wasm NAME", "", "image is missing"),
        ("x NAME IMAGE --config -", "{}", "image belongs there"),
        ("x NAME IMAGE --memory 1m", "", "no place"),
    ] {
        let line = format!("PLUGIN create {line}");
        let ran = driver(&line, &answers(OK)).stdin(stdin).run().expect(64);
        assert!(ran.sent.is_none(), "{ran}");
        assert!(ran.stdout.is_empty(), "{ran}");
        ran.says(&[word]);
    }
}

#[test]
fn raw_is_untouched() {
    let odd = b" {\"_type\":\"x\"}\n\0\xff\0rest".to_vec();
    let answer = format!("  {OK}\\n\\0\\0377");
    let ran = driver("PLUGIN raw", &answers(&answer))
        .stdin(odd.clone())
        .run()
        .expect(0);
    assert_eq!(ran.sent.as_deref(), Some(odd.as_slice()), "{ran}");
    let mut expected = format!("  {OK}\n\0").into_bytes();
    expected.push(0xff);
    assert_eq!(ran.stdout, expected, "{ran}");

    let dry = driver("--dry-run PLUGIN raw", "")
        .stdin(odd.clone())
        .run()
        .expect(0);
    assert_eq!(dry.stdout, odd, "{dry}");
}
