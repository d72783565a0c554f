//! What a component asks of its router: calls, names, publications.

use serde_json::json;

use super::{args, done, hear, is_violation, joined, wire};
use crate::link::wamp::auth::Credentials;
use crate::link::wamp::message::{Dict, Payload};
use crate::link::wamp::session::{Answer, Refused, Session, Step, CLOSE_REALM, MAX_ID};

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
    session.last_request = MAX_ID - 1;
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
    session.leave(CLOSE_REALM);
    let refused = session.publish("a.b".to_owned(), Dict::new(), Payload::default(), None);
    assert_eq!(refused, Err(Refused::NotJoined));
}
