//! What the settings change, and when they are read again.

use serde_json::json;
use tests::plugin::until;

use super::fleet::{Fleet, RT};

#[test]
fn nobody_answers_and_that_is_fatal() {
    let runtime = json!({"reg_attempts": 2, "reg_timeout_seconds": 0.2, "reg_fail_error": true});
    let Some(mut fleet) = Fleet::prepare("manager", runtime, json!({})) else {
        return;
    };
    fleet.run();
    assert_eq!(fleet.ended().code(), Some(1));
    let log = fleet.log();
    assert!(log.contains("runtime.reg_fail_error"), "{log}");
    let topic = fleet.registration_topic();
    let said = fleet.heard.on(topic);
    let actions: Vec<_> = said.iter().map(|it| it.json()["action"].clone()).collect();
    // It has tried twice, and goes as it should.
    assert_eq!(actions, ["create", "create", "delete"]);
}

#[test]
fn nobody_answers_and_it_goes_on() {
    let runtime = json!({"reg_attempts": 1, "reg_timeout_seconds": 0.2, "reg_fail_error": false});
    let Some(mut fleet) = Fleet::prepare("manager", runtime, json!({})) else {
        return;
    };
    fleet.run();
    until("it goes on", || {
        fleet.log().contains("going on as if it were registered")
    });
    fleet.create("m", "lines");
    assert_eq!(fleet.wait_for_exits(1), ["m"]);
}

#[test]
fn the_words_of_the_oldest_orchestrator() {
    let Some(fleet) = Fleet::prepare("sideload", json!({}), json!({})) else {
        return;
    };
    let mut fleet = fleet;
    fleet.set_all(
        "types",
        json!({"request": "arts_req", "response": "arts_resp"}),
    );
    fleet.run();
    let registration = fleet.register(json!({}));
    assert_eq!(registration["type"], "arts_req");
    fleet.create("m", "lines");
    let control = fleet.control();
    let confirmation = fleet.wait("the confirmation", control, |it| it["type"] == "arts_resp");
    assert_eq!(confirmation["object_id"], "create-m");
    fleet.wait("its own end", control, |it| {
        it["type"] == "arts_req" && it["action"] == "delete" && it["data"]["uuid"] == "m"
    });
}

#[test]
fn modules_that_do_nothing_are_stopped() {
    let runtime = json!({"inactivity_timeout_sec": 1, "inactivity_check_interval_sec": 0.2});
    let Some(fleet) = Fleet::start("applauncher", runtime) else {
        return;
    };
    // One computes all the time, the other one sleeps.
    fleet.create("busy", "spin");
    fleet.create("idle", "forever");
    let end = fleet.wait("the end of the idle one", "realm/s/ns1/sc1/p/idle", |it| {
        it["action"] == "delete"
    });
    assert_eq!((&end["type"], &end["from"]), (&json!("req"), &json!(RT)));
    until("only the busy one is left", || fleet.modules() == ["busy"]);
    fleet.delete("d", "busy");
    fleet.wait("the end of the busy one", "realm/s/ns1/sc1/p/busy", |it| {
        it["object_id"] == "d"
    });
}

#[test]
fn what_is_stopped_with_the_daemon_is_reported() {
    let Some(mut fleet) = Fleet::start("manager", json!({})) else {
        return;
    };
    fleet.kill();
    fleet.set("edge", "on_shutdown", json!("stop"));
    fleet.run();
    fleet.register(json!({}));
    for uuid in ["m-1", "m-2", "m-3"] {
        fleet.create(uuid, "ticks");
        fleet.wait_for_output(&format!("realm/proc/stdio/{uuid}"), "tick");
    }
    fleet.end();
    let mut exits = fleet.exits();
    exits.sort();
    assert_eq!(exits, ["m-1", "m-2", "m-3"]);
    assert_eq!(fleet.modules(), [""; 0]);
    // The runtime goes when its modules have.
    let last = fleet.heard.messages().pop().unwrap();
    assert_eq!(last.topic, fleet.registration_topic());
    assert_eq!(last.json()["action"], "delete");
}

#[test]
fn settings_are_read_again() {
    let Some(fleet) = Fleet::start("applauncher", json!({})) else {
        return;
    };
    fleet.create("before", "forever");
    let result = |uuid: &str, result: &str| {
        fleet.wait(result, &format!("realm/s/ns1/sc1/p/{uuid}"), |it| {
            it["data"]["result"] == result
        })
    };
    result("before", "ok");
    fleet.set("launcher", "WA", json!(null));
    fleet.reload();
    fleet.create("between", "forever");
    let refused = result("between", "error");
    let details = &refused["data"]["details"];
    assert_eq!(details["data"], "No launcher configured for type WA");
    // What is wrong changes nothing.
    fleet.set("launcher", "WA", json!(7));
    fleet.hang_up();
    until("that it is wrong", || {
        fleet.log().contains("the settings stay as they are")
    });
    fleet.set("launcher", "WA", json!({}));
    fleet.reload();
    fleet.create("after", "forever");
    result("after", "ok");
    assert_eq!(fleet.modules().len(), 2);
}
