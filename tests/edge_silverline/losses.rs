//! The broker is lost, or the daemon is: nothing is lost of what modules say and how they end.

use std::collections::BTreeSet;

use serde_json::json;
use tests::broker::Message;
use tests::plugin::until;

use super::fleet::Fleet;

#[test]
fn what_happens_without_a_broker_is_reported_in_order() {
    let Some(mut fleet) = Fleet::start("manager", json!({})) else {
        return;
    };
    let topic = "realm/proc/stdio/count";
    fleet.create("count", "count");
    fleet.wait_for_output(topic, "\n");
    fleet.broker.kill();
    // It goes on and ends while nobody can hear of it.
    let before = fleet.wasm.logs("count").len();
    until("it says more", || {
        fleet.wasm.logs("count").len() > before + 100
    });
    fleet
        .wasm
        .ok(&json!({"_type": "stop", "name": "count", "timeout": 0}));
    let said = String::from_utf8(fleet.wasm.logs("count")).unwrap();
    fleet.broker.restart();
    fleet.register(json!({}));
    assert_eq!(fleet.wait_for_exits(1), ["count"]);
    // Every line is there, in order; what was on its way may be there twice.
    let heard = fleet.output(topic);
    let mut lines = heard.lines();
    for line in said.lines() {
        assert!(
            lines.any(|heard| heard == line),
            "{line:?} is not in {heard:?}"
        );
    }
    let messages = fleet.heard.messages();
    let last = |is_it: &dyn Fn(&Message) -> bool| messages.iter().rposition(is_it);
    let output = last(&|message| message.topic == topic);
    let end = last(&|message| message.text().contains("exited"));
    assert!(output.is_some() && output < end, "{messages:#?}");
}

#[test]
fn a_registration_is_repeated_over_brokers() {
    let Some(mut fleet) = Fleet::prepare(
        "applauncher",
        json!({"reg_timeout_seconds": 0.2}),
        json!({}),
    ) else {
        return;
    };
    fleet.broker.kill();
    fleet.run();
    fleet.broker.restart();
    // The same message until there is an answer.
    let topic = fleet.registration_topic();
    let first = fleet.heard.wait_for_nth(topic, 0).json();
    assert_eq!(fleet.heard.wait_for_nth(topic, 1).json(), first);
    fleet.register(json!({}));
    fleet.create("m", "forever");
    fleet.wait("it runs", "realm/s/ns1/sc1/p/m", |it| {
        it["data"]["result"] == "ok"
    });
    fleet.broker.kill();
    fleet.broker.restart();
    // Another one now, and requests are heard again.
    let again = fleet.wait("another registration", topic, |it| {
        it["action"] == "create" && it["object_id"] != first["object_id"]
    });
    assert_eq!(again["data"], first["data"]);
    fleet.delete("d", "m");
    fleet.wait("it is gone", "realm/s/ns1/sc1/p/m", |it| {
        it["object_id"] == "d"
    });
}

#[test]
fn a_killed_daemon_leaves_its_will_and_its_modules_to_the_next_one() {
    let Some(mut fleet) = Fleet::start("manager", json!({})) else {
        return;
    };
    let uuids: Vec<String> = (0..20).map(|number| format!("m-{number}")).collect();
    for uuid in &uuids {
        fleet.create(uuid, "ticks");
    }
    for uuid in &uuids {
        fleet.wait_for_output(&format!("realm/proc/stdio/{uuid}"), "tick");
    }
    fleet.kill();
    let will = fleet.wait("the will", "realm/proc/reg/RT", |it| {
        it["action"] == "delete"
    });
    assert_eq!(will["data"]["uuid"], "RT");
    // Some end while nobody looks.
    for uuid in &uuids[..5] {
        fleet
            .wasm
            .ok(&json!({"_type": "stop", "name": uuid, "timeout": 0}));
    }
    fleet.run();
    fleet.register(json!({}));
    // Right behind its answer the orchestrator sends once more all that it has not heard an end of.
    let heard = fleet.exits();
    let requests = uuids.iter().filter(|uuid| !heard.contains(uuid));
    let requests: Vec<String> = requests
        .map(|uuid| fleet.request("again", uuid, "ticks").to_string())
        .collect();
    fleet.broker.publish_lines(fleet.control(), &requests);
    let exits: BTreeSet<String> = fleet.wait_for_exits(5).into_iter().collect();
    assert_eq!(exits, uuids[..5].iter().cloned().collect());
    for uuid in &uuids[5..] {
        let topic = format!("realm/proc/stdio/{uuid}");
        let length = fleet.output(&topic).len();
        fleet.heard.wait("more ticks", |messages| {
            let on = messages.iter().filter(|message| message.topic == topic);
            (on.map(|message| message.payload.len()).sum::<usize>() > length).then_some(())
        });
    }
    let mut running: Vec<String> = fleet.wasm.ok(&json!({"_type": "list"}))["modules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    running.sort();
    let mut wanted = uuids[5..].to_vec();
    wanted.sort();
    assert_eq!(running, wanted);
    // No line is torn, repeated in pieces or lost within itself.
    let said = fleet.output("realm/proc/stdio/m-7");
    assert!(
        said.lines()
            .all(|line| "tick".starts_with(line) || line == "tick"),
        "{said:?}"
    );
    for uuid in &uuids[5..] {
        fleet.delete(&format!("d-{uuid}"), uuid);
    }
    assert_eq!(fleet.wait_for_exits(20).len(), 20);
}
