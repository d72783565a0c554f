//! The life of a module in each dialect, by the messages that were seen.

use serde_json::{json, Value};
use tests::plugin::until;

use super::fleet::{said, Fleet, Kind, RT};

/// `value` without the member `object_id`, which must be there and fresh.
fn without_id(mut value: Value) -> Value {
    let id = value.as_object_mut().unwrap().remove("object_id").unwrap();
    assert_eq!(id.as_str().unwrap().len(), 36, "{id}");
    value
}

#[test]
fn behind_a_runtime_managers_orchestrator() {
    live_behind_a_runtime_managers_orchestrator(Kind::Wasm);
}

#[test]
fn behind_a_runtime_managers_orchestrator_in_containers() {
    live_behind_a_runtime_managers_orchestrator(Kind::Container);
}

fn live_behind_a_runtime_managers_orchestrator(kind: Kind) {
    let Some(mut fleet) = Fleet::of(
        kind,
        "manager",
        json!({"runtime_type": "linux/minimal", "max_nmodules": 1, "apis": ["wasm", "wasi"], "ka_interval_sec": 1}),
    ) else {
        return;
    };
    fleet.run();
    let registration = without_id(fleet.register(json!({"uuid": RT, "ka_interval_sec": 60})));
    let mut wanted = json!({"action": "create", "type": "req", "data": {"type": "runtime", "uuid": RT,
        "name": "aruntime", "runtime_type": "linux/minimal", "max_nmodules": 1, "apis": ["wasm", "wasi"]}});
    wanted["data"]["platform"] = registration["data"]["platform"].clone();
    assert_eq!(registration, wanted);

    // The first one ends by itself.
    fleet.create("77aa", "lines");
    assert_eq!(fleet.wait_for_exits(1), ["77aa"]);
    assert_eq!(fleet.output("realm/proc/stdio/77aa"), "one\ntwo\nthree\n");
    let control = fleet.control();
    let exited = fleet.wait("the end", control, |message| message["action"] == "exited");
    let wanted = json!({"action": "exited", "type": "req",
        "data": {"type": "module", "uuid": "77aa", "status": "exited"}});
    assert_eq!(without_id(exited), wanted);

    // The next one says what it is told, and is deleted by its name.
    fleet.create("77bb", "echo");
    fleet.wait("it in a keepalive", "realm/proc/keepalive/RT", |message| {
        message["data"]["children"][0]["uuid"] == "77bb"
            && message["data"]["children"][0]["mem_usage"].as_u64() > Some(0)
    });
    fleet.broker.publish("realm/proc/stdio/77bb", "hi\n");
    fleet.wait_for_output("realm/proc/stdio/77bb", "hi\nhi\n");
    fleet.delete("o-6", "name-77bb");
    assert_eq!(fleet.wait_for_exits(2)[1], "77bb");
    // It is removed when its end is reported; a daemon that ends before leaves that to the next one.
    until("it is removed", || fleet.modules().is_empty());

    fleet.end();
    let gone = fleet.wait("the end of the runtime", "realm/proc/reg/RT", |message| {
        message["action"] == "delete"
    });
    let wanted = json!({"action": "delete", "type": "req",
        "data": {"type": "runtime", "uuid": RT, "name": "aruntime"}});
    assert_eq!(without_id(gone), wanted);
    if kind == Kind::Container {
        assert_eq!(fleet.left_of_containers(), [""; 0]);
    }
}

#[test]
fn of_the_application_launcher() {
    live_as_the_application_launcher(Kind::Wasm);
}

#[test]
fn of_the_application_launcher_in_containers() {
    live_as_the_application_launcher(Kind::Container);
}

fn live_as_the_application_launcher(kind: Kind) {
    let Some(mut fleet) = Fleet::of(kind, "applauncher", json!({"ka_interval_sec": 1})) else {
        return;
    };
    let (file, filetype) = match kind {
        Kind::Wasm => ("echo.wasm", "WA"),
        Kind::Container => ("echo.py", "PY"),
    };
    fleet.run();
    let registration = without_id(fleet.register(json!({})));
    let mut wanted = json!({"action": "create", "type": "req", "from": RT, "data": {"uuid": RT,
        "type": "runtime", "name": "aruntime", "runtime_type": "containerized-modules", "max_nmodules": 100,
        "is_orchestration_runtime": false, "tags": []}});
    wanted["data"]["apis"] = registration["data"]["apis"].clone();
    assert_eq!(registration, wanted);

    let mio = "realm/s/ns1/sc1/p/m-1";
    fleet.create("m-1", "echo");
    let confirmation = fleet.wait("the confirmation", mio, |_| true);
    let mut details = fleet.request("create-m-1", "m-1", "echo")["data"].clone();
    details["parent"] = json!(RT);
    let wanted = json!({"object_id": "create-m-1", "action": "create", "type": "resp", "from": RT,
        "data": {"result": "ok", "details": details}});
    assert_eq!(confirmation, wanted);

    // Text comes in as it is and goes out as JSON.
    fleet
        .broker
        .publish(format!("{mio}/-/stdin").as_str(), "hello");
    fleet.wait_for_text(&format!("{mio}/-/stdout"), "hello\n");
    let keepalive = fleet.wait("a keepalive", "realm/g/public/p/RT", |message| {
        message["action"] == "update" && message["data"]["children"][0]["mem_usage"].is_u64()
    });
    let child = &keepalive["data"]["children"][0];
    assert_eq!(
        (&child["uuid"], &child["file"]),
        (&json!("m-1"), &json!(file))
    );
    assert_eq!(
        (&child["filetype"], &child["parent"]),
        (&json!(filetype), &json!(RT))
    );

    // The confirmation of the delete comes when it is gone, with the number of the delete.
    fleet.delete("d-1", "m-1");
    let gone = fleet.wait("its end", mio, |message| message["action"] == "delete");
    let wanted = json!({"object_id": "d-1", "action": "delete", "type": "resp", "from": RT,
        "data": {"result": "ok", "details": {"type": "module", "uuid": "m-1"}}});
    assert_eq!(gone, wanted);

    // The same uuid once more, which ends by itself.
    fleet.create("m-1", "lines");
    let end = fleet.wait("its own end", mio, |message| {
        message["action"] == "delete" && message["type"] == "req"
    });
    let wanted = json!({"action": "delete", "type": "req", "from": RT,
        "data": {"type": "module", "uuid": "m-1", "name": "name-m-1", "parent": RT}});
    assert_eq!(without_id(end), wanted);
    fleet.end();
}

#[test]
fn of_the_sideload_runtime() {
    live_as_the_sideload_runtime(Kind::Wasm);
}

#[test]
fn of_the_sideload_runtime_in_containers() {
    live_as_the_sideload_runtime(Kind::Container);
}

fn live_as_the_sideload_runtime(kind: Kind) {
    let Some(mut fleet) = Fleet::of(kind, "sideload", json!({})) else {
        return;
    };
    fleet.run();
    // How often it says that it is alive is the orchestrator's to say there.
    let registration = without_id(fleet.register(json!({"ka_interval_sec": 1})));
    assert_eq!(registration["type"], "runtime_req");
    assert_eq!(registration.get("from"), None);
    fleet.create("m", "echo");
    let control = fleet.control();
    let confirmation = fleet.wait("the confirmation", control, |it| {
        it["type"] == "runtime_resp"
    });
    assert_eq!(confirmation["object_id"], "create-m");
    assert_eq!(confirmation["data"]["result"], "ok");
    fleet
        .broker
        .publish("realm/proc/io/RT/m/stdin", r#""a\nb""#);
    fleet.wait_for_text("realm/proc/io/RT/m/stdout", "a\nb");
    fleet.wait("a keepalive", "realm/proc/keepalive/RT", |message| {
        message["data"]["children"][0]["cpu_percent"].is_number()
    });
    fleet.delete("d", "m");
    let gone = fleet.wait("its end", control, |it| {
        it["type"] == "runtime_resp" && it["object_id"] == "d"
    });
    assert_eq!(gone["action"], "delete");
    fleet.create("n", "exit_7");
    fleet.wait("its own end", control, |it| {
        it["type"] == "runtime_req" && it["action"] == "delete" && it["data"]["uuid"] == "n"
    });
}

#[test]
fn of_the_sideload_runtime_of_2024() {
    live_as_the_sideload_runtime_of_2024(Kind::Wasm);
}

#[test]
fn of_the_sideload_runtime_of_2024_in_containers() {
    live_as_the_sideload_runtime_of_2024(Kind::Container);
}

fn live_as_the_sideload_runtime_of_2024(kind: Kind) {
    let Some(mut fleet) = Fleet::of(kind, "g2", json!({})) else {
        return;
    };
    fleet.run();
    fleet.register(json!({"uuid": RT}));
    fleet.create("m", "lines");
    let control = fleet.control();
    fleet.wait("the confirmation", control, |it| {
        it["type"] == "resp" && it["from"] == RT && it["object_id"] == "create-m"
    });
    fleet.wait("its own end", control, |it| {
        it["action"] == "delete"
            && it["type"] == "req"
            && it["from"] == RT
            && it["data"]["uuid"] == "m"
    });
    let text: String = fleet
        .heard
        .on("realm/proc/io/m/stdout")
        .iter()
        .map(said)
        .collect();
    assert_eq!(text, "one\ntwo\nthree\n");
    // The topic above is asked too, where the parent says whose module it is.
    let request = fleet.request("create-k", "k", "exit_0");
    fleet
        .broker
        .publish("realm/proc/control", request.to_string());
    fleet.wait("its confirmation", control, |it| {
        it["object_id"] == "create-k"
    });
}

#[test]
fn without_a_registration_and_without_output() {
    let Some(mut fleet) = Fleet::prepare(
        "manager",
        json!({"reg_attempts": -1}),
        json!({"pipe_stdout": false}),
    ) else {
        return;
    };
    fleet.run();
    // Nothing says when it listens: asking again does no harm there.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !fleet.log().contains("no registration is asked for") {
        assert!(std::time::Instant::now() < deadline, "{}", fleet.log());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    fleet.create("m", "lines");
    assert_eq!(fleet.wait_for_exits(1), ["m"]);
    assert_eq!(fleet.output("realm/proc/stdio/m"), "");
    assert!(fleet.heard.on("realm/proc/reg/RT").is_empty());
}
