//! Programs that run in containers, with a containerd of the test's own.

use serde_json::json;
use tests::binaries::program;
use tests::image::Image;
use tests::registry::{self, Registry};
use tests::shellrt::Shellrt;

use super::fleet::{Fleet, RT};

/// Where a program's files are in its container.
const WORKDIR: &str = "/usr/src/app";

#[test]
fn a_program_with_its_files_in_a_container() {
    let Some(shellrt) = Shellrt::start() else {
        return;
    };
    let Some(registry) = Registry::start(&registry::Options::default()) else {
        return;
    };
    let Some(mut fleet) = Fleet::prepare("applauncher", json!({}), json!({})) else {
        return;
    };
    // A shell stands in for Python.
    let image = Image::busybox().push(&registry, "runner", "1");
    fleet.environment = shellrt.environment.clone();
    let plugins =
        json!({"wasm": program("shellrt-wasm"), "containerd": program("shellrt-containerd")});
    fleet.set("edge", "plugins", plugins);
    let python = json!({"cmd": "sh", "docker": {"image": image, "workdir": WORKDIR,
        "run_opts": {"auto_remove": true, "network_mode": "host"}}});
    fleet.set("launcher", "PY", python);
    let script = "cat data/text; echo \"$PROGRAM_OBJECT_ID $1 $NAMESPACE\" >&2; read line; echo got $line; exit 3";
    std::fs::write(fleet.repository().join("wasm/prog.py"), script).unwrap();
    std::fs::create_dir(fleet.repository().join("wasm/data")).unwrap();
    std::fs::write(
        fleet.repository().join("wasm/data/text"),
        "text of a file\n",
    )
    .unwrap();
    fleet.run();
    fleet.register(json!({}));

    let mut request = fleet.request("o", "m-1", "");
    request["data"]["file"] = json!("prog.py");
    request["data"]["filetype"] = json!("PY");
    fleet.broker.publish(fleet.control(), request.to_string());
    let mio = "realm/s/ns1/sc1/p/m-1";
    fleet.wait("it runs", mio, |it| it["data"]["result"] == "ok");
    fleet.wait_for_output(&format!("{mio}/-/stdout"), r#""text of a file\n""#);
    fleet.wait_for_output(&format!("{mio}/-/stderr"), r#""m-1 x ns1\n""#);
    fleet.broker.publish(&format!("{mio}/-/stdin"), "a line");
    fleet.wait_for_output(&format!("{mio}/-/stdout"), r#""got a line\n""#);
    fleet.wait("its end", mio, |it| {
        it["action"] == "delete" && it["type"] == "req" && it["from"] == RT
    });
    fleet.end();
    let left = shellrt.containerd.left_of_modules();
    assert!(left.is_empty(), "{left:#?}");
}
