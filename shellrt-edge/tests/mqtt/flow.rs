//! Full queues and messages that the broker does not want.

use bytes::Bytes;
use shellrt_edge::mqtt::{Event, Message, MAX_INCOMING};

use crate::broker::{Broker, Options};
use crate::client::{keep_log, logged, message, settings, until, Client};

#[test]
fn who_publishes_waits_while_the_queue_is_full() {
    // More than there is room for.
    const COUNT: usize = 40;
    let Some(mut broker) = Broker::prepare(&Options::default()) else {
        return;
    };
    let client = Client::start(settings(broker.port()), None);
    let text = "x".repeat(1024 * 1024);
    let acknowledged = client.publish_all("t", (0..COUNT).map(|_| text.clone()));
    let full = until("a full queue", || {
        let before = client.mqtt().counters().published;
        // Whatever it had to do, it has done.
        client.run(async { tokio::task::yield_now().await });
        let after = client.mqtt().counters().published;
        (before > 0 && before == after).then_some(after)
    });
    assert_eq!(full, 7, "8 MiB, with what it takes to keep it");
    client.mqtt().publish_if_connected(message("t", "dropped"));
    broker.restart();
    until("all", || {
        (acknowledged.lock().unwrap().len() == COUNT).then_some(())
    });
    assert_eq!(client.mqtt().counters().dropped_out, 1);
}

#[test]
fn a_link_that_takes_nothing_can_publish_and_misses_nothing() {
    const COUNT: usize = 1000;
    let Some(broker) = Broker::start(&Options::default()) else {
        return;
    };
    let client = Client::connected(settings(broker.port()), None);
    client.subscribe("in");
    client.take(false);
    let texts: Vec<String> = (0..COUNT).map(|number| number.to_string()).collect();
    broker.publish_lines("in", &texts);
    // All of these need answers on the same connection.
    let acknowledged = client.publish_all("out", texts.clone().into_iter());
    until("all", || {
        (acknowledged.lock().unwrap().len() == COUNT).then_some(())
    });
    let received = client.mqtt().counters().received;
    // 16 at a time, said the client. mosquitto 2.0.11 sends as many for each acknowledgement, and there were
    // those for what the channel has room for.
    assert!(
        received < 400,
        "the broker keeps the rest, but there were {received}"
    );
    client.take(true);
    until("all", || (client.texts().len() == COUNT).then_some(()));
    assert_eq!(client.texts(), texts);
    assert_eq!(client.mqtt().counters().dropped_in, 0);
}

#[test]
fn what_is_sent_without_acknowledgements_is_dropped_with_a_word() {
    keep_log();
    let Some(broker) = Broker::start(&Options::default()) else {
        return;
    };
    let client = Client::connected(settings(broker.port()), None);
    client.subscribe("in");
    client.take(false);
    let text = "x".repeat(4 * 1024 * 1024);
    until("a full inbox", || {
        broker.publish_unacknowledged("in", &text);
        (client.mqtt().counters().dropped_in > 0).then_some(())
    });
    assert!(!logged("messages are dropped").is_empty());
    client.take(true);
    let counters = client.mqtt().counters();
    let kept = usize::try_from(counters.received - counters.dropped_in).unwrap();
    until("the others", || {
        (client.texts().len() >= kept).then_some(())
    });
    broker.publish_unacknowledged("in", "after that");
    until("the next", || {
        client
            .texts()
            .contains(&"after that".to_owned())
            .then_some(())
    });
}

#[test]
fn own_messages_do_not_come_back() {
    let Some(broker) = Broker::start(&Options::default()) else {
        return;
    };
    let client = Client::connected(settings(broker.port()), None);
    client.subscribe("t");
    client.publish(message("t", "own"));
    broker.publish("t", "another's");
    until("it", || (!client.texts().is_empty()).then_some(()));
    assert_eq!(client.texts(), ["another's"]);
}

#[test]
fn bytes_come_as_they_are() {
    let Some(broker) = Broker::start(&Options::default()) else {
        return;
    };
    let client = Client::connected(settings(broker.port()), None);
    let recorder = broker.record("out");
    client.subscribe("in/#");
    let bytes: Vec<u8> = (0..=255).collect();
    broker.publish("in/ä b", &bytes);
    let expected = Event::Message(Message {
        topic: "in/ä b".to_owned(),
        payload: Bytes::from(bytes.clone()),
    });
    client.wait("it", |events| events.contains(&expected).then_some(()));
    broker.publish("in/empty", "");
    client.wait("the empty one", |events| {
        events
            .contains(&Event::Message(message("in/empty", "")))
            .then_some(())
    });
    client.publish(Message {
        topic: "out".to_owned(),
        payload: Bytes::from(bytes.clone()),
    });
    assert_eq!(recorder.wait_for("out").payload, bytes);
}

#[test]
fn large_messages_come_up_to_the_limit() {
    let Some(broker) = Broker::start(&Options::default()) else {
        return;
    };
    let client = Client::connected(settings(broker.port()), None);
    client.subscribe("in");
    broker.publish("in", vec![b'a'; 2 * MAX_INCOMING]);
    broker.publish("in", vec![b'b'; MAX_INCOMING]);
    let first = until("it", || client.texts().first().cloned());
    assert!(first.len() == MAX_INCOMING && first.starts_with('b'));
    // The broker keeps what is too large, and the connection with it.
    assert_eq!(client.connections(), [Event::Connected]);
    let recorder = broker.record("out");
    client.publish(message("out", "c".repeat(MAX_INCOMING)));
    assert_eq!(recorder.wait_for("out").payload.len(), MAX_INCOMING);
}

/// A client of a broker that does not want "bad" ones publishes a bad one between good ones.
fn refused(lines: &str, bad: Message, why: &str) {
    keep_log();
    let options = Options {
        lines: lines.to_owned(),
        ..Options::default()
    };
    let Some(broker) = Broker::start(&options) else {
        return;
    };
    let recorder = broker.record("good");
    let client = Client::connected(settings(broker.port()), None);
    let first = client.publish_all("good", ["1", "2", "3"].map(str::to_owned).into_iter());
    client.publish(bad);
    client.publish(message("good", "4"));
    until("the first", || {
        (first.lock().unwrap().len() == 3).then_some(())
    });
    recorder.wait("the last", |messages| {
        messages
            .iter()
            .any(|message| message.text() == "4")
            .then_some(())
    });
    let mut good: Vec<_> = recorder
        .on("good")
        .iter()
        .map(|m| m.text().to_owned())
        .collect();
    // A connection may have been lost over it.
    good.dedup();
    assert!(
        good.ends_with(&["3".to_owned(), "4".to_owned()]),
        "{good:?}"
    );
    let counters = client.mqtt().counters();
    assert_eq!((counters.refused, counters.acknowledged), (1, 4));
    assert!(!logged(why).is_empty(), "{:#?}", logged(""));
}

#[test]
fn a_message_that_the_broker_says_it_can_not_take() {
    let large = message("bad", "x".repeat(5000));
    refused(
        "max_packet_size 4000",
        large,
        "packets of at most 4000 bytes",
    );
}

#[test]
fn a_message_that_the_broker_finds_too_large() {
    let large = message("bad", "x".repeat(5000));
    refused(
        "message_size_limit 4000",
        large,
        "refuses what is published on \"bad\"",
    );
}

#[test]
fn a_message_on_a_topic_that_is_none() {
    for topic in ["bad/+", "bad/#", ""] {
        refused("", message(topic, "x"), "no topic to publish on");
    }
}

#[test]
fn a_message_that_the_broker_does_not_allow() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    std::fs::write(&rules, "topic readwrite good\n").unwrap();
    let line = format!("acl_file {}", rules.display());
    refused(&line, message("bad", "x"), "\"bad\": not authorized");
}
