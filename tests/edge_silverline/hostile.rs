//! What nobody should send, and too much of the rest.

use serde_json::{json, Value};

use super::fleet::Fleet;

const ERRORS: &str = "realm/g/public/p/RT";

#[test]
fn two_hundred_at_once_where_a_hundred_may_be() {
    // Following so many logs takes more of the machine than other tests leave.
    let quiet = json!({"pipe_stdout": false});
    let many = json!({"max_nmodules": 100});
    let Some(mut fleet) = Fleet::prepare("applauncher", many, quiet) else {
        return;
    };
    fleet.run();
    fleet.register(json!({}));
    let requests: Vec<String> = (0..200)
        .map(|number| {
            fleet
                .request(&format!("o-{number}"), &format!("m-{number}"), "forever")
                .to_string()
        })
        .collect();
    fleet.broker.publish_lines(fleet.control(), &requests);
    let answers = fleet.heard.wait("200 answers", |messages| {
        let about = messages
            .iter()
            .filter(|message| message.topic.starts_with("realm/s/ns1/sc1/p/m-"));
        let answers: Vec<Value> = about
            .filter(|message| !message.topic.contains("/-/"))
            .map(tests::broker::Message::json)
            .collect();
        (answers.len() >= 200).then_some(answers)
    });
    let with = |result: &str| {
        answers
            .iter()
            .filter(|it| it["data"]["result"] == result)
            .count()
    };
    assert_eq!((with("ok"), with("error")), (100, 100));
    let refused = answers
        .iter()
        .find(|it| it["data"]["result"] == "error")
        .unwrap();
    assert_eq!(
        refused["data"]["details"]["desc"],
        "Runtime exception: max_nmodules"
    );
    assert_eq!(fleet.modules().len(), 100);
}

#[test]
fn errors_have_the_names_of_this_field() {
    let Some(fleet) = Fleet::start("applauncher", json!({})) else {
        return;
    };
    let control = fleet.control();
    let error = |desc: &str, data: &str| {
        fleet.wait(&format!("{desc}: {data}"), ERRORS, |it| {
            it["desc"] == desc && it["data"].as_str().is_some_and(|it| it.contains(data))
        });
    };
    fleet.broker.publish(control, "{nonsense");
    error("Invalid JSON", "{nonsense");
    let mut request = fleet.request("o", "m-2", "lines");
    request["data"]["filetype"] = json!("XX");
    fleet.broker.publish(control, request.to_string());
    error(
        "Runtime exception: error in launcher",
        "No launcher configured for type XX",
    );
    let mut request = fleet.request("o", "m-3", "missing");
    fleet.broker.publish(control, request.to_string());
    error(
        "Runtime exception: error getting program file",
        "missing.wasm",
    );
    request["data"]["parent"] = json!("another");
    fleet.broker.publish(control, request.to_string());
    error(
        "Runtime exception: invalid parent",
        "Parent does not match this runtime",
    );
    fleet.delete("o", "nobody");
    error(
        "Runtime exception: invalid uuid",
        "Module nobody does not exist",
    );
    fleet.create("m-1", "forever");
    fleet.wait("it runs", "realm/s/ns1/sc1/p/m-1", |it| {
        it["data"]["result"] == "ok"
    });
    fleet.create("m-1", "forever");
    error(
        "Runtime exception: invalid uuid",
        "Module m-1 already exists",
    );
    // A module that failed leaves its uuid free.
    fleet.create("m-3", "forever");
    fleet.wait("it runs", "realm/s/ns1/sc1/p/m-3", |it| {
        it["data"]["result"] == "ok"
    });
}

#[test]
fn nothing_hostile_gets_through_or_ends_the_daemon() {
    let Some(fleet) = Fleet::start("applauncher", json!({})) else {
        return;
    };
    let control = fleet.control();
    let good = fleet.request("o", "m", "forever");
    for (key, values) in [
        (
            "uuid",
            vec![
                json!(1),
                json!("a/b"),
                json!("+"),
                json!("#"),
                json!("x\u{0}"),
                json!("y".repeat(100_000)),
            ],
        ),
        (
            "file",
            vec![
                json!("../../../../etc/passwd"),
                json!("/etc/passwd"),
                json!("..%2f..%2fx.wasm"),
                json!({}),
                json!(""),
            ],
        ),
        (
            "location",
            vec![json!("../.."), json!("/etc"), json!(["a"])],
        ),
        (
            "args",
            vec![
                json!({"argv": 5}),
                json!({"dirs": ["/"]}),
                json!({"dirs": ["../.."]}),
                json!({"limit": -1}),
                json!(true),
            ],
        ),
        ("env", vec![json!(7), json!(["=x"]), json!({"A": {}})]),
        ("scene", vec![json!("+/#"), json!(5)]),
        (
            "parent",
            vec![json!({}), json!("somebody else"), json!("RT\u{0}")],
        ),
    ] {
        for value in values {
            let mut bad = good.clone();
            bad["data"][key] = value;
            fleet.broker.publish(control, bad.to_string());
        }
    }
    for payload in [
        "",
        "null",
        "[]",
        "{}",
        "'",
        "\"x\"",
        r#"{"type":"req","action":"create"}"#,
        r#"{"type":"req","action":{},"data":[]}"#,
    ] {
        fleet.broker.publish(control, payload);
    }
    fleet.broker.publish(control, vec![b'x'; 4 << 20]);
    fleet.broker.publish(control, "[".repeat(1 << 20));
    fleet.broker.publish(control, [0xff, 0xfe, 0x00]);
    // For others, in silence.
    let errors = |fleet: &Fleet| {
        fleet
            .heard
            .on(ERRORS)
            .iter()
            .filter(|it| it.json().get("desc").is_some())
            .count()
    };
    let mut foreign = good.clone();
    foreign["data"]["parent"] = json!("another");
    fleet
        .broker
        .publish("realm/s/public/default/p/another/y", foreign.to_string());
    fleet
        .broker
        .publish("realm/s/public/default/p/another/y", "{nonsense of another");
    fleet.create("last", "forever");
    fleet.wait("it still works", "realm/s/ns1/sc1/p/last", |it| {
        it["data"]["result"] == "ok"
    });
    assert!(errors(&fleet) > 20, "{}", errors(&fleet));
    assert!(!fleet
        .heard
        .on(ERRORS)
        .iter()
        .any(|it| it.text().contains("nonsense of another")));
    assert_eq!(fleet.modules(), ["last"]);
}
