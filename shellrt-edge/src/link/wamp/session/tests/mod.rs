//! Sessions against the exchanges of the specification: how they begin and end, and what breaks them off.

mod asked;
mod called;

use serde_json::{json, Value};
use shellrt_api::v0::Secret;

use super::{Answer, Over, Refused, Session, Step};
use crate::link::wamp::auth::Credentials;
use crate::link::wamp::message::{Dict, Message, Payload};

fn hear(session: &mut Session<&'static str>, list: Value) -> Vec<Step<&'static str>> {
    session.receive(Message::parse(list).unwrap())
}

/// What a step sends, as it crosses the wire.
fn sent(steps: &[Step<&'static str>]) -> Vec<Value> {
    let sent = steps.iter().filter_map(|step| match step {
        Step::Send(message) => Some(message.clone().into_value()),
        _ => None,
    });
    sent.collect()
}

fn joined() -> Session<&'static str> {
    let (mut session, _) = Session::join("realm1", Credentials::default()).unwrap();
    let steps = hear(&mut session, json!([2, 9, {"roles": {}}]));
    assert!(matches!(steps[..], [Step::Joined { session: 9, .. }]));
    session
}

fn registered() -> Session<&'static str> {
    let mut session = joined();
    session
        .register("a.b".to_owned(), Dict::new(), "r")
        .unwrap();
    hear(&mut session, json!([65, 1, 88]));
    session
}

fn wire(message: Result<Message, Refused>) -> Value {
    message.unwrap().into_value()
}

fn args(args: Value) -> Payload {
    Payload {
        args: args.as_array().unwrap().clone(),
        kwargs: Dict::new(),
    }
}

fn done(payload: Payload, progress: bool) -> Answer {
    Answer::Done { payload, progress }
}

fn is_violation(steps: &[Step<&'static str>]) -> bool {
    let aborts = sent(steps)
        .iter()
        .any(|list| list[0] == 3 && list[2] == "wamp.error.protocol_violation");
    aborts && matches!(steps.last(), Some(Step::Over(Over::Violated(_))))
}

#[test]
fn hello_announces_all_four_roles() {
    let (_, hello) = Session::<()>::join("realm1", Credentials::default()).unwrap();
    let hello = hello.into_value();
    assert_eq!((&hello[0], &hello[1]), (&json!(1), &json!("realm1")));
    for role in ["caller", "callee", "publisher", "subscriber"] {
        assert!(hello[2]["roles"][role].is_object(), "{role}");
    }
    assert_eq!(
        hello[2]["roles"]["callee"]["features"]["call_canceling"],
        true
    );
    assert_eq!(hello[2]["authmethods"], json!(["anonymous"]));
}

#[test]
fn a_challenge_is_answered() {
    let credentials = Credentials {
        authid: Some("joe".to_owned()),
        ticket: Some(Secret::new("secret!")),
        ..Credentials::default()
    };
    let (mut session, hello) = Session::join("realm1", credentials).unwrap();
    assert_eq!(hello.into_value()[2]["authid"], "joe");
    let steps = hear(&mut session, json!([4, "ticket", {}]));
    assert_eq!(sent(&steps), [json!([5, "secret!", {}])]);
    assert!(!session.is_joined());
    hear(&mut session, json!([2, 9, {}]));
    assert!(session.is_joined());
}

#[test]
fn a_challenge_that_cannot_be_answered_aborts() {
    let (mut session, _) = Session::join("realm1", Credentials::default()).unwrap();
    let steps = hear(&mut session, json!([4, "wampcra", {"challenge": "x"}]));
    assert_eq!(sent(&steps)[0][2], "wamp.error.cannot_authenticate");
    assert!(matches!(steps.last(), Some(Step::Over(Over::Auth(_)))));
}

#[test]
fn an_abort_is_not_answered_and_says_why() {
    let (mut session, _) = Session::join("nope", Credentials::default()).unwrap();
    let abort = json!([3, {"message": "no realm \"nope\""}, "wamp.error.no_such_realm"]);
    let why = "wamp.error.no_such_realm: no realm \"nope\"".to_owned();
    assert_eq!(hear(&mut session, abort), [Step::Over(Over::Aborted(why))]);
}

#[test]
fn goodbye_is_always_answered() {
    let mut session = joined();
    let steps = hear(&mut session, json!([6, {}, "wamp.close.system_shutdown"]));
    assert_eq!(sent(&steps), [json!([6, {}, "wamp.close.goodbye_and_out"])]);
    let over = Over::Closed("wamp.close.system_shutdown".to_owned());
    assert_eq!(steps.last(), Some(&Step::Over(over)));
    assert!(session.leave(super::CLOSE_REALM).is_none());
}

#[test]
fn leaving_waits_for_the_answer_and_ignores_the_rest() {
    let mut session = joined();
    let goodbye = session.leave(super::CLOSE_REALM).unwrap().into_value();
    assert_eq!(goodbye, json!([6, {}, "wamp.close.close_realm"]));
    assert!(hear(&mut session, json!([36, 1, 2, {}])).is_empty());
    let steps = hear(&mut session, json!([6, {}, "wamp.close.goodbye_and_out"]));
    assert_eq!(steps, [Step::Over(Over::Left)]);
}

/// Every message that must not come, before WELCOME and in a session.
#[test]
fn what_is_out_of_order_is_a_violation() {
    let all = [
        json!([1, "realm1", {}]),
        json!([2, 9, {}]),
        json!([4, "ticket", {}]),
        json!([5, "x", {}]),
        json!([6, {}, "wamp.close.close_realm"]),
        json!([8, 48, 1, {}, "a.b"]),
        json!([16, 1, {}, "a.b"]),
        json!([17, 1, 1]),
        json!([32, 1, {}, "a.b"]),
        json!([33, 1, 1]),
        json!([34, 1, 1]),
        json!([35, 1]),
        json!([36, 1, 1, {}]),
        json!([48, 1, {}, "a.b"]),
        json!([49, 1, {}]),
        json!([50, 1, {}]),
        json!([64, 1, {}, "a.b"]),
        json!([65, 1, 1]),
        json!([66, 1, 1]),
        json!([67, 1]),
        json!([68, 1, 1, {}]),
        json!([69, 1, {}]),
        json!([70, 1, {}]),
    ];
    for list in all {
        let kind = list[0].as_u64().unwrap();
        if ![2, 4].contains(&kind) {
            let (mut session, _) = Session::join("realm1", Credentials::default()).unwrap();
            assert!(
                is_violation(&hear(&mut session, list.clone())),
                "before: {list}"
            );
        }
        if ![6, 69].contains(&kind) {
            let mut session = joined();
            assert!(
                is_violation(&hear(&mut session, list.clone())),
                "in: {list}"
            );
            // Nothing more is said.
            assert!(hear(&mut session, list).is_empty());
        }
    }
    assert!(is_violation(
        &joined().receive_nonsense("that is no JSON".to_owned())
    ));
}

/// An answer has to be of the kind of its request.
#[test]
fn an_answer_to_another_request_is_a_violation() {
    for answer in [
        json!([65, 1, 1]),
        json!([17, 1, 1]),
        json!([35, 1]),
        json!([8, 64, 1, {}, "a.b"]),
    ] {
        let mut session = joined();
        session
            .subscribe("a.b".to_owned(), Dict::new(), "s")
            .unwrap();
        assert!(is_violation(&hear(&mut session, answer)));
    }
    let mut session = registered();
    hear(&mut session, json!([68, 5, 88, {}]));
    assert!(is_violation(&hear(&mut session, json!([68, 5, 88, {}]))));
}
