//! The MQTT client against a real broker.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

#[path = "../../tests/support/broker/mod.rs"]
#[allow(dead_code, unused_imports, reason = "others use the rest of it")]
mod broker;

use broker::{Broker, Options};

#[test]
fn a_recorder_misses_nothing_when_the_broker_is_killed() {
    let Some(mut broker) = Broker::start(&Options {
        password: true,
        ..Options::default()
    }) else {
        return;
    };
    let recorder = broker.record("a/#");
    broker.publish("a/1", "one\ntwo");
    broker.publish("b", "not recorded");
    broker.publish("a/2", [0xff, 0x00]);
    broker.publish_lines("a/3", &["x", "y"]);
    broker.kill();
    broker.restart();
    // The recorder is not back yet.
    broker.publish("a/ 4", "");
    let last = recorder.wait_for("a/ 4");
    assert_eq!((last.payload.len(), last.qos, last.retained), (0, 1, false));
    let seen: Vec<_> = recorder
        .messages()
        .into_iter()
        .map(|m| (m.topic, m.payload))
        .collect();
    let expected: [(&str, &[u8]); 5] = [
        ("a/1", b"one\ntwo"),
        ("a/2", &[0xff, 0x00]),
        ("a/3", b"x"),
        ("a/3", b"y"),
        ("a/ 4", b""),
    ];
    assert_eq!(
        seen,
        expected.map(|(topic, payload)| (topic.to_owned(), payload.to_vec()))
    );
}
