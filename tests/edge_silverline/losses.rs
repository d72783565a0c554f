//! The broker is lost, or the daemon is: nothing is lost of what modules say and how they end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use tests::broker::Message;
use tests::plugin::until;

use super::fleet::{said, Fleet, Kind};

/// That every line of `said` is in `heard`, in that order: what was on its way when the broker went may be
/// there twice.
fn assert_all_heard(said: &str, heard: &str) {
    let mut lines = heard.lines();
    for line in said.lines() {
        let is_there = lines.any(|heard| heard == line);
        assert!(is_there, "{line:?} is not in {heard:?}");
    }
}

#[test]
fn what_happens_without_a_broker_is_reported_in_order() {
    without_a_broker(Kind::Wasm);
}

#[test]
fn what_happens_to_containers_without_a_broker_is_reported_in_order() {
    without_a_broker(Kind::Container);
}

fn without_a_broker(kind: Kind) {
    let Some(mut fleet) = Fleet::of(kind, "manager", json!({})) else {
        return;
    };
    fleet.run();
    fleet.register(json!({}));
    let topic = |uuid: &str| format!("realm/proc/stdio/{uuid}");
    let uuids = ["m-0", "m-1", "m-2", "m-3"];
    for uuid in uuids {
        fleet.create(uuid, "count");
        fleet.wait_for_output(&topic(uuid), "\n");
    }
    fleet.broker.kill();
    // They go on, and three of them end, while nobody can hear of it.
    let length = |uuid: &str| fleet.plugin().logs(uuid).len();
    let before: Vec<usize> = uuids.iter().map(|uuid| length(uuid)).collect();
    until("they say more", || {
        let mut pairs = uuids.iter().zip(&before);
        pairs.all(|(uuid, before)| length(uuid) > before + 600)
    });
    let ended = ["m-2", "m-0", "m-3"];
    let mut said = BTreeMap::new();
    for uuid in ended {
        let request = json!({"_type": "stop", "name": uuid, "timeout": 0});
        fleet.plugin().ok(&request);
        let text = String::from_utf8(fleet.plugin().logs(uuid)).unwrap();
        said.insert(uuid, text);
    }
    fleet.broker.restart();
    fleet.register(json!({}));
    let exits: BTreeSet<String> = fleet.wait_for_exits(3).into_iter().collect();
    assert_eq!(exits, ended.map(str::to_owned).into());
    for (uuid, said) in &said {
        assert_all_heard(said, &fleet.output(&topic(uuid)));
        let messages = fleet.heard.messages();
        let last = |is_it: &dyn Fn(&Message) -> bool| messages.iter().rposition(is_it);
        let output = last(&|message| message.topic == topic(uuid));
        let end = last(&|message| {
            message.text().contains("exited") && message.json()["data"]["uuid"] == *uuid
        });
        assert!(output.is_some() && output < end, "{messages:#?}");
    }
    // The fourth one is still heard.
    let heard = fleet.output(&topic("m-1")).len();
    fleet.heard.wait("more of it", |messages| {
        let on = messages.iter().filter(|it| it.topic == topic("m-1"));
        (on.map(|it| it.payload.len()).sum::<usize>() > heard).then_some(())
    });
    fleet.delete("d", "m-1");
    assert_eq!(fleet.wait_for_exits(4)[3], "m-1");
}

#[test]
fn brokers_go_in_the_middle_of_everything() {
    // Sooner and later, from before the daemon has heard of it until after all is done. A fleet for each,
    // because who loses its broker again and again tries less often.
    for delay in [0, 7, 60] {
        let Some(mut fleet) = Fleet::start("applauncher", json!({})) else {
            return;
        };
        let pause = || std::thread::sleep(Duration::from_millis(delay));
        let (uuid, own) = ("m", "own");
        let topic = |uuid: &str| format!("realm/s/ns1/sc1/p/{uuid}");
        let lose = |fleet: &mut Fleet| {
            pause();
            fleet.broker.kill();
            pause();
            fleet.broker.restart();
            fleet.register(json!({}));
        };
        fleet.create(uuid, "forever");
        lose(&mut fleet);
        // Whether the request was heard is not known, so it is asked again: it is either done or refused
        // because it was.
        fleet.create(uuid, "forever");
        fleet.wait("it runs", &topic(uuid), |it| it["data"]["result"] == "ok");
        fleet.create(own, "lines");
        lose(&mut fleet);
        fleet.create(own, "lines");
        fleet.wait("its own end", &topic(own), |it| {
            it["action"] == "delete" && it["type"] == "req"
        });
        let text: String = fleet
            .heard
            .on(&format!("{}/-/stdout", topic(own)))
            .iter()
            .map(said)
            .collect();
        assert_all_heard("one\ntwo\nthree\n", &text);
        fleet.delete("d", uuid);
        lose(&mut fleet);
        fleet.delete("d", uuid);
        fleet.wait("it is gone", &topic(uuid), |it| {
            it["object_id"] == "d" && it["data"]["result"] == "ok"
        });
        until("nothing runs", || fleet.modules().is_empty());
    }
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
    killed_with_twenty_modules(Kind::Wasm, &["ticks.wasm"]);
}

#[test]
fn a_killed_daemon_leaves_containers_to_the_next_one_too() {
    killed_with_twenty_modules(Kind::Container, &["ticks.py", "ticks.wasm"]);
}

/// The modules run these programs in turns.
fn killed_with_twenty_modules(kind: Kind, programs: &[&str]) {
    let Some(mut fleet) = Fleet::of(kind, "manager", json!({})) else {
        return;
    };
    fleet.run();
    fleet.register(json!({}));
    let uuids: Vec<String> = (0..20).map(|number| format!("m-{number}")).collect();
    let programs: BTreeMap<&String, &str> =
        uuids.iter().zip(programs.iter().copied().cycle()).collect();
    for uuid in &uuids {
        fleet.create(uuid, programs[uuid]);
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
        let plugin = match programs[uuid].ends_with(".wasm") {
            true => &fleet.wasm,
            false => fleet.plugin(),
        };
        plugin.ok(&json!({"_type": "stop", "name": uuid, "timeout": 0}));
    }
    fleet.run();
    fleet.register(json!({}));
    // Right behind its answer the orchestrator sends once more all that it has not heard an end of.
    let heard = fleet.exits();
    let requests = uuids.iter().filter(|uuid| !heard.contains(uuid));
    let requests: Vec<String> = requests
        .map(|uuid| fleet.request("again", uuid, programs[uuid]).to_string())
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
    let mut wanted = uuids[5..].to_vec();
    wanted.sort();
    assert_eq!(fleet.modules(), wanted);
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
