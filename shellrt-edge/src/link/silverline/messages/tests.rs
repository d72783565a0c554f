//! The messages that were seen, member by member.

use std::collections::BTreeMap;

use super::*;

fn messages(identity: Identity) -> Messages {
    let topics = Topics::new(&identity, &BTreeMap::new());
    Messages::new(identity, topics)
}

fn managed() -> Messages {
    messages(Identity {
        dialect: Dialect::Manager,
        uuid: "9c02".to_owned(),
        name: "edge1".to_owned(),
        runtime_type: "linux/minimal".to_owned(),
        max_nmodules: 1,
        apis: ["wasm", "wasi", "stdio:out"].map(str::to_owned).to_vec(),
        realm: "realm".to_owned(),
        platform: Some(json!({"cpu": {"cores": 2}})),
        metadata: Some(json!({"host": "h"})),
        parent: Some("6e1f".to_owned()),
        ..Identity::default()
    })
}

fn of(dialect: Dialect) -> Messages {
    messages(Identity {
        dialect,
        uuid: "RT".to_owned(),
        name: "aruntime".to_owned(),
        runtime_type: "containerized-modules".to_owned(),
        max_nmodules: 100,
        apis: ["python:python3", "wasm:wasi_preview_1"]
            .map(str::to_owned)
            .to_vec(),
        realm: "realm".to_owned(),
        namespace: "public".to_owned(),
        ..Identity::default()
    })
}

fn check(message: &Message, topic: &str, body: Value) {
    assert_eq!(message.topic, topic);
    assert_eq!(message.body, body);
    assert_eq!(
        serde_json::from_slice::<Value>(&message.payload()).unwrap(),
        body
    );
}

const PLACE: Place<'_> = Place {
    uuid: "m-1",
    scene: "ns1/sc1",
};

#[test]
fn registration_of_the_runtime_manager() {
    check(
        &managed().register("o-2"),
        "realm/proc/reg/9c02",
        json!({"object_id": "o-2", "action": "create", "type": "req", "data": {
            "type": "runtime", "uuid": "9c02", "name": "edge1", "runtime_type": "linux/minimal",
            "max_nmodules": 1, "apis": ["wasm", "wasi", "stdio:out"], "platform": {"cpu": {"cores": 2}},
            "metadata": {"host": "h"}, "parent": "6e1f"}}),
    );
    check(
        &managed().unregister("o"),
        "realm/proc/reg/9c02",
        json!({"object_id": "o", "action": "delete", "type": "req", "data": {
            "type": "runtime", "uuid": "9c02", "name": "edge1"}}),
    );
}

#[test]
fn registration_of_the_application_launcher() {
    let data = json!({"uuid": "RT", "type": "runtime",
        "name": "aruntime", "runtime_type": "containerized-modules", "max_nmodules": 100,
        "apis": ["python:python3", "wasm:wasi_preview_1"], "is_orchestration_runtime": false, "tags": []});
    let app = of(Dialect::AppLauncher);
    for (message, action) in [
        (app.register("o"), "create"),
        (app.unregister("o"), "delete"),
    ] {
        check(
            &message,
            "realm/g/public/p/RT",
            json!({"object_id": "o", "action": action, "type": "req", "from": "RT", "data": data}),
        );
    }
}

/// It has neither `from` nor the last two members, and other words.
#[test]
fn registration_of_the_sideload_runtime() {
    check(
        &of(Dialect::Sideload).register("o"),
        "realm/proc/reg",
        json!({"object_id": "o", "action": "create", "type": "runtime_req", "data": {"uuid": "RT",
            "type": "runtime", "name": "aruntime", "runtime_type": "containerized-modules",
            "max_nmodules": 100, "apis": ["python:python3", "wasm:wasi_preview_1"]}}),
    );
}

#[test]
fn keepalives() {
    let child = json!({"uuid": "77aa", "active": -1});
    check(
        &managed().keepalive("o", vec![child.clone()]),
        "realm/proc/keepalive/9c02",
        json!({"object_id": "o", "action": "update", "type": "req", "data": {"type": "runtime",
            "uuid": "9c02", "name": "edge1", "apis": ["wasm", "wasi", "stdio:out"], "children": [child]}}),
    );
    let app = of(Dialect::AppLauncher);
    let mut wanted = app.register("o");
    wanted.body["action"] = json!("update");
    wanted.body["data"]["children"] = json!([null]);
    assert_eq!(app.keepalive("o", vec![Value::Null]), wanted);
    let g2 = of(Dialect::G2).keepalive("o", Vec::new());
    assert_eq!(g2.topic, "realm/proc/keepalive/RT");
}

#[test]
fn confirmations() {
    let data = json!({"type": "module", "uuid": "m-1", "name": "mod1", "parent": "RT"});
    let Value::Object(details) = data.clone() else {
        panic!("an object");
    };
    let confirm = |messages: &Messages| messages.confirm(PLACE, "o1", "create", details.clone());
    let mut wanted = json!({"object_id": "o1", "action": "create", "type": "resp", "from": "RT",
        "data": {"result": "ok", "details": data}});
    let app = confirm(&of(Dialect::AppLauncher)).unwrap();
    check(&app, "realm/s/ns1/sc1/p/m-1", wanted.clone());
    let g2 = confirm(&of(Dialect::G2)).unwrap();
    check(&g2, "realm/proc/control/RT", wanted.clone());
    wanted.as_object_mut().unwrap().remove("from");
    wanted["type"] = json!("runtime_resp");
    let sideload = confirm(&of(Dialect::Sideload)).unwrap();
    check(&sideload, "realm/proc/control/RT", wanted);
    assert_eq!(confirm(&managed()), None);
}

#[test]
fn ends() {
    let module = Module {
        place: PLACE,
        name: "mod1",
    };
    check(
        &of(Dialect::AppLauncher).ended("o", module, Some(1)),
        "realm/s/ns1/sc1/p/m-1",
        json!({"object_id": "o", "action": "delete", "type": "req", "from": "RT", "data": {
            "type": "module", "uuid": "m-1", "name": "mod1", "parent": "RT"}}),
    );
    check(
        &of(Dialect::Sideload).ended("o", module, None),
        "realm/proc/control/RT",
        json!({"object_id": "o", "action": "delete", "type": "runtime_req", "data": {
            "type": "module", "uuid": "m-1", "name": "mod1", "parent": "RT"}}),
    );
    let exited = |exit_code| managed().ended("o-7", module, exit_code);
    let mut wanted = json!({"object_id": "o-7", "action": "exited", "type": "req", "data": {
        "type": "module", "uuid": "m-1", "status": "exited"}});
    check(&exited(None), "realm/proc/control/9c02", wanted.clone());
    wanted["data"]["exit_code"] = json!(7);
    check(&exited(Some(7)), "realm/proc/control/9c02", wanted);
}

#[test]
fn errors_have_no_envelope() {
    let problem = Problem::new("invalid uuid", "Module m-1 already exists");
    let body =
        json!({"desc": "Runtime exception: invalid uuid", "data": "Module m-1 already exists"});
    let topics = [
        (Dialect::AppLauncher, "realm/g/public/p/RT"),
        (Dialect::G2, "realm/proc/io/RT/stderr"),
        (Dialect::Sideload, "error_topic"),
    ];
    for (dialect, topic) in topics {
        check(&of(dialect).error(&problem).unwrap(), topic, body.clone());
    }
    assert_eq!(managed().error(&problem), None);
}

#[test]
fn a_no_is_an_answer_or_an_end() {
    let problem = Problem::new("error in launcher", "No launcher configured for type XX");
    let app = of(Dialect::AppLauncher);
    let refused = app
        .refuse(PLACE, "o1", "create", Map::new(), &problem)
        .unwrap();
    assert_eq!(refused.body["data"]["result"], "error");
    assert_eq!(refused.body["data"]["details"]["data"], problem.data);
    assert_eq!(app.never_ran("o", PLACE, &problem), None);
    let ended = managed().never_ran("o", PLACE, &problem).unwrap();
    assert_eq!(ended.body["action"], "exited");
    assert_eq!(ended.body["data"]["status"], "exited");
    assert_eq!(ended.body["data"]["data"], problem.data);
}
