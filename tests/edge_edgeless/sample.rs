//! What the sample does when it is told to, whoever it is made by.

use serde_json::{json, Value};
use tests::edgeless::{answer, base64, reply, Edged, Node};

#[test]
fn the_sample_that_is_built_in() {
    let edged = Edged::start(&[]);
    let Some(mut node) = Node::start(edged.ports[0]) else {
        return;
    };
    node.run();
    casts(&mut node);
    calls(&mut node);
    assert_eq!(node.call("Stop", json!({})), json!({"ok": {}}));
    assert_eq!(edged.end().code(), Some(0));
}

fn originator() -> Value {
    json!({"node_id": "n", "function_id": "f"})
}

/// Every cast of the sample is heard by the host, with all members.
pub fn casts(node: &mut Node) {
    node.cast("recast next some text");
    assert_eq!(
        node.heard("Cast"),
        json!({"originator": originator(), "alias": "next", "msg": base64(b"some text")})
    );
    node.cast("recast-raw N F some text");
    let dst = json!({"node_id": "N", "function_id": "F"});
    assert_eq!(
        node.heard("CastRaw"),
        json!({"originator": originator(), "dst": dst, "msg": base64(b"some text")})
    );
    node.cast("recast-delayed 250 next some text");
    let metadata = json!({"trace_id": base64(&[0; 16]), "span_id": base64(&[0; 8])});
    let delayed = |alias: &str, delay: &str, message: &str| {
        json!({
            "originator": originator(), "alias": alias, "msg": base64(message.as_bytes()),
            "delay": delay, "metadata": metadata,
        })
    };
    assert_eq!(
        node.heard("DelayedCast"),
        delayed("next", "250", "some text")
    );
    node.cast("telemetry-log me some text");
    assert_eq!(
        node.heard("TelemetryLog"),
        json!({
            "originator": originator(), "log_level": "LOG_INFO", "target": "me", "msg": "some text",
        })
    );
    node.cast("sync some text");
    assert_eq!(
        node.heard("Sync"),
        json!({"originator": originator(), "serialized_state": base64(b"some text")})
    );
    node.cast("anything else");
    let passed_on = node.lines.take("cast to output", |line| {
        line["message"]["alias"] == "output"
    });
    assert_eq!(passed_on["message"]["msg"], base64(b"anything else"));
}

/// Every call of the sample.
pub fn calls(node: &mut Node) {
    answers(node);
    assert_eq!(node.ask("recall next a b"), reply("re: a b"));
    assert_eq!(
        node.heard("Call"),
        json!({"originator": originator(), "alias": "next", "msg": base64(b"a b")})
    );
    assert_eq!(node.ask("recall-raw N F a b"), reply("re: a b"));
    let dst = json!({"node_id": "N", "function_id": "F"});
    assert_eq!(
        node.heard("CallRaw"),
        json!({"originator": originator(), "dst": dst, "msg": base64(b"a b")})
    );
}

/// What a call is answered with.
pub fn answers(node: &mut Node) {
    assert_eq!(node.ask("hello"), reply("hello"));
    assert_eq!(node.ask("ä€😀"), reply("ä€😀"));
    assert_eq!(node.ask(""), reply(""));
    assert_eq!(node.ask("noret"), answer("CALL_RET_NO_REPLY"));
    assert_eq!(node.ask("err"), answer("CALL_RET_ERR"));
    for (alias, kind) in [
        ("none", "CALL_RET_NO_REPLY"),
        ("err", "CALL_RET_ERR"),
        ("odd", "CALL_RET_ERR"),
        ("fail", "CALL_RET_ERR"),
    ] {
        assert_eq!(
            node.ask(&format!("recall {alias} x")),
            answer(kind),
            "{alias}"
        );
        assert_eq!(node.heard("Call")["alias"], alias);
    }
}
