//! Hosts that go away, are slow or fail, and bytes that they can't take.

use serde_json::json;
use tests::edgeless::{answer, base64, input, ok, reply, Edged, Node};

#[test]
fn a_host_that_goes_away_and_comes_back() {
    let edged = Edged::start(&[]);
    let Some(mut node) = Node::start(edged.ports[0]) else {
        return;
    };
    node.run();
    node.cast("recast a one");
    assert_eq!(node.heard("Cast")["msg"], base64(b"one"));
    node.switch("stop");
    // It is taken, and waits for the host.
    node.cast("recast a two");
    node.cast("recast a three");
    node.switch("start");
    assert_eq!(node.heard("Cast")["msg"], base64(b"two"));
    assert_eq!(node.heard("Cast")["msg"], base64(b"three"));
    // Nothing was sent twice.
    node.cast("recast a last");
    assert_eq!(node.heard("Cast")["msg"], base64(b"last"));
    assert_eq!(node.ask("recall a x"), reply("re: x"));
}

#[test]
fn a_host_that_stays_away_is_given_up() {
    let edged = Edged::start(&[]);
    let Some(mut node) = Node::start(edged.ports[0]) else {
        return;
    };
    node.run();
    node.switch("stop");
    assert_eq!(node.ask("recall a x"), answer("CALL_RET_ERR"));
    node.cast("recast a x");
    edged.logs("a cast to Alias(\"a\") is lost");
    assert_eq!(node.ask("x"), reply("x"));
}

#[test]
fn a_host_that_fails_is_not_the_functions_fault() {
    let edged = Edged::start(&[]);
    let Some(mut node) = Node::start(edged.ports[0]) else {
        return;
    };
    node.run();
    node.cast("recast fail x");
    edged.logs("the host has failed");
    // A slow host holds up what is behind, in order, and nothing else.
    node.cast("recast slow one");
    node.cast("recast a two");
    assert_eq!(node.ask("x"), reply("x"));
    let aliases = [node.heard("Cast"), node.heard("Cast"), node.heard("Cast")];
    let aliases = aliases.map(|cast| cast["alias"].as_str().unwrap().to_owned());
    assert_eq!(aliases, ["fail", "slow", "a"]);
}

#[test]
fn stop_ends_open_calls() {
    let edged = Edged::start(&[]);
    let Some(mut node) = Node::start(edged.ports[0]) else {
        return;
    };
    node.run();
    let open = node.begin("Call", input(b"recall slow x"));
    node.heard("Call");
    // Others are answered meanwhile.
    assert_eq!(node.ask("y"), reply("y"));
    assert_eq!(node.call("Stop", json!({})), ok());
    assert_eq!(node.end(open), json!({"ok": answer("CALL_RET_ERR")}));
    // The host hears that nobody waits any more.
    node.lines
        .take("cancelled", |line| line["heard"] == "cancelled");
    node.run();
    assert_eq!(node.ask("y"), reply("y"));
}

#[test]
fn workers_are_counted_and_stop_needs_none() {
    let edged = Edged::start(&["--max-workers", "1"]);
    let Some(mut node) = Node::start(edged.ports[0]) else {
        return;
    };
    node.run();
    let open = node.begin("Call", input(b"recall slow x"));
    node.heard("Call");
    let waiting = node.begin("Call", input(b"recall a y"));
    assert_eq!(node.call("Stop", json!({})), ok());
    for id in [open, waiting] {
        assert_eq!(node.end(id), json!({"ok": answer("CALL_RET_ERR")}));
    }
    assert_eq!(node.lines.count(|line| line["heard"] == "Call"), 0);
}

#[test]
fn calls_that_take_too_long() {
    let edged = Edged::start(&["--call-timeout", "0.2"]);
    let Some(mut node) = Node::start(edged.ports[0]) else {
        return;
    };
    node.run();
    assert_eq!(node.ask("recall slow x"), answer("CALL_RET_ERR"));
    edged.logs("it takes too long");
    assert_eq!(node.ask("x"), reply("x"));
}

#[test]
fn bytes_that_are_no_text() {
    let bytes = b"\xff\x00\xfe";
    for (how, expected) in [
        (
            "base64",
            json!({"type": "CALL_RET_REPLY", "msg": base64(base64(bytes).as_bytes())}),
        ),
        ("refuse", answer("CALL_RET_ERR")),
        (
            "pass",
            json!({"type": "CALL_RET_REPLY", "msg": base64(bytes)}),
        ),
    ] {
        let edged = Edged::start(&["--binary", how]);
        let Some(mut node) = Node::start(edged.ports[0]) else {
            return;
        };
        node.run();
        assert_eq!(node.call("Call", input(bytes))["ok"], expected, "{how}");
        if how == "refuse" {
            edged.logs("it is not UTF-8");
        }
    }
}
