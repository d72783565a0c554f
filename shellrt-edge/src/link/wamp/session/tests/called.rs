//! What comes for a component: events and invocations.

use serde_json::json;

use super::{args, hear, joined, registered, wire};
use crate::link::wamp::message::{Dict, Payload};
use crate::link::wamp::session::{Answer, Refused, Step};

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
fn the_router_may_end_a_registration() {
    let mut session = registered();
    assert!(hear(&mut session, json!([67, 0, {"registration": 88}])).is_empty());
    let gone = session.unregister("a.b".to_owned(), "u");
    assert_eq!(gone, Err(Refused::NoSuchRegistration("a.b".to_owned())));
}

#[test]
fn all_procedures_are_taken_back() {
    let mut session = registered();
    session
        .register("c.d".to_owned(), Dict::new(), "r")
        .unwrap();
    hear(&mut session, json!([65, 2, 99]));
    let taken_back = session.withdraw(&"w");
    let taken_back: Vec<_> = taken_back.into_iter().map(|it| it.into_value()).collect();
    assert_eq!(taken_back, [json!([66, 3, 88]), json!([66, 4, 99])]);
    // A call has crossed with that, and is answered.
    assert_eq!(hear(&mut session, json!([68, 5, 88, {}])).len(), 1);
    let done = Step::Answered("w", Answer::nothing());
    assert_eq!(hear(&mut session, json!([67, 3])), [done]);
    let answer = session.answer(5, Payload::default(), false);
    assert_eq!(answer.unwrap().into_value(), json!([70, 5, {}]));
    session.leave("wamp.close.close_realm");
    assert!(session.withdraw(&"w").is_empty());
}
