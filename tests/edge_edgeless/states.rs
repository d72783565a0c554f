//! Which calls a function takes when, and what it says to the others.

use serde_json::{json, Value};
use tests::edgeless::{answer, input, ok, reply, Edged, Node};

fn code(end: &Value) -> &str {
    end["code"].as_str().unwrap_or("OK")
}

#[test]
fn what_comes_in_the_wrong_state() {
    let edged = Edged::start(&[]);
    let Some(mut node) = Node::start(edged.ports[0]) else {
        return;
    };
    let wrong = "FAILED_PRECONDITION";
    // Neither booted, nor with an init.
    for _ in 0..2 {
        assert_eq!(code(&node.call("Stop", json!({}))), wrong);
        assert_eq!(node.call("Cast", input(b"x")), ok());
        edged.logs("a cast is lost");
        assert_eq!(node.ask("x"), answer("CALL_RET_ERR"));
        assert_eq!(node.boot("f"), ok());
    }
    assert_eq!(node.call("Init", json!({})), ok());
    assert_eq!(code(&node.call("Init", json!({}))), wrong);
    // It runs on, and being booted once more changes nothing.
    assert_eq!(node.boot("f"), ok());
    assert_eq!(node.ask("x"), reply("x"));
    assert_eq!(node.call("Stop", json!({})), ok());
    assert_eq!(code(&node.call("Stop", json!({}))), wrong);
    assert_eq!(code(&node.call("Init", json!({}))), wrong);
    assert_eq!(node.ask("x"), answer("CALL_RET_ERR"));
    // The next instance.
    node.run();
    assert_eq!(node.ask("y"), reply("y"));
}

#[test]
fn what_is_missing_and_what_need_not_be_there() {
    let edged = Edged::start(&[]);
    let Some(mut node) = Node::start(edged.ports[0]) else {
        return;
    };
    let invalid = "INVALID_ARGUMENT";
    let host = node.host();
    let end = node.call("Boot", json!({ "guest_api_host_endpoint": host }));
    assert_eq!(code(&end), invalid);
    let id = json!({"node_id": "", "function_id": "no uuid: ä"});
    let end = node.call(
        "Boot",
        json!({"guest_api_host_endpoint": "http://[", "instance_id": id}),
    );
    assert_eq!(code(&end), invalid);
    let end = node.call(
        "Boot",
        json!({"guest_api_host_endpoint": host, "instance_id": id}),
    );
    assert_eq!(end, ok());
    assert_eq!(node.call("Init", json!({"init_payload": "a=1"})), ok());
    for method in ["Cast", "Call"] {
        assert_eq!(code(&node.call(method, json!({"msg": "eA=="}))), invalid);
    }
    // Empty ids are ids.
    let nobody = json!({"src": {}, "msg": "eA=="});
    assert_eq!(node.call("Call", nobody)["ok"], reply("x"));
    node.cast("recast a b");
    assert_eq!(node.heard("Cast")["originator"], id);
}

#[test]
fn another_instance_takes_the_place_of_a_lost_one() {
    let edged = Edged::start(&[]);
    let Some(mut node) = Node::start(edged.ports[0]) else {
        return;
    };
    node.run();
    // The node was killed, and its successor starts its own instance here.
    assert_eq!(node.boot("g"), ok());
    assert_eq!(node.ask("x"), reply("x"));
    assert_eq!(node.call("Init", json!({})), ok());
    node.cast("recast a b");
    let id = json!({"node_id": "n", "function_id": "g"});
    assert_eq!(node.heard("Cast")["originator"], id);
}

#[test]
fn a_thousand_one_after_the_other() {
    let edged = Edged::start(&[]);
    let Some(mut node) = Node::start(edged.ports[0]) else {
        return;
    };
    for number in 0..1000 {
        assert_eq!(node.boot(&number.to_string()), ok());
        assert_eq!(node.call("Init", json!({})), ok());
        assert_eq!(node.ask("x"), reply("x"));
        assert_eq!(node.call("Stop", json!({})), ok());
    }
}

#[test]
fn a_hundred_at_once() {
    let names: Vec<String> = (0..100).map(|number| format!("f{number}=0")).collect();
    let arguments: Vec<&str> = names
        .iter()
        .flat_map(|name| ["--function", name.as_str()])
        .collect();
    let edged = Edged::start(&arguments);
    assert_eq!(edged.ports.len(), 100);
    // A node in Python is large; each of a few takes its turn with all functions that it has.
    for port in edged.ports.iter().step_by(20) {
        let Some(mut node) = Node::start(*port) else {
            return;
        };
        node.run();
        let calls: Vec<u64> = (0..100).map(|_| node.begin("Call", input(b"x"))).collect();
        for id in calls {
            assert_eq!(node.end(id), json!({"ok": reply("x")}));
        }
    }
}
