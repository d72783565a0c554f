//! `shellrt-edged manager` above `shellrt-containerd`.

use std::process::Command;

use serde_json::{json, Value};
use tests::binaries::program;
use tests::image::Image;
use tests::registry::{self, Registry};
use tests::shellrt::Shellrt;

use crate::process::Process;
use crate::site::{create, stdio, Site};

#[test]
fn containers_are_modules_too() {
    let Some(shellrt) = Shellrt::start() else {
        return;
    };
    let Some(registry) = Registry::start(&registry::Options::default()) else {
        return;
    };
    let Some(site) = Site::new() else { return };
    let busybox = Image::busybox().config(json!({"Cmd": ["sh"], "Env": ["PATH=/bin"]}));
    let image = busybox.push(&registry, "busybox", "1");
    let mut config = site.config.clone();
    config["edge"]["plugins"] = json!({"containerd": program("shellrt-containerd")});
    let file = site.dir.path().join("config.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let mut command = Command::new(program("shellrt-edged"));
    command.args(["manager", "-n", "edge1", "-r", "plugin/containerd", "-c"]);
    command.arg(file);
    for (name, value) in &shellrt.environment {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let _manager = Process::start(command);
    let runtime = site.register_all();
    let ask = |uuid: &str, args: Value| {
        let mut message = create(&runtime, uuid, &image);
        message["data"]["args"] = args;
        let topic = format!("realm/proc/control/{runtime}");
        site.broker.publish(&topic, message.to_string());
    };
    ask(
        "m-1",
        json!({"argv": ["sh", "-c", "echo $A; read line; echo got $line; exit 3"], "env": ["A=one"]}),
    );
    assert_eq!(site.heard.wait_for(&stdio("m-1")).text(), "one\n");
    site.broker.publish(&stdio("m-1"), "two\n");
    site.said("m-1", "got two\n");
    let exited = site.exited(&runtime, "m-1");
    assert_eq!(exited["data"]["exit_code"], 3);
    // No plugin ends a container after a time, so the runtime does.
    ask(
        "m-2",
        json!({"argv": ["sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.1; done"], "limit": 1.0}),
    );
    let exited = site.exited(&runtime, "m-2");
    assert_eq!(exited["data"]["reason"], "time limit");
    assert_eq!(exited["data"]["exit_code"], 9);
    ask("m-3", json!({"dirs": ["."]}));
    let exited = site.exited(&runtime, "m-3");
    let error = exited["data"]["error"].as_str().unwrap();
    assert!(error.contains("args.dirs"), "{error}");
    tests::plugin::until("nothing is left", || {
        shellrt.ok(&json!({"_type": "list"}))["modules"] == json!([])
    });
}
