//! `shellrt-edged manager` above runtimes that are child processes, one of them in Python.

use rustix::process::Signal;
use serde_json::json;
use tests::plugin::until;

use crate::site::{answer, stdio, uuid, Site, MANAGER};

/// Section 4 of the protocol: the registrations, a module's life, and the end of all, member by member.
#[test]
fn the_life_of_a_module_is_as_it_was_seen() {
    for kind in ["test/python", "test/old"] {
        life(kind);
    }
}

fn life(kind: &str) {
    let Some(site) = Site::new() else { return };
    let mut manager = site.start(&[kind]);
    let (topic, said) = site.registration("edge1", 0);
    assert_eq!(topic, "realm/proc/reg/6e1f");
    assert!(said["object_id"].as_str().unwrap().len() == 36);
    assert_eq!(
        said,
        json!({"object_id": said["object_id"], "action": "create", "type": "req",
            "data": {"type": "manager", "uuid": MANAGER, "name": "edge1"}})
    );
    // Not an answer: another number; no answer; its own request.
    for other in [
        json!({"object_id": "o-1", "type": "resp", "data": {"result": "ok", "details": {}}}),
        json!({"object_id": said["object_id"], "type": "req", "data": {"result": "ok"}}),
        said.clone(),
    ] {
        site.broker.publish(&topic, other.to_string());
    }
    site.broker.publish(&topic, answer(&said).to_string());
    // The second on the list is the test's own.
    let (topic, said) = site.registration("edge1", 2);
    let runtime = uuid(&said);
    assert_eq!(topic, format!("realm/proc/reg/{runtime}"));
    let host = rustix::system::uname();
    let host = host.nodename().to_str().unwrap();
    assert_eq!(
        said,
        json!({"object_id": said["object_id"], "action": "create", "type": "req", "data": {
            "type": "runtime", "uuid": runtime, "name": "edge1", "runtime_type": kind,
            "max_nmodules": 2, "apis": ["test"], "platform": {"cpu": {"cores": 2}},
            "metadata": {"host": host}, "parent": MANAGER}})
    );
    // Revived modules come right behind the answer.
    site.broker.publish(&topic, answer(&said).to_string());
    site.create(&runtime, "77aa", "wasm/hello.wasm");
    // The child tells what it was given: the data, with its own index.
    let got = site.heard.wait_for(&stdio("77aa")).json();
    let mut given = crate::site::create(&runtime, "77aa", "wasm/hello.wasm")["data"].clone();
    given["index"] = json!(0);
    assert_eq!(got, given);
    site.tell("77aa", "publish 0 hello\n");
    site.said("77aa", "hello\n");
    site.delete(&runtime, "77aa");
    let exited = site.exited(&runtime, "77aa");
    assert_eq!(
        exited,
        json!({"object_id": exited["object_id"], "action": "exited", "type": "req",
            "data": {"type": "module", "uuid": "77aa", "status": "exited"}})
    );
    manager.signal(Signal::TERM);
    assert_eq!(manager.end(), Some(0));
    let gone = site.unregistered(&runtime);
    assert_eq!(
        gone["data"],
        json!({"type": "runtime", "uuid": runtime, "name": "edge1"})
    );
    let gone = site.unregistered(MANAGER);
    assert_eq!(
        gone["data"],
        json!({"type": "manager", "uuid": MANAGER, "name": "edge1"})
    );
    let log = std::fs::read_to_string(site.dir.path().join("logs/edge1.log")).unwrap();
    assert!(log.contains("told to stop"), "{log}");
    // A session of its own, which nothing of this one is in.
    assert!(!log.contains(&format!(
        "session {}",
        rustix::process::getsid(None).unwrap()
    )));
}

#[test]
fn what_a_runtime_tells_reaches_its_topics() {
    let Some(site) = Site::new() else { return };
    let manager = site.start(&["test/python"]);
    let runtime = site.register_all();
    site.created(&runtime, "m-1");
    site.tell("m-1", r#"keepalive {"children": [], "apis": ["other"]}"#);
    let topic = format!("realm/proc/keepalive/{runtime}");
    let said = site.heard.wait_for(&topic).json();
    assert_eq!(
        said,
        json!({"object_id": said["object_id"], "action": "update", "type": "req", "data": {
            "type": "runtime", "uuid": runtime, "name": "edge1", "apis": ["other"], "children": []}})
    );
    site.tell("m-1", "profile 0100000002000000ff000000");
    let topic = format!("realm/proc/profile/benchmarking/{runtime}/m-1");
    let profile = site.heard.wait_for(&topic);
    assert_eq!(profile.payload, [1, 0, 0, 0, 2, 0, 0, 0, 255, 0, 0, 0]);
    site.tell("m-1", r"log tab\there");
    site.tell("m-1", "modulelog it burns");
    until("both are logged", || {
        let log = manager.log();
        log.contains("edge1: tab\\there") && log.contains("edge1/m-1: it burns")
    });
    // What can't be understood is logged, and nothing else happens.
    site.tell("m-1", "nonsense");
    site.tell("m-1", "publish 9 x");
    site.done("m-1", "close 9");
    site.done("m-1", "open 1 0x04 x");
    site.tell("m-1", r#"exit {"status": "exited", "more": [1]}"#);
    let exited = site.exited(&runtime, "m-1");
    assert_eq!(
        exited["data"],
        json!({"type": "module", "uuid": "m-1", "status": "exited", "more": [1]})
    );
}

#[test]
fn modules_get_the_lowest_free_index_and_no_more_than_there_may_be() {
    let Some(site) = Site::new() else { return };
    let _manager = site.start(&["test/python"]);
    let runtime = site.register_all();
    let index = |module: &str| site.heard.wait_for(&stdio(module)).json()["index"].clone();
    site.create(&runtime, "m-0", "f");
    site.create(&runtime, "m-1", "f");
    assert_eq!((index("m-0"), index("m-1")), (json!(0), json!(1)));
    // Sent again after a registration, which changes nothing.
    site.create(&runtime, "m-0", "f");
    // The orchestrator would not send a third.
    site.create(&runtime, "m-2", "f");
    let refused = site.exited(&runtime, "m-2");
    assert_eq!(refused["data"]["status"], "exited");
    let error = refused["data"]["error"].as_str().unwrap();
    assert!(error.contains("there are 2 modules already"), "{error}");
    site.delete(&runtime, "m-0");
    site.exited(&runtime, "m-0");
    site.create(&runtime, "m-3", "f");
    assert_eq!(index("m-3"), json!(0));
    let created = site.heard.on(&stdio("m-0"));
    assert_eq!(created.len(), 1, "{created:?}");
}

#[test]
fn bad_messages_change_nothing() {
    let Some(site) = Site::new() else { return };
    let _manager = site.start(&["test/python"]);
    let runtime = site.register_all();
    let topic = format!("realm/proc/control/{runtime}");
    for bad in [
        "",
        "{",
        "[]",
        "null",
        "{\"action\":7}",
        r#"{"action":"create","type":"req","data":{"type":"runtime"}}"#,
        r#"{"action":"create","type":"req","data":{"type":"module"}}"#,
        r#"{"action":"create","type":"req","data":{"type":"module","uuid":null}}"#,
        r#"{"action":"create","type":"resp","data":{"type":"module","uuid":"no"}}"#,
        r#"{"action":"delete","type":"req","data":{"type":"module","uuid":"none"}}"#,
        r#"{"action":"explode","type":"req","data":{"type":"module","uuid":"none"}}"#,
    ] {
        site.broker.publish(&topic, bad);
    }
    site.broker.publish(&topic, [0xff, 0xfe, 0]);
    site.broker.publish(&topic, vec![b'['; 1 << 20]);
    site.created(&runtime, "m-1");
    // A delete by name.
    site.delete(&runtime, "hello");
    site.exited(&runtime, "m-1");
}

#[test]
fn channels_join_the_modules_of_all_runtimes() {
    let Some(site) = Site::new() else { return };
    let _manager = site.start(&["test/python", "test/old"]);
    site.register("edge1", 0);
    let first = uuid(&site.register("edge1.py", 0));
    let second = uuid(&site.register("edge1.py", 1));
    for (runtime, module) in [(&first, "a-0"), (&first, "a-1"), (&second, "b-0")] {
        site.created(runtime, module);
    }
    // The publisher, the same runtime, and the same index in another runtime.
    site.done("a-0", "open 1 3 x/y");
    site.done("a-1", "open 1 0x41 x/+");
    site.done("b-0", "open 2 1 x/#");
    site.done("b-0", "open 3 1 x/y");
    // A wildcard is for reading only; opening it so closes nothing else.
    site.done("b-0", "open 4 3 x/#");
    site.tell("a-0", "publish 1 inside");
    site.said("a-1", "1 on 1: inside");
    site.said("b-0", "0 on 2: inside");
    site.said("b-0", "0 on 3: inside");
    let topic = site.heard.wait_for("x/y");
    assert_eq!(topic.payload, b"inside");
    // From outside, once for each channel, whatever the broker makes of filters that overlap.
    site.broker.publish("x/y", "outside");
    site.said("a-0", "0 on 1: outside");
    site.said("a-1", "1 on 1: outside");
    site.said("b-0", "0 on 2: outside");
    site.said("b-0", "0 on 3: outside");
    // The narrow filter stays when the wide one goes.
    site.done("b-0", "close 2");
    site.done("a-1", "close 1");
    site.done("b-0", "open 9 1 fence");
    site.broker.publish("fence", "1");
    site.said("b-0", "0 on 9: 1");
    site.broker.publish("x/y", "last");
    site.said("a-0", "0 on 1: last");
    site.said("b-0", "0 on 3: last");
    let heard = site.heard.messages();
    let count = |module: &str, text: &str| {
        let on = heard.iter().filter(|it| it.topic == stdio(module));
        on.filter(|it| it.payload == text.as_bytes()).count()
    };
    for (module, text, times) in [
        ("a-0", "0 on 1: inside", 0),
        ("a-1", "1 on 1: inside", 1),
        ("b-0", "0 on 2: inside", 1),
        ("b-0", "0 on 4: inside", 0),
        ("a-0", "0 on 1: outside", 1),
        ("a-1", "1 on 1: outside", 1),
        ("b-0", "0 on 2: outside", 1),
        ("b-0", "0 on 3: outside", 1),
        ("a-1", "1 on 1: last", 0),
        ("b-0", "0 on 2: last", 0),
    ] {
        assert_eq!(count(module, text), times, "{module} {text}");
    }
}

#[test]
fn large_messages_go_through() {
    let Some(site) = Site::new() else { return };
    let _manager = site.start(&["test/python"]);
    let runtime = site.register_all();
    site.created(&runtime, "m-1");
    site.tell("m-1", "fill 1000000");
    site.heard.wait("a million bytes", |messages| {
        let mut on = messages.iter().filter(|it| it.topic == stdio("m-1"));
        on.find(|it| it.payload.len() == 1_000_000).map(drop)
    });
    site.done("m-1", "open 1 1 big");
    site.done("m-1", "open 2 1 fence");
    site.broker.publish("fence", "1");
    site.said("m-1", "0 on 2: 1");
    site.broker.publish("big", vec![b'y'; 3_000_000]);
    site.heard.wait("three million bytes", |messages| {
        let mut on = messages.iter().filter(|it| it.topic == stdio("m-1"));
        on.find(|it| it.payload.len() == 3_000_008).map(drop)
    });
}

#[test]
fn a_child_that_dies_is_unregistered_and_started_again() {
    for how in ["die", "garbage"] {
        let Some(site) = Site::new() else { return };
        let _manager = site.start(&["test/python"]);
        let runtime = site.register_all();
        site.created(&runtime, "m-1");
        site.tell("m-1", how);
        site.unregistered(&runtime);
        let again = site.register("edge1", 2);
        assert_eq!(uuid(&again), runtime);
        // The orchestrator revives the module.
        assert_eq!(site.created(&runtime, "m-1")["index"], 0);
    }
}

#[test]
fn after_a_loss_of_the_broker_all_are_registered_again() {
    let Some(mut site) = Site::new() else { return };
    let _manager = site.start(&["test/python"]);
    site.register("edge1", 0);
    let runtime = uuid(&site.register("edge1", 1));
    site.created(&runtime, "m-1");
    site.broker.kill();
    site.broker.restart();
    site.register("edge1", 2);
    site.register("edge1", 3);
    // It was running all the time, and goes on with its channels; that it is sent again changes nothing.
    site.create(&runtime, "m-1", "f");
    site.tell("m-1", "publish 0 still here");
    site.said("m-1", "still here");
}

#[test]
fn without_an_orchestrator_it_goes_on() {
    let Some(site) = Site::new() else { return };
    let manager = site.start(&["test/python"]);
    site.registration("edge1", 0);
    // After five seconds without an answer.
    let (_, said) = site.registration("edge1", 1);
    let runtime = uuid(&said);
    assert!(manager.log().contains("no orchestrator has registered"));
    site.created(&runtime, "m-1");
}

#[test]
fn the_last_will_is_the_managers() {
    let Some(site) = Site::new() else { return };
    let mut manager = site.start(&["test/python"]);
    site.register("edge1", 0);
    site.register("edge1", 1);
    manager.signal(Signal::KILL);
    manager.end();
    let gone = site.unregistered(MANAGER);
    assert_eq!(
        gone["data"],
        json!({"type": "manager", "uuid": MANAGER, "name": "edge1"})
    );
}

#[test]
fn what_is_wrong_with_the_settings_is_said() {
    let Some(site) = Site::new() else { return };
    let mut manager = site.start(&["linux/nothing"]);
    assert_eq!(manager.end(), Some(1));
    let log = manager.log();
    assert!(
        log.contains(r#"there is no runtime \"linux/nothing\""#),
        "{log}"
    );
}

#[test]
fn the_password_is_in_a_file() {
    let options = tests::broker::Options {
        password: true,
        ..Default::default()
    };
    let Some(mut site) = Site::with(&options) else {
        return;
    };
    let file = site.dir.path().join("pwd");
    std::fs::write(&file, format!("{}\n", tests::broker::PASSWORD)).unwrap();
    site.config["pwd"] = json!(file);
    site.config["mqtt_username"] = json!(tests::broker::USER);
    let manager = site.start(&["test/python"]);
    site.register("edge1", 0);
    assert!(!manager.log().contains(tests::broker::PASSWORD));
}
