//! The messages that were seen, as a runtime receives them, and those that nobody should send.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

fn identity(dialect: Dialect) -> Identity {
    let (uuid, name) = match dialect {
        Dialect::Manager => ("9c02", "edge1"),
        _ => ("RT", "aruntime"),
    };
    Identity {
        dialect,
        uuid: uuid.to_owned(),
        name: name.to_owned(),
        realm: "realm".to_owned(),
        namespace: "public".to_owned(),
        ..Identity::default()
    }
}

fn read_text(dialect: Dialect, topic: &str, payload: &str) -> Incoming {
    let identity = identity(dialect);
    let topics = Topics::new(&identity, &BTreeMap::new());
    read(&identity, &topics, topic, payload.as_bytes())
}

fn read_json(dialect: Dialect, topic: &str, payload: &Value) -> Incoming {
    read_text(dialect, topic, &payload.to_string())
}

fn problem(name: &str, data: &str) -> Incoming {
    Incoming::Problem(Problem::new(name, data))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other}"),
    }
}

const CONTROL: &str = "realm/proc/control/9c02";
const APP: &str = "realm/s/public/default/p/RT/x";

#[test]
fn a_create_of_the_orchestrator_of_2023() {
    let data = json!({"type": "module", "index": 12,
        "uuid": "77aa", "name": "hello", "parent": "9c02", "file": "wasm/hello.wasm", "apis": ["wasm", "wasi"],
        "args": {"argv": ["x"], "env": ["A=1"], "limit": 60.0}, "channels": [], "status": "A"});
    let message = json!({"object_id": "o-4", "action": "create", "type": "req", "data": data});
    let wanted = Incoming::Create(Box::new(Create {
        object_id: "o-4".to_owned(),
        uuid: "77aa".to_owned(),
        name: "hello".to_owned(),
        file: "wasm/hello.wasm".to_owned(),
        location: None,
        filetype: None,
        scene: "public/default".to_owned(),
        data: object(data),
    }));
    assert_eq!(read_json(Dialect::Manager, CONTROL, &message), wanted);
}

#[test]
fn a_create_for_the_application_launcher() {
    let message = json!({"object_id": "o1", "action": "create", "type": "req", "data": {"type": "module",
        "uuid": "m-1", "name": "mod1", "parent": "aruntime", "file": "prog.py", "location": "user/dir",
        "filetype": "PY", "apis": ["python:python3"], "args": ["a"], "env": ["NAMESPACE=ns1", "SCENE=sc1"]}});
    let Incoming::Create(create) = read_json(Dialect::AppLauncher, APP, &message) else {
        panic!("no create");
    };
    assert_eq!(
        (create.uuid.as_str(), create.name.as_str()),
        ("m-1", "mod1")
    );
    assert_eq!(create.file, "prog.py");
    assert_eq!(create.location.as_deref(), Some("user/dir"));
    assert_eq!(create.filetype.as_deref(), Some("PY"));
    assert_eq!(create.scene, "ns1/sc1");
    assert_eq!(create.data["parent"], "RT");
    assert_eq!(create.data["args"], json!(["a"]));
}

#[test]
fn a_create_of_the_orchestrator_of_2022() {
    let message = json!({"object_id": "o", "action": "create", "type": "arts_req", "data": {"type": "module",
        "uuid": "m", "name": "n", "parent": "RT", "filename": "user/dir/prog.py", "filetype": "PY"}});
    let Incoming::Create(create) = read_json(Dialect::Sideload, "realm/proc/control/RT", &message)
    else {
        panic!("no create");
    };
    assert_eq!(create.file, "user/dir/prog.py");
    assert_eq!(create.filetype.as_deref(), Some("PY"));
    // Its own words for its own messages, which a broker may send back.
    for kind in ["runtime_req", "runtime_resp"] {
        let mut own = message.clone();
        own["type"] = json!(kind);
        let read = read_json(Dialect::Sideload, "realm/proc/control/RT", &own);
        assert_eq!(read, Incoming::Ignore, "{kind}");
    }
    let mut newer = message.clone();
    newer["type"] = json!("req");
    let read = read_json(Dialect::Sideload, "realm/proc/control/RT", &newer);
    assert_eq!(read, problem("invalid type", "req"));
}

#[test]
fn a_delete_with_a_uuid_or_a_name() {
    let message = json!({"object_id": "o-6", "action": "delete", "type": "req", "data": {"type": "module",
        "uuid": "77aa"}});
    let wanted = Incoming::Delete(Delete {
        object_id: "o-6".to_owned(),
        module: "77aa".to_owned(),
        is_ours: true,
        data: object(json!({"type": "module", "uuid": "77aa"})),
    });
    assert_eq!(read_json(Dialect::Manager, CONTROL, &message), wanted);
    // On a topic of all, it may be another runtime's module.
    let all = "realm/s/public/default/p/x/y";
    let Incoming::Delete(delete) = read_json(Dialect::AppLauncher, all, &message) else {
        panic!("no delete");
    };
    assert!(!delete.is_ours);
}

#[test]
fn an_answer_counts_by_its_number_and_result() {
    let message = json!({"object_id": "o-2", "type": "resp", "data": {"result": "ok", "details": {
        "uuid": "9c02", "ka_interval_sec": 60}}});
    let wanted = Incoming::Answer(Answer {
        object_id: "o-2".to_owned(),
        is_ok: true,
        details: object(json!({"uuid": "9c02", "ka_interval_sec": 60})),
    });
    assert_eq!(
        read_json(Dialect::Manager, "realm/proc/reg/9c02", &message),
        wanted
    );
    let mut no = message.clone();
    no["data"]["result"] = json!("error");
    let Incoming::Answer(answer) = read_json(Dialect::Manager, "realm/proc/reg/9c02", &no) else {
        panic!("no answer");
    };
    assert!(!answer.is_ok);
}

#[test]
fn own_messages_are_ignored() {
    let registration = json!({"object_id": "o-2", "action": "create", "type": "req", "data": {
        "type": "runtime", "uuid": "9c02"}});
    let read = read_json(Dialect::Manager, "realm/proc/reg/9c02", &registration);
    assert_eq!(read, Incoming::Ignore);
    let exited = json!({"object_id": "o-7", "action": "exited", "type": "req", "data": {
        "type": "module", "uuid": "77aa", "status": "exited"}});
    assert_eq!(
        read_json(Dialect::Manager, CONTROL, &exited),
        Incoming::Ignore
    );
    let end = json!({"action": "delete", "type": "req", "from": "RT", "data": {"type": "module",
        "uuid": "m-4", "name": "mod1", "parent": "RT"}});
    assert_eq!(read_json(Dialect::AppLauncher, APP, &end), Incoming::Ignore);
}

#[test]
fn what_is_for_others_is_ignored() {
    let message = json!({"object_id": "o", "action": "create", "type": "req", "data": {"type": "module",
        "uuid": "m", "name": "n", "parent": "another", "file": "p.py", "filetype": "PY"}});
    let all = "realm/s/public/default/p/x/y";
    assert_eq!(
        read_json(Dialect::AppLauncher, all, &message),
        Incoming::Ignore
    );
    assert_eq!(read_text(Dialect::AppLauncher, all, "}"), Incoming::Ignore);
    assert_eq!(
        read_json(Dialect::G2, "realm/proc/control", &message),
        Incoming::Ignore
    );
    // On a topic that is this runtime's own, it is a mistake.
    let wanted = problem("invalid parent", "Parent does not match this runtime");
    assert_eq!(read_json(Dialect::AppLauncher, APP, &message), wanted);
    assert_eq!(
        read_json(Dialect::G2, "realm/proc/control/RT", &message),
        wanted
    );
}

#[test]
fn problems_have_their_names() {
    let create =
        |data: Value| json!({"object_id": "o", "action": "create", "type": "req", "data": data});
    let whole = json!({"uuid": "m", "name": "n", "parent": "RT", "file": "p.py", "filetype": "PY"});
    for (key, value, name, data) in [
        (
            "uuid",
            Value::Null,
            "invalid uuid",
            "Module UUID is required",
        ),
        ("uuid", json!(""), "invalid uuid", "Module UUID is required"),
        ("uuid", json!(5), "invalid uuid", "it must be text"),
        ("name", Value::Null, "missing field", "name"),
        ("parent", Value::Null, "missing field", "parent"),
        ("file", Value::Null, "missing field", "file"),
        ("file", json!(["a"]), "invalid file", "it must be text"),
        ("location", json!({}), "invalid location", "it must be text"),
        ("scene", json!("a+"), "invalid scene", "public/a+"),
        ("scene", json!(5), "invalid scene", "it must be text"),
    ] {
        let mut changed = whole.clone();
        changed[key] = value;
        let read = read_json(Dialect::AppLauncher, APP, &create(changed));
        assert_eq!(read, problem(name, data), "{key}");
    }
    for uuid in ["a/b", "+", "#", "a\0b", &"a".repeat(257)] {
        let mut changed = whole.clone();
        changed["uuid"] = json!(uuid);
        let read = read_json(Dialect::AppLauncher, APP, &create(changed));
        let Incoming::Problem(problem) = read else {
            panic!("{uuid:?}: {read:?}");
        };
        assert_eq!(problem.desc, "Runtime exception: invalid uuid");
    }
    let mut other = create(whole);
    other["action"] = json!("update");
    let read = read_json(Dialect::AppLauncher, APP, &other);
    assert_eq!(read, problem("invalid action", "update"));
    let invalid = Incoming::Problem(Problem {
        desc: "Invalid JSON".to_owned(),
        data: "}".to_owned(),
    });
    assert_eq!(read_text(Dialect::AppLauncher, APP, "}"), invalid);
    assert_eq!(read_text(Dialect::AppLauncher, APP, ""), Incoming::Ignore);
}

#[test]
fn the_scene_is_the_modules_or_its_environments() {
    let of = |data: Value| scene(&object(data));
    // Seen so, with two levels in front.
    assert_eq!(of(json!({"scene": "aa/bbb"})), "public/aa/bbb");
    assert_eq!(of(json!({"scene": "bbb"})), "public/bbb");
    assert_eq!(of(json!({"scene": "", "env": ["SCENE=b"]})), "public/b");
    assert_eq!(of(json!({"env": {"NAMESPACE": "a", "SCENE": "b"}})), "a/b");
    assert_eq!(of(json!({"env": ["SCENERY=x", "SCENE=b"]})), "public/b");
    assert_eq!(of(json!({"env": "SCENE=b"})), "public/default");
}
