//! The messages of the basic profile as the specification and its routers have them.

use serde_json::{json, Value};

use super::{Dict, Malformed, Message, Payload};
use crate::link::wamp::serializer::Serializer;

fn dict(value: Value) -> Dict {
    match value {
        Value::Object(dict) => dict,
        other => panic!("{other} is no dictionary"),
    }
}

fn payload(args: Value, kwargs: Value) -> Payload {
    Payload {
        args: args.as_array().unwrap().clone(),
        kwargs: dict(kwargs),
    }
}

/// What each message is on the wire, and in memory.
fn all() -> Vec<(Value, Message)> {
    let text = str::to_owned;
    let none = Dict::new;
    vec![
        (
            json!([1, "realm1", {"agent": "edged", "roles": {"caller": {}}}]),
            Message::Hello {
                realm: text("realm1"),
                details: dict(json!({"agent": "edged", "roles": {"caller": {}}})),
            },
        ),
        (
            json!([2, 8_183_747_037_125_479_u64, {"realm": "realm1", "authrole": "anonymous"}]),
            Message::Welcome {
                session: 8_183_747_037_125_479,
                details: dict(json!({"realm": "realm1", "authrole": "anonymous"})),
            },
        ),
        (
            json!([3, {"message": "no realm \"nope\""}, "wamp.error.no_such_realm"]),
            Message::Abort {
                details: dict(json!({"message": "no realm \"nope\""})),
                reason: text("wamp.error.no_such_realm"),
            },
        ),
        (
            json!([4, "ticket", {}]),
            Message::Challenge {
                method: text("ticket"),
                extra: none(),
            },
        ),
        (
            json!([5, "secret!", {}]),
            Message::Authenticate {
                signature: text("secret!"),
                extra: none(),
            },
        ),
        (
            json!([6, {}, "wamp.close.close_realm"]),
            Message::Goodbye {
                details: none(),
                reason: text("wamp.close.close_realm"),
            },
        ),
        (
            json!([8, 68, 1, {}, "org.edge.error.not_found", ["m1"]]),
            Message::Error {
                kind: 68,
                request: 1,
                details: none(),
                uri: text("org.edge.error.not_found"),
                payload: payload(json!(["m1"]), json!({})),
            },
        ),
        (
            json!([8, 48, 2, {}, "wamp.error.no_such_procedure"]),
            Message::Error {
                kind: 48,
                request: 2,
                details: none(),
                uri: text("wamp.error.no_such_procedure"),
                payload: Payload::default(),
            },
        ),
        (
            json!([16, 4, {"acknowledge": true, "exclude_me": false}, "org.edge.events", ["started"], {"id": "m1"}]),
            Message::Publish {
                request: 4,
                options: dict(json!({"acknowledge": true, "exclude_me": false})),
                topic: text("org.edge.events"),
                payload: payload(json!(["started"]), json!({"id": "m1"})),
            },
        ),
        (
            json!([17, 4, 2_402_784_387_991_228_u64]),
            Message::Published {
                request: 4,
                publication: 2_402_784_387_991_228,
            },
        ),
        (
            json!([32, 3, {}, "org.edge.events"]),
            Message::Subscribe {
                request: 3,
                options: none(),
                topic: text("org.edge.events"),
            },
        ),
        (
            json!([33, 3, 8_338_322_527_296_237_u64]),
            Message::Subscribed {
                request: 3,
                subscription: 8_338_322_527_296_237,
            },
        ),
        (
            json!([34, 6, 8_338_322_527_296_237_u64]),
            Message::Unsubscribe {
                request: 6,
                subscription: 8_338_322_527_296_237,
            },
        ),
        (
            json!([35, 6]),
            Message::Unsubscribed {
                request: 6,
                details: none(),
            },
        ),
        (
            json!([36, 8_338_322_527_296_237_u64, 2_402_784_387_991_228_u64, {}, ["started"], {"id": "m1"}]),
            Message::Event {
                subscription: 8_338_322_527_296_237,
                publication: 2_402_784_387_991_228,
                details: none(),
                payload: payload(json!(["started"]), json!({"id": "m1"})),
            },
        ),
        (
            json!([48, 2, {}, "org.edge.start", ["m1"], {"wait": true}]),
            Message::Call {
                request: 2,
                options: none(),
                procedure: text("org.edge.start"),
                payload: payload(json!(["m1"]), json!({"wait": true})),
            },
        ),
        (
            json!([49, 2, {"mode": "kill"}]),
            Message::Cancel {
                request: 2,
                options: dict(json!({"mode": "kill"})),
            },
        ),
        (
            json!([50, 2, {}, ["ok"]]),
            Message::Result {
                request: 2,
                details: none(),
                payload: payload(json!(["ok"]), json!({})),
            },
        ),
        (
            json!([64, 1, {}, "org.edge.start"]),
            Message::Register {
                request: 1,
                options: none(),
                procedure: text("org.edge.start"),
            },
        ),
        (
            json!([65, 1, 7_299_944_480_433_369_u64]),
            Message::Registered {
                request: 1,
                registration: 7_299_944_480_433_369,
            },
        ),
        (
            json!([66, 5, 7_299_944_480_433_369_u64]),
            Message::Unregister {
                request: 5,
                registration: 7_299_944_480_433_369,
            },
        ),
        (
            json!([67, 5]),
            Message::Unregistered {
                request: 5,
                details: none(),
            },
        ),
        (
            json!([68, 1, 7_299_944_480_433_369_u64, {}, [], {"name": "m1"}]),
            Message::Invocation {
                request: 1,
                registration: 7_299_944_480_433_369,
                details: none(),
                payload: payload(json!([]), json!({"name": "m1"})),
            },
        ),
        (
            json!([69, 1, {}]),
            Message::Interrupt {
                request: 1,
                options: none(),
            },
        ),
        (
            json!([70, 1, {"progress": true}, ["ok"]]),
            Message::Yield {
                request: 1,
                options: dict(json!({"progress": true})),
                payload: payload(json!(["ok"]), json!({})),
            },
        ),
    ]
}

#[test]
fn every_message_in_every_serializer() {
    for (wire, message) in all() {
        assert_eq!(message.clone().into_value(), wire);
        for serializer in [Serializer::Json, Serializer::MsgPack, Serializer::Cbor] {
            let bytes = serializer.encode(&wire);
            let read = serializer.decode(&bytes).unwrap();
            assert_eq!(
                Message::parse(read).as_ref(),
                Ok(&message),
                "{serializer:?}"
            );
        }
    }
}

#[test]
fn a_message_that_lacks_what_it_must_have_is_malformed() {
    for (wire, _) in all() {
        let items = wire.as_array().unwrap();
        let needed = match items[0].as_u64().unwrap() {
            8 => 5,
            4 | 5 | 6 | 1 | 2 | 3 | 17 | 33 | 34 | 49 | 50 | 65 | 66 | 69 | 70 => 3,
            16 | 32 | 36 | 48 | 64 | 68 => 4,
            35 | 67 => 2,
            other => panic!("{other}"),
        };
        for length in 0..needed {
            let cut = Value::Array(items[..length].to_vec());
            assert!(Message::parse(cut.clone()).is_err(), "{cut}");
        }
        // Every element it must have, as something that it is not.
        for at in 1..needed {
            for wrong in [json!(null), json!(1.5), json!(-1), json!(true)] {
                let mut items = items.clone();
                items[at] = wrong;
                let changed = Value::Array(items);
                assert!(Message::parse(changed.clone()).is_err(), "{changed}");
            }
        }
        let mut items = items.clone();
        items.resize(9, json!({}));
        let long = Value::Array(items);
        assert!(Message::parse(long.clone()).is_err(), "{long}");
    }
}

/// fox-wamp writes null for what is absent at the end.
#[test]
fn null_at_the_end_is_absent() {
    let message = Message::parse(json!([50, 1, {}, [5], null])).unwrap();
    let expected = Message::Result {
        request: 1,
        details: Dict::new(),
        payload: payload(json!([5]), json!({})),
    };
    assert_eq!(message, expected);
}

#[test]
fn ids_go_to_2_to_the_53() {
    assert!(Message::parse(json!([17, 1, 9_007_199_254_740_992_u64])).is_ok());
    assert!(Message::parse(json!([17, 1, 9_007_199_254_740_993_u64])).is_err());
    assert!(Message::parse(json!([17, 0, 1])).is_err());
    // The router ends a subscription by itself.
    assert!(Message::parse(json!([35, 0, {"subscription": 7}])).is_ok());
}

#[test]
fn what_is_wrong_is_said() {
    assert_eq!(Message::parse(json!({})), Err(Malformed::NoList));
    assert_eq!(Message::parse(json!(["1"])), Err(Malformed::NoList));
    assert_eq!(
        Message::parse(json!([99, 1])),
        Err(Malformed::UnknownKind(99))
    );
    let error = Message::parse(json!([65, 1])).unwrap_err();
    assert_eq!(error.to_string(), "message 65 has no id as element 2");
}
