//! A function that is a module and speaks lines: the Python example, in a WebAssembly Python.

use serde_json::{json, Value};
use tests::binaries::target_dir;
use tests::edgeless::{answer, base64, examples, input, ok, reply, Edged, Node};

use crate::sample;

/// The settings of a function in Python; nothing where there is no Python in WebAssembly.
#[allow(
    clippy::print_stderr,
    reason = "that is where a test says why it did not run"
)]
fn python(scripts: &[(&str, &[&str], &str)]) -> Option<Value> {
    let python = target_dir().join("programs/python.wasm");
    if !python.exists() {
        eprintln!("ignored: tests/programs/fetch has not brought {python:?}");
        return None;
    }
    let function = |(name, command, folder): &(&str, &[&str], &str)| {
        let function = json!({
            "port": 0, "module": python, "command": command,
            "config": {"mounts": [{"type": "bind", "source": folder, "target": "/app"}]},
        });
        ((*name).to_owned(), function)
    };
    let functions: serde_json::Map<_, _> = scripts.iter().map(function).collect();
    Some(json!({"functions": functions, "stop_timeout_sec": 1}))
}

/// One that breaks the protocol in every way it is told to, and one that is given up.
const ODD: &str = r#"
import json, os, sys
def say(**it):
    print(json.dumps(it), flush=True)
for line in sys.stdin:
    it = json.loads(line)
    data = it.get("data", "")
    if it["op"] == "init":
        if data == "refuse":
            say(op="error", message="not today")
        elif data == "exit":
            sys.exit(3)
        else:
            print("hello from init", flush=True)
            say(op="ready")
    elif it["op"] == "error" and "id" not in it:
        say(op="log", level="warn", target="told", message=it["message"])
    elif it["op"] == "call" and data == "exit":
        print("last words", file=sys.stderr, flush=True)
        os._exit(3)
    elif it["op"] == "call" and data == "silence":
        pass
    elif it["op"] == "call" and data == "bytes":
        say(op="reply", id=it["id"], data_base64="/wA=")
    elif it["op"] == "call":
        say(op="reply", id=it["id"], data=json.dumps(it["from"], sort_keys=True))
    elif it["op"] == "cast":
        print(data, flush=True)
"#;

#[test]
fn the_sample_as_a_module() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("odd.py"), ODD).unwrap();
    let examples = examples();
    let Some(settings) = python(&[
        ("odd", &["/app/odd.py"], folder.path().to_str().unwrap()),
        (
            "sample",
            &["/app/edgeless_sample.py"],
            examples.to_str().unwrap(),
        ),
    ]) else {
        return;
    };
    let edged = Edged::configured(&settings, 2);
    let Some(mut node) = Node::start(edged.ports[1]) else {
        return;
    };
    for _ in 0..2 {
        node.run();
        assert_eq!(node.ask("hello"), reply("hello"));
        assert_eq!(node.ask("noret"), answer("CALL_RET_NO_REPLY"));
        assert_eq!(node.ask("err"), answer("CALL_RET_ERR"));
        assert_eq!(node.ask("recall next a b"), reply("re: a b"));
        // An open call holds up nothing, and ends with the instance.
        let open = node.begin("Call", input(b"recall slow x"));
        assert_eq!(node.ask("y"), reply("y"));
        node.cast("recast next z");
        assert_eq!(node.heard("Cast")["msg"], base64(b"z"));
        assert_eq!(node.call("Stop", json!({})), ok());
        assert_eq!(node.end(open), json!({"ok": answer("CALL_RET_ERR")}));
    }
    let Some(mut odd) = Node::start(edged.ports[0]) else {
        return;
    };
    begins(&edged, &mut odd);
    breaks_the_protocol(&mut odd);
    ends_by_itself(&edged, &mut odd);
    assert_eq!(edged.end().code(), Some(0));
}

/// What it is told when it begins, and what becomes of it where it does not.
fn begins(edged: &Edged, node: &mut Node) {
    for (payload, why) in [("refuse", "not today"), ("exit", "3")] {
        assert_eq!(node.boot("f"), ok());
        let end = node.call("Init", json!({ "init_payload": payload }));
        assert_eq!(end["code"], "INTERNAL");
        assert!(end["details"].as_str().unwrap().contains(why), "{end}");
    }
    node.run();
    // What is no message goes to the log, ours and the host's.
    edged.logs("hello from init");
    assert_eq!(node.heard("TelemetryLog")["msg"], "hello from init");
    let from = r#"{"function": "sender", "node": "other"}"#;
    assert_eq!(node.ask("who"), reply(from));
    // A node gets text.
    assert_eq!(node.ask("bytes"), reply("/wA="));
}

/// It is told, and goes on.
fn breaks_the_protocol(node: &mut Node) {
    for (line, why) in [
        (r#"{"op":"reply","id":77}"#, "77"),
        (r#"{"op":"ready"}"#, "ready"),
        (r#"{"op":"cast","data":1}"#, "cast"),
        (r#"{"op":"error","message":"?"}"#, "error"),
    ] {
        node.cast(line);
        let told = node.heard("TelemetryLog");
        assert_eq!(
            (&told["target"], &told["log_level"]),
            (&json!("told"), &json!("LOG_WARN"))
        );
        assert!(told["msg"].as_str().unwrap().contains(why), "{told}");
    }
    node.cast("no message at all");
    assert_eq!(node.heard("TelemetryLog")["msg"], "no message at all");
}

/// Open calls are answered, and it can be booted again.
fn ends_by_itself(edged: &Edged, node: &mut Node) {
    let open = node.begin("Call", input(b"silence"));
    assert_eq!(node.ask("exit"), answer("CALL_RET_ERR"));
    assert_eq!(node.end(open), json!({"ok": answer("CALL_RET_ERR")}));
    edged.logs("last words");
    edged.logs("has ended by itself");
    assert_eq!(node.ask("x"), answer("CALL_RET_ERR"));
    node.run();
    assert_eq!(node.ask("bytes"), reply("/wA="));
    assert_eq!(node.call("Stop", json!({})), ok());
}

#[test]
fn the_sample_as_a_module_does_all_that_the_other_does() {
    let examples = examples();
    let Some(settings) = python(&[(
        "sample",
        &["/app/edgeless_sample.py"],
        examples.to_str().unwrap(),
    )]) else {
        return;
    };
    let edged = Edged::configured(&settings, 1);
    let Some(mut node) = Node::start(edged.ports[0]) else {
        return;
    };
    node.run();
    sample::casts(&mut node);
    sample::calls(&mut node);
}
