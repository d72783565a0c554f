//! Sessions against the exchanges of the specification.

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

#[test]
fn requests_count_up_from_1_and_are_answered_in_any_order() {
    let mut session = joined();
    let register = session.register("org.edge.start".to_owned(), Dict::new(), "r");
    assert_eq!(wire(register), json!([64, 1, {}, "org.edge.start"]));
    let (id, call) = session
        .call(
            "org.edge.stop".to_owned(),
            Dict::new(),
            args(json!(["m1"])),
            "c",
        )
        .unwrap();
    assert_eq!(id, 2);
    assert_eq!(
        call.into_value(),
        json!([48, 2, {}, "org.edge.stop", ["m1"]])
    );
    let subscribe = session.subscribe("org.edge.events".to_owned(), Dict::new(), "s");
    assert_eq!(wire(subscribe), json!([32, 3, {}, "org.edge.events"]));
    let nothing = Answer::nothing();
    assert_eq!(
        hear(&mut session, json!([33, 3, 77])),
        [Step::Answered("s", nothing.clone())]
    );
    assert_eq!(
        hear(&mut session, json!([50, 2, {}, ["ok"]])),
        [Step::Answered("c", done(args(json!(["ok"])), false))]
    );
    assert_eq!(
        hear(&mut session, json!([65, 1, 88])),
        [Step::Answered("r", nothing)]
    );
}

#[test]
fn request_numbers_wrap_to_1() {
    let mut session = joined();
    session.last_request = super::MAX_ID - 1;
    assert_eq!(session.next_request(), 9_007_199_254_740_992);
    assert_eq!(session.next_request(), 1);
}

#[test]
fn a_result_in_parts() {
    let mut session = joined();
    let call = session.call("a.b".to_owned(), Dict::new(), Payload::default(), "c");
    call.unwrap();
    for part in 0..2 {
        let steps = hear(&mut session, json!([50, 1, {"progress": true}, [part]]));
        assert_eq!(
            steps,
            [Step::Answered("c", done(args(json!([part])), true))]
        );
    }
    let steps = hear(&mut session, json!([50, 1, {}, [2]]));
    assert_eq!(steps, [Step::Answered("c", done(args(json!([2])), false))]);
    assert!(is_violation(&hear(&mut session, json!([50, 1, {}, [3]]))));
}

#[test]
fn a_call_that_is_given_up_is_still_answered() {
    let mut session = joined();
    session
        .call("a.b".to_owned(), Dict::new(), Payload::default(), "c")
        .unwrap();
    let cancel = session.cancel(1).unwrap().into_value();
    assert_eq!(cancel, json!([49, 1, {"mode": "kill"}]));
    let steps = hear(&mut session, json!([8, 48, 1, {}, "wamp.error.canceled"]));
    assert!(
        matches!(&steps[..], [Step::Answered("c", Answer::Error { uri, .. })] if uri == "wamp.error.canceled")
    );
    assert!(session.cancel(1).is_none());
}

#[test]
fn errors_reach_who_asked() {
    let mut session = joined();
    session
        .register("a.b".to_owned(), Dict::new(), "r")
        .unwrap();
    let error = json!([
        8,
        64,
        1,
        {},
        "wamp.error.procedure_already_exists",
        ["taken"]
    ]);
    let expected = Answer::Error {
        uri: "wamp.error.procedure_already_exists".to_owned(),
        payload: args(json!(["taken"])),
    };
    assert_eq!(hear(&mut session, error), [Step::Answered("r", expected)]);
    // The procedure is not registered.
    assert_eq!(
        session.unregister("a.b".to_owned(), "u"),
        Err(Refused::NoSuchRegistration("a.b".to_owned()))
    );
}

#[test]
fn publications_are_acknowledged_where_somebody_waits() {
    let mut session = joined();
    let topic = || "org.edge.events".to_owned();
    let silent = session.publish(topic(), Dict::new(), args(json!(["x"])), None);
    assert_eq!(wire(silent), json!([16, 1, {}, "org.edge.events", ["x"]]));
    let waited = session.publish(topic(), Dict::new(), Payload::default(), Some("p"));
    assert_eq!(
        wire(waited),
        json!([16, 2, {"acknowledge": true}, "org.edge.events"])
    );
    let mut options = Dict::new();
    options.insert("acknowledge".to_owned(), true.into());
    session
        .publish(topic(), options, Payload::default(), None)
        .unwrap();
    assert!(hear(&mut session, json!([17, 3, 5])).is_empty());
    assert_eq!(
        hear(&mut session, json!([17, 2, 5])),
        [Step::Answered("p", Answer::nothing())]
    );
    // Nobody asked for the first.
    assert!(is_violation(&hear(&mut session, json!([17, 1, 5]))));
}

#[test]
fn events_have_the_topic_that_was_published() {
    let mut session = joined();
    let mut options = Dict::new();
    options.insert("match".to_owned(), "prefix".into());
    let subscribe = session.subscribe("org.edge.".to_owned(), options, "s");
    assert_eq!(
        wire(subscribe),
        json!([32, 1, {"match": "prefix"}, "org.edge."])
    );
    hear(&mut session, json!([33, 1, 77]));
    let steps = hear(
        &mut session,
        json!([36, 77, 1, {"topic": "org.edge.up"}, [1]]),
    );
    let expected = Step::Event {
        topic: "org.edge.up".to_owned(),
        payload: args(json!([1])),
    };
    assert_eq!(steps, [expected]);
    let unsubscribe = session.unsubscribe("org.edge.".to_owned(), "u");
    assert_eq!(wire(unsubscribe), json!([34, 2, 77]));
    hear(&mut session, json!([35, 2]));
    // It crossed with the end.
    assert!(hear(&mut session, json!([36, 77, 2, {"topic": "org.edge.up"}])).is_empty());
}

fn registered() -> Session<&'static str> {
    let mut session = joined();
    session
        .register("a.b".to_owned(), Dict::new(), "r")
        .unwrap();
    hear(&mut session, json!([65, 1, 88]));
    session
}

#[test]
fn an_invocation_is_answered_once() {
    let mut session = registered();
    let steps = hear(&mut session, json!([68, 5, 88, {}, ["m1"]]));
    let expected = Step::Invoked {
        request: 5,
        procedure: "a.b".to_owned(),
        payload: args(json!(["m1"])),
        details: Dict::new(),
    };
    assert_eq!(steps, [expected]);
    // Its caller takes no parts.
    assert_eq!(session.answer(5, Payload::default(), true), None);
    let answer = session.answer(5, args(json!(["ok"])), false).unwrap();
    assert_eq!(answer.into_value(), json!([70, 5, {}, ["ok"]]));
    assert_eq!(session.answer(5, Payload::default(), false), None);
}

#[test]
fn an_invocation_in_parts_and_with_errors() {
    let mut session = registered();
    hear(&mut session, json!([68, 5, 88, {"receive_progress": true}]));
    let part = session.answer(5, args(json!([1])), true).unwrap();
    assert_eq!(part.into_value(), json!([70, 5, {"progress": true}, [1]]));
    let error = session.fail(5, "org.edge.error.not_found", args(json!(["m1"])));
    assert_eq!(
        error.unwrap().into_value(),
        json!([8, 68, 5, {}, "org.edge.error.not_found", ["m1"]])
    );
    hear(&mut session, json!([68, 6, 88, {}]));
    // What is no URI would end the session.
    let error = session.fail(6, "not a uri", Payload::default());
    assert_eq!(
        error.unwrap().into_value(),
        json!([8, 68, 6, {}, "wamp.error.runtime_error"])
    );
}

#[test]
fn an_invocation_is_interrupted() {
    let mut session = registered();
    hear(&mut session, json!([68, 5, 88, {}]));
    assert_eq!(
        hear(&mut session, json!([69, 5, {}])),
        [Step::Interrupted { request: 5 }]
    );
    let answer = session.interrupted(5).unwrap().into_value();
    assert_eq!(answer, json!([8, 68, 5, {}, "wamp.error.canceled"]));
    // The answer had crossed with it.
    assert!(hear(&mut session, json!([69, 5, {}])).is_empty());
}

#[test]
fn names_that_are_none_are_refused_here() {
    let mut session = joined();
    for uri in ["", "a..b", ".a", "a b", "a#b", "a.\tb"] {
        let refused = Err(Refused::InvalidUri(uri.to_owned()));
        assert_eq!(session.register(uri.to_owned(), Dict::new(), "r"), refused);
        assert!(session
            .call(uri.to_owned(), Dict::new(), Payload::default(), "c")
            .is_err());
    }
    let mut options = Dict::new();
    options.insert("match".to_owned(), "wildcard".into());
    assert!(session.subscribe("a..b".to_owned(), options, "s").is_ok());
}

#[test]
fn nothing_can_be_asked_outside_of_a_session() {
    let (mut session, _) = Session::join("realm1", Credentials::default()).unwrap();
    let refused = session.register("a.b".to_owned(), Dict::new(), "r");
    assert_eq!(refused, Err(Refused::NotJoined));
    let mut session = joined();
    session.leave(super::CLOSE_REALM);
    let refused = session.publish("a.b".to_owned(), Dict::new(), Payload::default(), None);
    assert_eq!(refused, Err(Refused::NotJoined));
}

#[test]
fn the_router_may_end_a_registration() {
    let mut session = registered();
    assert!(hear(&mut session, json!([67, 0, {"registration": 88}])).is_empty());
    let gone = session.unregister("a.b".to_owned(), "u");
    assert_eq!(gone, Err(Refused::NoSuchRegistration("a.b".to_owned())));
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
