//! A function that is a container, with a containerd of the test's own.

use serde_json::json;
use tests::edgeless::{answer, base64, input, ok, reply, Edged, Node};
use tests::image::{Compression, Image, Layer};
use tests::registry::{self, Registry};
use tests::shellrt::Shellrt;

#[test]
fn a_container_is_a_function() {
    let (Some(shellrt), Some(registry)) = (
        Shellrt::start(),
        Registry::start(&registry::Options::default()),
    ) else {
        return;
    };
    let script = include_bytes!("function.sh");
    let layer = Layer::new().file("function.sh", 0o755, script);
    let image = Image::busybox()
        .layer(layer, Compression::Gzip)
        .push(&registry, "function", "1");
    let arguments = ["--plugin", "containerd", "--module", &image];
    let command = ["--", "/bin/sh", "/function.sh"];
    let edged = Edged::start_in(
        &[&arguments[..], &command[..]].concat(),
        &shellrt.environment,
    );
    let Some(mut node) = Node::start(edged.ports[0]) else {
        return;
    };
    for round in 0..2 {
        assert_eq!(node.boot("f"), ok());
        let init = json!({"init_payload": format!("round={round}")});
        assert_eq!(node.call("Init", init), ok());
        let line = node.heard("TelemetryLog");
        assert_eq!(
            (&line["target"], &line["msg"]),
            (&json!("shell"), &json!(format!("round={round}")))
        );
        assert_eq!(node.ask("ä b"), reply("ä b"));
        node.cast("on we go");
        let cast = node.heard("Cast");
        assert_eq!(
            (&cast["alias"], &cast["msg"]),
            (&json!("next"), &json!(base64(b"on we go")))
        );
        assert_eq!(node.ask("ask a b"), reply("re: a b"));
        // It is a container, and none is left.
        assert_eq!(containers(&shellrt), 1);
        if round == 0 {
            assert_eq!(node.call("Stop", json!({})), ok());
        } else {
            let open = node.begin("Call", input(b"die"));
            assert_eq!(node.end(open), json!({"ok": answer("CALL_RET_ERR")}));
            edged.logs("has ended by itself");
        }
        tests::plugin::until("the container is gone", || containers(&shellrt) == 0);
    }
    assert_eq!(edged.end().code(), Some(0));
    let left = shellrt.containerd.left_of_modules();
    assert!(left.is_empty(), "{left:#?}");
}

fn containers(shellrt: &Shellrt) -> usize {
    let listed = shellrt.ok(&json!({"_type": "list"}));
    listed["modules"].as_array().unwrap().len()
}
