//! Configs from flags, from files and from both.

use serde_json::{json, Value};

use super::{build_wasm, pass_through};
use crate::args::{parse, Asked, Message, WasmFlags};
use crate::failure::Failure;

/// The flags of `create wasm web IMAGE <line>`.
fn flags(line: &str) -> WasmFlags {
    let words = "shellrt-driver x create wasm web IMAGE".split(' ');
    let words = words
        .chain(line.split_whitespace())
        .map(Into::into)
        .collect();
    match parse(words) {
        Ok(Asked::Message(args)) => match args.message {
            Message::Create(create) => create.wasm,
            other => panic!("{other:?}"),
        },
        other => panic!("{line}: {other:?}"),
    }
}

fn message(result: Result<Value, Failure>) -> String {
    match result {
        Err(Failure::Usage(message)) => message,
        other => panic!("{other:?}"),
    }
}

/// Every flag, with the names and units of the config type `wasm`.
#[test]
fn flags_alone() {
    let all = flags(
        "--mount /srv/a:/a --mount /srv/b:/b:ro --memory 64m --cpus 0.5 --timeout 10s --fuel 1000 \
         --restart on-failure:3 -i --connect example.org:443 --connect 10.0.0.0/8 \
         --listen 127.0.0.1:8080 --dns --label a=b -l c --log-max-size 1m --log-max-files 2 \
         --log-stream stderr -- one --two",
    );
    assert_eq!(
        build_wasm(None, Some("a"), &all).unwrap(),
        json!({
            "image": "a",
            "command": ["one", "--two"],
            "mounts": [
                {"type": "bind", "source": "/srv/a", "target": "/a", "read_only": false},
                {"type": "bind", "source": "/srv/b", "target": "/b", "read_only": true}
            ],
            "network": {
                "connect": ["example.org:443", "10.0.0.0/8"],
                "listen": "127.0.0.1:8080",
                "dns": true
            },
            "mem_limit": 67108864,
            "cpus": 0.5,
            "timeout": 10,
            "fuel": 1000,
            "stdin": true,
            "restart": "on-failure:3",
            "log": {"max_size": 1048576, "max_files": 2, "streams": ["stderr"]},
            "labels": {"a": "b", "c": ""}
        })
    );
    assert_eq!(
        build_wasm(None, Some("a"), &WasmFlags::default()).unwrap()["image"],
        "a"
    );
}

#[test]
fn flags_win_over_the_file() {
    let file = json!({
        "image": "a",
        "command": ["x", "y"],
        "mem_limit": "32m",
        "timeout": 5,
        "network": {"connect": ["a:1"], "dns": true},
        "labels": {"a": "1", "b": "2"},
        "log": {"max_files": 7}
    });
    let built = build_wasm(
        Some(file),
        Some("other"),
        &flags("--memory 64m --connect b:2 -l b=3 --log-max-size 1m -- z"),
    )
    .unwrap();
    assert_eq!(built["image"], "other");
    assert_eq!(built["command"], json!(["z"]));
    assert_eq!(built["mem_limit"], 64 << 20);
    assert_eq!(built["timeout"], 5);
    assert_eq!(built["network"], json!({"connect": ["b:2"], "dns": true}));
    assert_eq!(built["labels"], json!({"a": "1", "b": "3"}));
    assert_eq!(built["log"]["max_files"], 7);
    assert_eq!(built["log"]["max_size"], 1 << 20);
}

#[test]
fn a_wrong_file_is_not_sent() {
    let none = WasmFlags::default();
    let wrong = json!({"image": "a", "mem_limt": 1});
    assert!(message(build_wasm(Some(wrong), None, &none)).contains("mem_limt"));
    let wrong = json!({"image": "a", "mounts": [{"type": "bind", "source": 1, "target": "/a"}]});
    assert!(message(build_wasm(Some(wrong), None, &none)).contains("mounts/0"));
    assert!(message(build_wasm(Some(json!([])), None, &none)).contains("config is wrong"));
    assert!(message(build_wasm(None, None, &none)).contains("image is missing"));
    assert!(message(build_wasm(Some(json!({})), None, &none)).contains("image is missing"));
}

#[test]
fn other_config_types_pass_as_they_are() {
    let none = WasmFlags::default();
    let odd = json!(["any", {"thing": null}]);
    assert_eq!(
        pass_through("x", Some(odd.clone()), None, &none).unwrap(),
        odd
    );
    assert_eq!(
        pass_through("x", None, Some("a"), &none).unwrap(),
        json!({"image": "a"})
    );
    assert!(message(pass_through("x", Some(odd), Some("a"), &none)).contains("image belongs there"));
    assert!(message(pass_through("x", None, None, &none)).contains("image is missing"));
    let some = flags("--memory 1m");
    assert!(message(pass_through("x", None, Some("a"), &some)).contains("no place"));
    let command = flags("-- a");
    assert!(message(pass_through("x", None, Some("a"), &command)).contains("no place"));
}
