//! What docker's create requests mean, by docker's documentation of its API (ContainerCreate) and of
//! `docker run`. The expected configs are written in the words of SPEC.md.

mod limits;
mod network;
mod places;

use serde_json::{json, Value};
use shellrt_api::v0::config::{self, containerd, docker};
use shellrt_api::v0::{Code, Error};

use super::{map, Machine, Mapped};

fn mapped_on(machine: &Machine, body: Value) -> Result<Mapped, Error> {
    let (body, unknown) = docker::decode(&body)?;
    let mapped = map(body, unknown, machine)?;
    match mapped.config.check() {
        Ok(()) => Ok(mapped),
        Err(error) => Err(mapped.as_docker(error)),
    }
}

fn mapped(mut body: Value) -> Result<Mapped, Error> {
    body["Image"] = json!("a");
    mapped_on(&Machine::default(), body)
}

/// A body with this `HostConfig` means this config.
fn host(host: Value, expected: Value) {
    whole(json!({ "HostConfig": host }), expected);
}

/// A body means this config, and all of it is honoured.
fn whole(body: Value, mut expected: Value) {
    expected["image"] = json!("a");
    let expected: containerd::Config = config::decode(&expected).unwrap();
    let mapped = mapped(body.clone()).unwrap_or_else(|error| panic!("{body}: {error}"));
    assert_eq!(mapped.config, expected, "{body}");
    assert_eq!(mapped.ignored, [""; 0], "{body}");
}

fn ignored(body: Value, expected: &[&str]) {
    assert_eq!(mapped(body.clone()).unwrap().ignored, expected, "{body}");
}

fn refused(body: Value, path: &str) {
    let error = mapped(body.clone()).expect_err(&body.to_string());
    assert_eq!(error.code, Code::INVALID_CONFIG, "{error}");
    assert_eq!(error.detail["path"], path, "{body}: {error}");
}

#[test]
fn what_is_run() {
    whole(
        json!({
            "Cmd": ["b", "c d"], "User": "1:2", "WorkingDir": "/w", "Hostname": "h",
            "Labels": {"l": "m"}, "StopSignal": "SIGINT", "StopTimeout": 3, "Tty": true,
            "OpenStdin": true, "AttachStdout": true, "ExposedPorts": {"80/tcp": {}},
            "HostConfig": {"GroupAdd": ["video"], "OomScoreAdj": 7}
        }),
        json!({
            "command": ["b", "c d"], "user": "1:2", "working_dir": "/w", "hostname": "h",
            "labels": {"l": "m"}, "stop_signal": "SIGINT", "stop_grace_period": 3, "tty": true,
            "stdin": true, "group_add": ["video"], "oom_score_adj": 7
        }),
    );
    whole(json!({"Cmd": []}), json!({}));
    whole(json!({"Cmd": "b c"}), json!({"command": ["b c"]}));
    whole(json!({"Entrypoint": ["e"]}), json!({"entrypoint": ["e"]}));
    let cleared = json!({"entrypoint": [], "command": ["b"]});
    whole(json!({"Entrypoint": [], "Cmd": ["b"]}), cleared.clone());
    whole(json!({"Entrypoint": [""], "Cmd": ["b"]}), cleared);
    refused(json!({"Entrypoint": []}), "/config/Entrypoint");
    refused(json!({"StopTimeout": -1}), "/config/StopTimeout");
    refused(json!({"StopSignal": "SIGX"}), "/config/StopSignal");
    refused(json!({"User": "a b"}), "/config/User");
    refused(json!({"WorkingDir": "w"}), "/config/WorkingDir");
    let error = mapped_on(&Machine::default(), json!({"Cmd": ["b"]})).unwrap_err();
    assert_eq!(error.detail["path"], "/config/Image");
}

#[test]
fn the_environment() {
    let mapped = mapped(json!({"Env": ["A=b=c", "D=", "HOME", "A=last"]})).unwrap();
    let variables: Vec<_> = mapped.env.iter().collect();
    let text = |text: &str| text.to_owned();
    assert_eq!(
        variables,
        [(&text("A"), &text("last")), (&text("D"), &String::new())]
    );
    assert_eq!(mapped.ignored, ["/config/Env/2"]);
    refused(json!({"Env": ["A=b", "=c"]}), "/config/Env/1");
}

#[test]
fn logs_and_restarts() {
    let config = json!({"max-size": "20m", "max-file": "5"});
    for kind in ["", "json-file", "local"] {
        host(
            json!({"LogConfig": {"Type": kind, "Config": config}}),
            json!({"log": {"max_size": "20m", "max_files": 5}}),
        );
    }
    ignored(
        json!({"HostConfig": {"LogConfig": {"Type": "journald", "Config": {"tag": "x"}}}}),
        &["/config/HostConfig/LogConfig"],
    );
    ignored(
        json!({"HostConfig": {"LogConfig": {"Config": {"compress": "true", "max-file": "2"}}}}),
        &["/config/HostConfig/LogConfig/Config/compress"],
    );
    for (key, value) in [("max-size", "x"), ("max-file", "x")] {
        refused(
            json!({"HostConfig": {"LogConfig": {"Config": {key: value}}}}),
            &format!("/config/HostConfig/LogConfig/Config/{key}"),
        );
    }
    for (policy, restart) in [
        (json!({"Name": ""}), "no"),
        (json!({"Name": "no", "MaximumRetryCount": 0}), "no"),
        (json!({"Name": "always"}), "always"),
        (json!({"Name": "unless-stopped"}), "unless-stopped"),
        (json!({"Name": "on-failure"}), "on-failure"),
        (
            json!({"Name": "on-failure", "MaximumRetryCount": 3}),
            "on-failure:3",
        ),
    ] {
        host(
            json!({"RestartPolicy": policy}),
            json!({"restart": restart}),
        );
    }
    for (policy, field) in [
        (json!({"Name": "never"}), "Name"),
        (
            json!({"Name": "always", "MaximumRetryCount": 3}),
            "MaximumRetryCount",
        ),
        (
            json!({"Name": "on-failure", "MaximumRetryCount": -1}),
            "MaximumRetryCount",
        ),
    ] {
        refused(
            json!({"HostConfig": {"RestartPolicy": policy}}),
            &format!("/config/HostConfig/RestartPolicy/{field}"),
        );
    }
}

#[test]
fn checks() {
    whole(
        json!({"Healthcheck": {"Test": ["CMD-SHELL", "a || b"], "Interval": 5000000000_u64,
                               "Timeout": 1500000000, "Retries": 2, "StartPeriod": 1000000000}}),
        json!({"healthcheck": {"test": "a || b", "interval": "5s", "timeout": "1.5s", "retries": 2,
                               "start_period": "1s"}}),
    );
    whole(
        json!({"Healthcheck": {"Test": ["NONE"]}}),
        json!({"healthcheck": {"test": ["NONE"]}}),
    );
    whole(
        json!({"Healthcheck": {"Test": [], "Interval": 0}}),
        json!({}),
    );
    ignored(
        json!({"Healthcheck": {"Test": ["CMD", "a"], "StartInterval": 5}}),
        &["/config/Healthcheck/StartInterval"],
    );
    refused(
        json!({"Healthcheck": {"Test": ["a"]}}),
        "/config/Healthcheck/Test",
    );
    refused(
        json!({"Healthcheck": {"Interval": -1}}),
        "/config/Healthcheck/Interval",
    );
    refused(
        json!({"Healthcheck": {"Timeout": 1}}),
        "/config/Healthcheck",
    );
}

#[test]
fn what_has_no_effect_is_named() {
    ignored(
        json!({
            "StdinOnce": true, "MacAddress": "02:00:00:00:00:01",
            "HostConfig": {
                "AutoRemove": true, "Init": true, "PublishAllPorts": true, "CgroupnsMode": "host",
                "DeviceCgroupRules": ["c 189:* rmw"], "VolumeDriver": "local"
            }
        }),
        &[
            "/config/HostConfig/AutoRemove",
            "/config/HostConfig/CgroupnsMode",
            "/config/HostConfig/DeviceCgroupRules",
            "/config/HostConfig/Init",
            "/config/HostConfig/PublishAllPorts",
            "/config/HostConfig/VolumeDriver",
            "/config/MacAddress",
            "/config/StdinOnce",
        ],
    );
}

#[test]
fn an_error_says_the_place_that_the_caller_knows() {
    let error = mapped(json!({"HostConfig": {"Memory": 1024}})).unwrap_err();
    let message = error.message;
    assert!(
        message.starts_with("\"HostConfig/Memory\" in the config is wrong: "),
        "{message}"
    );
}

#[test]
fn places_are_as_the_caller_writes_them() {
    let request =
        json!({"config": {"hostconfig": {"Binds": ["a"], "a/b": 1}, "X": {"n": 1, "N": 2}}});
    for (pointer, written) in [
        ("/config/HostConfig/Binds/0", "/config/hostconfig/Binds/0"),
        ("/config/HostConfig/A~1b", "/config/hostconfig/a~1b"),
        ("/config/HostConfig/Memory", "/config/hostconfig/Memory"),
        ("/config/x/N", "/config/X/N"),
        ("", ""),
    ] {
        assert_eq!(super::as_written(&request, pointer), written);
    }
}
